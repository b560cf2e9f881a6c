import Foundation
import Logging
import Serving
import ServiceLifecycle

/// Says in the log, again and again, what the engine is doing; nothing while it does nothing.
struct StatisticsLog: Service {
    let engine: Engine
    let interval: Duration
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var (before, time) = (engine.statistics, ContinuousClock.now)
            while (try? await Task.sleep(for: interval)) != nil {
                let (now, moment) = (engine.statistics, ContinuousClock.now)
                if let line = StatisticsLine(from: before, to: now, in: moment - time) {
                    logger.info("\(line.text)")
                }
                (before, time) = (now, moment)
            }
        }
    }
}

/// What happened between two looks at the engine.
struct StatisticsLine: Equatable {
    let text: String

    /// Nil when nothing ran.
    init?(from before: EngineStatistics, to now: EngineStatistics, in time: Duration) {
        let seconds = max(time / .seconds(1), 1e-3)
        let prompts = now.promptTokens - before.promptTokens
        let answers = now.generatedTokens - before.generatedTokens
        let cached = now.cachedTokens - before.cachedTokens
        guard now.running + now.waiting + prompts + answers > 0 else { return nil }
        func rate(_ count: Int) -> String { String(format: "%.1f", Double(count) / seconds) }
        func percent(_ part: Int, _ whole: Int) -> String {
            String(format: "%.1f%%", 100 * Double(part) / Double(max(whole, 1)))
        }
        text =
            "running \(now.running), waiting \(now.waiting), paused \(now.paused); "
            + "tokens in use \(now.usedSlots) of \(now.totalSlots) (\(percent(now.usedSlots, now.totalSlots))); "
            + "prompts \(rate(prompts)) tokens/s, answers \(rate(answers)) tokens/s; "
            + "from the cache \(percent(cached, cached + prompts))"
    }
}
