import CKernels
import Dispatch
import Foundation
import Synchronization

/// Threads that share out the parts of one job at a time; the caller is one of them.
///
/// The operations of a forward pass follow each other within microseconds, so an idle worker spins a while
/// for the next job before it sleeps.
final class WorkerPool: Sendable {
    /// Threads that work on a job, the caller included.
    let width: Int
    private let shared = Shared()
    /// One job at a time.
    private let turn = Mutex<Void>(())

    init(width: Int) {
        self.width = max(width, 1)
        for index in 1..<max(self.width, 1) {
            let thread = Thread { [shared] in shared.work(as: index) }
            thread.name = "lightllm-worker-\(index)"
            thread.start()
        }
    }

    deinit { shared.stop() }

    /// Calls `body` with every part from 0 to `parts - 1`, on any thread and in any order, and returns when
    /// all calls have.
    func run(parts: Int, _ body: (Int) -> Void) { run(parts: parts) { part, _ in body(part) } }

    /// The same; `body` is also told which thread it runs on, from 0 to `width - 1`.
    func run(parts: Int, _ body: (_ part: Int, _ thread: Int) -> Void) {
        guard parts <= Shared.maxParts else {
            for start in stride(from: 0, to: parts, by: Shared.maxParts) {
                run(parts: min(parts - start, Shared.maxParts)) { body(start + $0, $1) }
            }
            return
        }
        guard parts > 1, width > 1 else {
            for part in 0..<parts { body(part, 0) }
            return
        }
        turn.withLock { _ in
            withoutActuallyEscaping(body) { shared.perform(parts, $0) }
        }
    }
}

/// What the threads of a pool share.
///
/// `state` holds the job's number above and the count of parts nobody has claimed below. A claim is a
/// compare-and-swap of the whole, so a thread that comes late can never claim a part of a job that is over.
private final class Shared: @unchecked Sendable {
    // Unsafe: `body` is written while no part is claimable and read only after a part was claimed; the
    // writer returns only when every claimed part is done.
    private var body: ((Int, Int) -> Void)?
    private let state = Atomic<UInt64>(0)
    private let done = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let wake = DispatchSemaphore(value: 0)

    static let maxParts = 0xFFFF
    /// How often an idle worker looks for a job before it sleeps; some tens of microseconds.
    private static let spins = 4000

    func perform(_ parts: Int, _ body: @escaping (Int, Int) -> Void) {
        self.body = body
        done.store(0, ordering: .relaxed)
        let job = (state.load(ordering: .relaxed) >> 16) &+ 1
        state.store(job << 16 | UInt64(parts), ordering: .sequentiallyConsistent)
        let asleep = sleepers.exchange(0, ordering: .sequentiallyConsistent)
        for _ in 0..<asleep { wake.signal() }
        while claimAndRun(as: 0) {}
        var waits = 0
        while done.load(ordering: .acquiring) < parts {
            llm_pause()
            waits += 1
            // The worker may have lost its core.
            if waits.isMultiple(of: 10_000) { sched_yield() }
        }
        self.body = nil
    }

    func work(as thread: Int) {
        while !isStopped.load(ordering: .relaxed) {
            if !spinForWork() { sleep() }
            while claimAndRun(as: thread) {}
        }
    }

    func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        let asleep = sleepers.exchange(0, ordering: .sequentiallyConsistent)
        for _ in 0..<asleep { wake.signal() }
    }

    private var hasWork: Bool { state.load(ordering: .sequentiallyConsistent) & 0xFFFF != 0 }

    private func spinForWork() -> Bool {
        for _ in 0..<Self.spins {
            if hasWork { return true }
            llm_pause()
        }
        return false
    }

    private func sleep() {
        sleepers.add(1, ordering: .sequentiallyConsistent)
        guard hasWork || isStopped.load(ordering: .sequentiallyConsistent) else { return wake.wait() }
        // Someone who counted this thread among the sleepers has signalled, or will.
        var count = sleepers.load(ordering: .sequentiallyConsistent)
        while count > 0 {
            let (exchanged, original) = sleepers.compareExchange(
                expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
            if exchanged { return }
            count = original
        }
        wake.wait()
    }

    /// Runs parts of one job as long as there are any; false when none was left from the beginning.
    private func claimAndRun(as thread: Int) -> Bool {
        guard let first = claim(nil) else { return false }
        // Reported together, after the last use of `body`: what it holds may be gone once all parts are done.
        done.add(run(first, as: thread), ordering: .releasing)
        return true
    }

    /// Runs the part claimed by `first` and more of its job, and returns how many. `body` is looked up once, since
    /// each look counts a reference, and threads that count the same one wait for each other.
    @inline(never) private func run(_ first: UInt64, as thread: Int) -> Int {
        guard let body else { preconditionFailure("a job without work") }
        var (claimed, count): (UInt64?, Int) = (first, 0)
        while let current = claimed {
            body(Int(current & 0xFFFF) - 1, thread)
            count += 1
            claimed = claim(first >> 16)
        }
        return count
    }

    /// Claims a part of job `wanted`, or of any, and returns the state before.
    private func claim(_ wanted: UInt64?) -> UInt64? {
        var current = state.load(ordering: .acquiring)
        while current & 0xFFFF != 0, wanted == nil || current >> 16 == wanted {
            let (exchanged, original) = state.compareExchange(
                expected: current, desired: current - 1, ordering: .acquiringAndReleasing)
            if exchanged { return current }
            current = original
        }
        return nil
    }
}
