import Dispatch
import Foundation
import Synchronization

/// A Chrome trace of an engine's steps: what each was spent on, for chrome://tracing or Perfetto.
///
/// The file is a JSON array of complete events, one for each phase of each step. It is written as the engine
/// runs and is whole after every write, so memory stays bounded and a file that is still being written can be
/// read.
public final class StepTrace: Sendable {
    /// What the engine's thread does in a step, in order. Where steps are overlapped, the step before is published, and
    /// requests arrive and leave, also between the model and the sample.
    enum Phase: String, CaseIterable {
        /// Requests arrive and leave.
        case commands
        case schedule
        /// Laying out the tokens for the model.
        case build
        /// The model.
        case forward
        case sample
        /// Finished requests give up their slots, and the tokens go out.
        case publish
    }

    private struct State {
        let file: FileHandle
        /// Where the next event goes: before the bracket that ends the array.
        var end: UInt64 = 0
        var pending: [UInt8] = []
        var lastFlush = DispatchTime.now().uptimeNanoseconds
        var isEmpty = true

        /// Errors end up here when the disk is full: the trace then lacks what came later.
        mutating func flush() throws {
            lastFlush = DispatchTime.now().uptimeNanoseconds
            try file.seek(toOffset: end)
            try file.write(contentsOf: pending + Array("\n]\n".utf8))
            end += UInt64(pending.count)
            pending.removeAll(keepingCapacity: true)
        }
    }

    private let state: Mutex<State>
    private static let flushBytes = 64 << 10
    private static let flushNanoseconds: UInt64 = 1_000_000_000

    /// Replaces the file at `path`. Throws when it cannot be written.
    public init(path: String) throws {
        try Data().write(to: URL(fileURLWithPath: path))
        var state = State(file: try FileHandle(forWritingTo: URL(fileURLWithPath: path)))
        state.pending = Array("[".utf8)
        try state.flush()
        self.state = Mutex(state)
    }

    /// Notes that `phase` of step `step` took from `start` to `end`, in nanoseconds of uptime.
    func record(_ phase: Phase, step: Int, rows: Int, from start: UInt64, to end: UInt64) {
        state.withLock { state in
            let event =
                "\(state.isEmpty ? "\n" : ",\n"){\"name\":\"\(phase.rawValue)\",\"cat\":\"step\",\"ph\":\"X\","
                + "\"ts\":\(Double(start) / 1000),\"dur\":\(Double(end - start) / 1000),\"pid\":1,\"tid\":1,"
                + "\"args\":{\"step\":\(step),\"rows\":\(rows)}}"
            state.pending += event.utf8
            state.isEmpty = false
            let isDue = end - min(end, state.lastFlush) > Self.flushNanoseconds
            if isDue || state.pending.count > Self.flushBytes { try? state.flush() }
        }
    }

    /// Writes what is still in memory.
    public func flush() { state.withLock { try? $0.flush() } }
}

/// Attributes the time of the engine's thread to phases: each begins where the one before ends.
struct StepClock {
    let trace: StepTrace
    private var step = 0
    private var last = DispatchTime.now().uptimeNanoseconds

    init(_ trace: StepTrace) { self.trace = trace }

    /// Begins a step; the time since the last one belongs to none.
    mutating func start() {
        step += 1
        last = DispatchTime.now().uptimeNanoseconds
    }

    mutating func end(_ phase: StepTrace.Phase, rows: Int = 0) {
        trace.record(phase, step: step, rows: rows, from: last, to: DispatchTime.now().uptimeNanoseconds)
        // Read again: what the trace itself costs belongs to no phase.
        last = DispatchTime.now().uptimeNanoseconds
    }
}
