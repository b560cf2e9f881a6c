import Serving
import Testing

@Suite struct StallTests {
    @Test func onlyWorkThatWaitsStalls() {
        var statistics = EngineStatistics()
        let now = statistics.lastProgress + .seconds(90)
        #expect(statistics.stall(at: now) == nil, "nothing is to be done")
        statistics.waiting = 1
        #expect(statistics.stall(at: now) == .seconds(90))
        statistics.lastProgress = now - .seconds(1)
        (statistics.running, statistics.waiting) = (1, 0)
        #expect(statistics.stall(at: now) == .seconds(1))
    }
}
