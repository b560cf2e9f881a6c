import Testing

@testable import Scheduling

/// What a key and a value depend on: the tokens up to theirs.
private struct Cell: Equatable {
    let tokens: [Int32]
}

@Suite struct RandomOperationsTests {
    /// Sequences come, run, finish, leave, are paused, and cached prefixes are evicted: 100,000 operations in all.
    /// After each every slot has exactly one owner; a step finds in every slot it reads what its sequence would have
    /// computed itself; and each sequence gets to its end.
    @Test(arguments: 1...20)
    func everySlotHasOneOwner(_ seed: Int) throws {
        var random = Random(state: UInt64(seed))
        let pool = SlotPool(capacity: Int.random(in: 24...70, using: &random))
        let policies: [any AdmissionPolicy] = [
            GuaranteedPolicy(), PastFuturePolicy(deviations: 0.5, window: 20, samples: 2),
            AggressivePolicy(ratio: 0.99, newTokens: 1), ConservativePolicy(),
        ]
        var limits = SchedulerLimits(runningSequences: 5, tokensPerStep: 9, scoredTokensPerStep: 3)
        limits.waitingSequences = 12
        limits.stepsBetweenLooks = 1 + seed % 3
        var scheduler = Scheduler(pool: pool, limits: limits, policy: policies[seed % 4])
        var memory = [Cell?](repeating: nil, count: pool.capacity)
        var alive: [SequenceID: ScheduledSequence] = [:]
        var number: UInt64 = 0
        func draw(_ random: inout Random) -> ScheduledSequence {
            number += 1
            let count = Int.random(in: 1...12, using: &random)
            let prompt = (0..<count).map {
                Int32($0 < 8 ? number % 3 : UInt64.random(in: 0...1, using: &random))
            }
            let uses: [CacheUse] = [
                .shared(nil), .shared(nil), .shared(nil), .shared(CacheSalt("a")), .own, .recomputed,
            ]
            return ScheduledSequence(
                id: SequenceID(number), prompt: prompt, maxNewTokens: Int.random(in: 1...12, using: &random),
                scoresPrompt: number % 7 == 0, cacheUse: uses.randomElement(using: &random) ?? .own,
                terms: QueueTerms(
                    priority: Int.random(in: 0...2, using: &random), tenant: Tenant("\(number % 3)")))
        }
        for _ in 0..<5000 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...2:
                let sequence = draw(&random)
                guard scheduler.canEverRun(maxSlots: sequence.maxSlots) else { continue }
                do throws(QueueFull) {
                    try scheduler.add(sequence)
                    alive[sequence.id] = sequence
                } catch {
                    #expect(scheduler.waitingCount >= 12)
                }
            case 3:
                guard let id = alive.keys.sorted(by: { $0.value < $1.value }).randomElement(using: &random)
                else { continue }
                scheduler.remove(id)
                alive[id] = nil
            case 4: scheduler.tree.evict(Int.random(in: 1...4, using: &random))
            case 5 where seed % 4 != 0: scheduler.pauseNewest()
            default:
                guard let step = scheduler.next() else { continue }
                #expect(step.tokenCount <= limits.tokensPerStep && !step.items.isEmpty)
                for item in step.items {
                    for index in item.range {
                        memory[Int(item.sequence.slots[index])] = Cell(
                            tokens: Array(item.sequence.tokens[...index]))
                    }
                }
                for item in step.items {
                    let sequence = item.sequence
                    for index in 0..<item.range.upperBound {
                        let cell = memory[Int(sequence.slots[index])]
                        #expect(cell == Cell(tokens: Array(sequence.tokens[...index])))
                    }
                    scheduler.record(
                        item, sampled: item.isLast ? Int32.random(in: 0...1, using: &random) : nil)
                    let isFull = sequence.tokens.count == sequence.maxCount
                    if isFull || item.isLast && Int.random(in: 0..<9, using: &random) == 0 {
                        scheduler.finish(sequence.id)
                        alive[sequence.id] = nil
                    } else if item.isLast, sequence.cacheUse == .recomputed, Bool.random(using: &random) {
                        scheduler.restart(sequence)
                    }
                }
            }
            scheduler.checkInvariants()
        }
        for _ in 0..<5000 where !scheduler.isIdle { _ = scheduler.run() }
        let (isIdle, free) = (scheduler.isIdle, scheduler.freeSlots)
        #expect(isIdle && free == pool.capacity)
        scheduler.tree.evict(pool.capacity)
        #expect(pool.available == pool.capacity)
    }
}
