import Layers
import Ranks
import Scheduling
import Synchronization
import Tensors

/// What the engine's thread does: take commands, schedule, run, sample, publish.
struct EngineLoop: ~Copyable {
    let model: any LanguageModel
    let backend: any Backend
    let cache: any KeyValueCache
    var scheduler: Scheduler
    let mailbox: Mailbox
    let published: PublishedStatistics
    /// The other ranks, which compute every step too.
    let group: RankGroup?
    private var requests: [SequenceID: ActiveRequest] = [:]
    private var statistics = EngineStatistics()
    private var isStopped = false
    private var clock: StepClock?
    private let outbox = Outbox()
    private let order: StepOrder
    /// Whether a step has begun that is not in the books yet.
    private var isUnderWay = false
    // Kept from step to step for their memory.
    private var builder = PassBuilder()
    private var parts: [Part] = []
    private var queries: [LogitQuery] = []
    private var answers: [LogitAnswer] = []
    /// What the last step made, until it is sent, and those who failed with it.
    private var deliveries: [Delivery] = []
    private var failures: [(events: AsyncStream<GenerationEvent>.Continuation, error: RequestError)] = []

    /// A request's part of a step.
    private struct Part {
        let item: Step.Item
        let request: ActiveRequest
        /// Its questions about the logits.
        let queries: Range<Int>
    }

    init(
        model: any LanguageModel, backend: any Backend, cache: any KeyValueCache,
        scheduler: consuming Scheduler, mailbox: Mailbox, published: PublishedStatistics, trace: StepTrace?,
        group: RankGroup?, order: StepOrder
    ) {
        (self.group, self.order) = (group, order)
        (self.model, self.backend, self.cache) = (model, backend, cache)
        (self.mailbox, self.published) = (mailbox, published)
        self.scheduler = scheduler
        clock = trace.map { StepClock($0) }
        statistics.totalSlots = cache.slots
    }

    mutating func run() {
        while !isStopped {
            clock?.start()
            letComeAndGo()
            let step = scheduler.next()
            mailbox.noteWaiting(scheduler.waitingCount)
            clock?.end(.schedule, rows: step?.tokenCount ?? 0)
            if let step {
                perform(step)
            } else if !isStopped {
                deliver()
                idle()
            }
        }
        deliver()
        // Whoever is refused from now on is told why.
        publishStatistics()
        let late = mailbox.close().compactMap {
            if case .submit(let ticket) = $0 { ticket.events } else { nil }
        }
        if let failure = statistics.failure {
            abandon(late, failure)
        } else {
            outbox.finish(requests.values.map(\.events) + late)
            group?.channel.leave()
        }
        clock?.trace.flush()
    }

    /// Ends all requests, and those that came too `late` to become any. Before they hear of it, their slots are free.
    private mutating func abandon(
        _ late: [AsyncStream<GenerationEvent>.Continuation], _ failure: RequestError
    ) {
        let events = requests.values.map(\.events) + late
        for id in requests.keys { scheduler.remove(id) }
        requests.removeAll()
        statistics.failedRequests += events.count
        publishStatistics()
        outbox.fail(events, failure)
    }

    private mutating func idle() {
        publishStatistics()
        clock?.trace.flush()
        mailbox.wait()
        statistics.lastProgress = .now
    }

    private mutating func letComeAndGo() {
        obeyCommands()
        expireRequests()
        clock?.end(.commands)
    }

    private mutating func obeyCommands() {
        let commands = mailbox.take()
        guard !commands.isEmpty else { return }
        for command in commands { obey(command) }
        publishStatistics()
    }

    private mutating func obey(_ command: Command) {
        switch command {
        case .submit(let ticket):
            let request = ActiveRequest(ticket, model)
            do throws(QueueFull) {
                try scheduler.add(request.sequence)
                requests[request.sequence.id] = request
            } catch {
                outbox.fail([request.events], .queueFull(limit: error.limit))
            }
        case .cancel(let id):
            // After a failure nobody cancels: streams have ended with it.
            guard statistics.failure == nil, requests.removeValue(forKey: SequenceID(id)) != nil else {
                return
            }
            scheduler.remove(SequenceID(id))
            statistics.cancelledRequests += 1
        case .stop:
            isStopped = true
        case .fail(let failure):
            statistics.failure = failure
            isStopped = true
        }
    }

    private mutating func expireRequests() {
        guard let deadline = scheduler.nextDeadline, deadline <= .now else { return }
        let expired = scheduler.expire(at: .now).compactMap { requests.removeValue(forKey: $0.id) }
        statistics.expiredRequests += expired.count
        outbox.fail(expired.map(\.events), .expired)
        publishStatistics()
    }

    private mutating func perform(_ step: Step) {
        let start = ContinuousClock.now
        let logits = compute(step)
        builder.removeAll()
        // What was computed without another rank means nothing.
        if let failure = group?.health.failure { return obey(.fail(.engineFailed("\(failure)"))) }
        isUnderWay = true
        let pending = ask(step, logits)
        if order == .overlapped {
            // None of this needs a token of the step.
            deliver()
            clock?.end(.publish)
            letComeAndGo()
        }
        pending.wait(into: &answers)
        isUnderWay = false
        clock?.end(.sample, rows: logits.rows)
        if let failure = backend.failure { obey(.fail(.engineFailed("\(failure)"))) }
        // Nothing of what was computed counts, nor will anything that is computed from now on.
        guard statistics.failure == nil else { return parts.removeAll() }
        settle(step, since: start)
        if order == .oneAfterTheOther { deliver() }
        clock?.end(.publish, rows: step.items.count)
    }

    /// Sends what the last step made. Its requests' slots are free by then, for all to see.
    private mutating func deliver() {
        guard !deliveries.isEmpty else { return }
        publishStatistics()
        outbox.send(deliveries)
        for failure in failures { outbox.fail([failure.events], failure.error) }
        // Finished requests go now, not with the next step.
        deliveries.removeAll(keepingCapacity: true)
        failures.removeAll(keepingCapacity: true)
    }

    private mutating func compute(_ step: Step) -> Matrix {
        let pass = builder.build(step, cache: cache, backend: backend) { requests[$0] }
        clock?.end(.build, rows: step.tokenCount)
        group?.channel.send(StepMessage.encode(pass))
        let logits = backend.perform(pass) { model(pass) }
        group?.communicator.settle()
        clock?.end(.forward, rows: step.tokenCount)
        return logits
    }

    /// Has a token chosen for every sequence that has come to its end.
    private mutating func ask(_ step: Step, _ logits: Matrix) -> PendingAnswers {
        queries.removeAll(keepingCapacity: true)
        var row = 0
        for item in step.items {
            guard let request = requests[item.sequence.id] else {
                preconditionFailure("an item of no request")
            }
            let first = queries.count
            request.ask(item, logits, row: row, into: &queries)
            parts.append(Part(item: item, request: request, queries: first..<queries.count))
            row += item.logitRows
        }
        return backend.ask(queries, on: logits)
    }

    /// Enters what was computed and chosen into the books.
    private mutating func settle(_ step: Step, since start: ContinuousClock.Instant) {
        // Some may have been cancelled while the step ran.
        for part in parts where requests[part.item.sequence.id] === part.request { settle(part) }
        parts.removeAll(keepingCapacity: true)
        statistics.steps += 1
        statistics.lastProgress = .now
        let seconds = (statistics.lastProgress - start) / .seconds(1)
        let prompts = step.items.count { $0.range.lowerBound < $0.sequence.promptCount }
        if prompts > 0 {
            statistics.prefillSteps.add(seconds)
            statistics.promptsPerStep.add(Double(prompts))
        } else {
            statistics.decodeSteps.add(seconds)
        }
        statistics.stepTokens.add(Double(step.tokenCount))
    }

    private mutating func settle(_ part: Part) {
        let (item, sequence, request) = (part.item, part.item.sequence, part.request)
        request.take(item, answers[part.queries])
        if sequence.tokens.count == sequence.promptCount { statistics.promptTokens += item.range.count }
        let token = request.chosenToken
        scheduler.record(item, sampled: token)
        defer { deliveries.append(request.takeDelivery()) }
        if let failure = request.failure {
            scheduler.remove(sequence.id)
            requests[sequence.id] = nil
            statistics.failedRequests += 1
            failures.append((request.events, failure))
            return
        }
        guard let token else { return }
        statistics.generatedTokens += 1
        if request.conclude(with: token) {
            scheduler.finish(sequence.id)
            requests[sequence.id] = nil
            statistics.finishedRequests += 1
        } else if !model.keepsCache(from: item.range.upperBound, to: sequence.tokens.count) {
            scheduler.restart(sequence)
        }
    }

    private mutating func publishStatistics() {
        statistics.freeSlots = scheduler.freeSlots
        statistics.cachedTokens = scheduler.counters.cachedTokens
        statistics.pauses = scheduler.counters.pauses
        statistics.running = scheduler.runningCount
        statistics.waiting = scheduler.waitingCount
        statistics.paused = scheduler.pausedCount
        // What a step under way will use is not in the books, so that no more can be reckoned from them.
        if !isUnderWay { statistics.peakSlots = scheduler.peak() }
        published.publish(statistics)
    }
}
