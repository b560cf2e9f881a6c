import DequeModule
import HeapModule

/// Sequences that wait: paused ones first, then by priority; within one priority tenants take turns, the one that
/// has had the fewest tokens first, and each tenant's sequences come in order.
struct WaitingQueue: ~Copyable {
    private var paused: Deque<ScheduledSequence> = []
    /// Highest priority first.
    private var levels: [Level] = []
    private var shares = FairShares()
    private var deadlines = Heap<Deadline>()
    /// Sequences that wait, paused ones included.
    private(set) var count = 0
    /// How many of them were interrupted.
    var pausedCount: Int { paused.count { $0.state == .paused } }
    /// Sequences in the levels that no longer wait; they are passed over.
    private var leftCount = 0

    private struct Level {
        let priority: Int
        var lines: [Tenant?: Deque<ScheduledSequence>] = [:]
        /// One entry for each of `lines`, by what its tenant had when it was entered.
        var turns = Heap<Turn>()
    }

    private struct Turn: Comparable {
        let served: Int
        let arrival: UInt64
        let tenant: Tenant?
        static func == (a: Self, b: Self) -> Bool { (a.served, a.arrival) == (b.served, b.arrival) }
        static func < (a: Self, b: Self) -> Bool { (a.served, a.arrival) < (b.served, b.arrival) }
    }

    private struct Deadline: Comparable {
        let instant: ContinuousClock.Instant
        let sequence: ScheduledSequence
        static func == (a: Self, b: Self) -> Bool { a.instant == b.instant }
        static func < (a: Self, b: Self) -> Bool { a.instant < b.instant }
    }

    /// The last in its line.
    mutating func append(_ sequence: ScheduledSequence) {
        shares.join(sequence.terms.tenant)
        sequence.state = .waiting
        count += 1
        if let instant = sequence.terms.deadline {
            deadlines.insert(Deadline(instant: instant, sequence: sequence))
        }
        let level = level(sequence.terms.priority)
        enter(sequence, level) { $0.append(sequence) }
    }

    /// Puts back a sequence that ran before all that wait.
    mutating func prependPaused(_ sequence: ScheduledSequence) {
        sequence.state = .paused
        count += 1
        paused.prepend(sequence)
    }

    /// Puts back what `popFirst` gave last.
    mutating func putBack(_ sequence: ScheduledSequence) {
        count += 1
        if sequence.state == .paused {
            paused.prepend(sequence)
        } else {
            enter(sequence, level(sequence.terms.priority)) { $0.prepend(sequence) }
        }
    }

    /// Whose turn it is.
    mutating func popFirst() -> ScheduledSequence? {
        while let sequence = paused.popFirst() ?? popWaiting() {
            guard sequence.state == .waiting || sequence.state == .paused else {
                leftCount -= 1
                continue
            }
            count -= 1
            return sequence
        }
        return nil
    }

    private mutating func popWaiting() -> ScheduledSequence? {
        while !levels.isEmpty {
            while let turn = levels[0].turns.min {
                // No copy of the line may be alive when it changes.
                guard !(levels[0].lines[turn.tenant]?.isEmpty ?? true) else {
                    levels[0].turns.removeMin()
                    levels[0].lines[turn.tenant] = nil
                    continue
                }
                let served = shares.served(turn.tenant)
                guard turn.served >= served else {
                    levels[0].turns.replaceMin(
                        with: Turn(served: served, arrival: turn.arrival, tenant: turn.tenant))
                    continue
                }
                return levels[0].lines[turn.tenant]?.popFirst()
            }
            levels.removeFirst()
        }
        return nil
    }

    /// Notes that a sequence that waited is gone.
    mutating func markGone(_ sequence: ScheduledSequence) {
        count -= 1
        leftCount += 1
        sequence.state = .gone
        if leftCount > count + 64 { compact() }
    }

    /// Notes that the scheduler knows the sequence no longer.
    mutating func leave(_ sequence: ScheduledSequence) { shares.leave(sequence.terms.tenant) }

    /// Notes that a sequence has had its turn, and `tokens` of its prompt are computed.
    mutating func begin(_ sequence: ScheduledSequence, _ tokens: Int) {
        shares.take(sequence.terms.tenant)
        charge(sequence, tokens)
    }

    /// Notes that `tokens` were computed for a sequence.
    mutating func charge(_ sequence: ScheduledSequence, _ tokens: Int) {
        shares.charge(sequence.terms.tenant, tokens)
    }

    /// The first deadline there is; it may belong to a sequence that no longer waits.
    var nextDeadline: ContinuousClock.Instant? { deadlines.min?.instant }

    /// A sequence whose deadline is over and that has never run.
    mutating func popExpired(at now: ContinuousClock.Instant) -> ScheduledSequence? {
        while let first = deadlines.min, first.instant <= now {
            deadlines.removeMin()
            if first.sequence.state == .waiting { return first.sequence }
        }
        return nil
    }

    private mutating func level(_ priority: Int) -> Int {
        let index = levels.firstIndex { $0.priority <= priority } ?? levels.endIndex
        if index == levels.endIndex || levels[index].priority != priority {
            levels.insert(Level(priority: priority), at: index)
        }
        return index
    }

    private mutating func enter(
        _ sequence: ScheduledSequence, _ level: Int, _ add: (inout Deque<ScheduledSequence>) -> Void
    ) {
        let tenant = sequence.terms.tenant
        if levels[level].lines[tenant] == nil {
            levels[level].turns.insert(
                Turn(served: shares.served(tenant), arrival: sequence.arrival, tenant: tenant))
        }
        add(&levels[level].lines[tenant, default: []])
    }

    /// Lets go of sequences that no longer wait.
    private mutating func compact() {
        paused.removeAll { $0.state != .paused }
        for index in levels.indices {
            levels[index].lines = levels[index].lines.mapValues { line in
                Deque(line.lazy.filter { $0.state == .waiting })
            }
        }
        levels.removeAll { $0.lines.values.allSatisfy(\.isEmpty) }
        deadlines = Heap(deadlines.unordered.filter { $0.sequence.state == .waiting })
        leftCount = 0
    }
}

/// How many tokens each tenant that has sequences has had. One that comes anew starts where the one is whose turn
/// it was last, so that absence earns nothing.
struct FairShares {
    private struct Account {
        var served: Int
        var sequences = 0
    }

    private var accounts: [Tenant?: Account] = [:]
    private var last = 0

    func served(_ tenant: Tenant?) -> Int { accounts[tenant]?.served ?? last }

    mutating func join(_ tenant: Tenant?) { accounts[tenant, default: Account(served: last)].sequences += 1 }

    mutating func leave(_ tenant: Tenant?) {
        guard var account = accounts[tenant] else { return }
        account.sequences -= 1
        accounts[tenant] = account.sequences > 0 ? account : nil
    }

    mutating func charge(_ tenant: Tenant?, _ tokens: Int) { accounts[tenant]?.served += tokens }

    /// Notes that it is this tenant's turn.
    mutating func take(_ tenant: Tenant?) { last = max(last, served(tenant)) }
}
