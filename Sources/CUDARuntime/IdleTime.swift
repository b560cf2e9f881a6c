import CCUDA

/// How long a stream had nothing to do while it was watched.
public struct IdleTime: Sendable, Equatable {
    /// Seconds, by the device's clock, from the end of its work to what was enqueued next.
    public var idle = 0.0
    /// Seconds from the first work to the last.
    public var total = 0.0
    /// How often it ran dry and got work again.
    public var gaps = 0

    public init() {}

    /// The part of all time; 0 where there was no work.
    public var fraction: Double { total > 0 ? idle / total : 0 }
}

/// Watches a stream that is waited for after every step: events of the device mark when it ran dry, and when it was given
/// work again. Times within a step, when the device may be faster than what gives it work, are not among them.
final class IdleWatch {
    private let device: Device
    private let stream: CUstream?
    private let first, resumed: CUevent?
    /// Ends of the last work and of the work before, taking turns.
    private let drained: [CUevent?]
    private var turn = 0
    private var state = State.new
    private(set) var found = IdleTime()

    private enum State {
        case new
        /// Work was enqueued; whether the stream had run dry before.
        case busy(afterGap: Bool)
        case dry
    }

    init(_ stream: DeviceStream) throws(CUDAError) {
        (device, self.stream) = (stream.device, stream.handle)
        let driver = stream.device.driver
        var events: [CUevent?] = []
        try stream.device.makeCurrent()
        for _ in 0..<4 {
            var event: CUevent?
            try driver.check(driver.api.eventCreate(&event, 0), "cuEventCreate")
            events.append(event)
        }
        (first, resumed, drained) = (events[0], events[1], Array(events[2...]))
    }

    deinit { for event in [first, resumed] + drained { _ = device.driver.api.eventDestroy(event) } }

    /// Before anything is enqueued.
    func noteWork() throws(CUDAError) {
        switch state {
        case .new:
            try record(first)
            state = .busy(afterGap: false)
        case .dry:
            try record(resumed)
            state = .busy(afterGap: true)
        case .busy: return
        }
    }

    /// Before somebody waits for all work.
    func noteWait() throws(CUDAError) {
        guard case .busy = state else { return }
        try record(drained[1 - turn])
    }

    /// When all work is done.
    func noteEnd() throws(CUDAError) {
        guard case .busy(let isAfterGap) = state else { return }
        if isAfterGap {
            found.idle += try seconds(from: drained[turn], to: resumed)
            found.gaps += 1
        }
        turn = 1 - turn
        state = .dry
        found.total = try seconds(from: first, to: drained[turn])
    }

    private func record(_ event: CUevent?) throws(CUDAError) {
        try device.driver.check(device.driver.api.eventRecord(event, stream), "cuEventRecord")
    }

    private func seconds(from start: CUevent?, to end: CUevent?) throws(CUDAError) -> Double {
        var milliseconds: Float = 0
        try device.driver.check(
            device.driver.api.eventElapsedTime(&milliseconds, start, end), "cuEventElapsedTime")
        return Double(milliseconds) / 1000
    }
}

extension DeviceStream {
    /// From now on the time is added up in which the stream has nothing to do. No work may be under way.
    public func startWatching() throws(CUDAError) {
        watch = try IdleWatch(self)
    }

    /// What was found since `startWatching`. No work may be under way.
    public func endWatching() -> IdleTime {
        defer { watch = nil }
        return watch?.found ?? IdleTime()
    }
}
