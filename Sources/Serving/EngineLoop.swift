import Layers
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
    private var requests: [SequenceID: ActiveRequest] = [:]
    private var statistics = EngineStatistics()
    private var isStopped = false
    private var clock: StepClock?
    private var row: [Float] = []

    init(
        model: any LanguageModel, backend: any Backend, cache: any KeyValueCache,
        scheduler: consuming Scheduler, mailbox: Mailbox, published: PublishedStatistics, trace: StepTrace?
    ) {
        (self.model, self.backend, self.cache) = (model, backend, cache)
        (self.mailbox, self.published) = (mailbox, published)
        self.scheduler = scheduler
        clock = trace.map { StepClock($0) }
        statistics.totalSlots = cache.slots
    }

    mutating func run() {
        while !isStopped {
            clock?.start()
            for command in mailbox.take() { obey(command) }
            clock?.end(.commands)
            let step = scheduler.next()
            clock?.end(.schedule, rows: step?.tokenCount ?? 0)
            if let step { perform(step) } else if !isStopped { idle() }
        }
        for case .submit(let ticket) in mailbox.close() { ticket.events.finish() }
        for request in requests.values { request.events.finish() }
        clock?.trace.flush()
    }

    private mutating func idle() {
        publish()
        clock?.trace.flush()
        mailbox.wait()
    }

    private mutating func obey(_ command: Command) {
        switch command {
        case .submit(let ticket):
            let request = ActiveRequest(ticket)
            requests[request.sequence.id] = request
            scheduler.add(request.sequence)
        case .cancel(let id):
            guard requests.removeValue(forKey: SequenceID(id)) != nil else { return }
            scheduler.remove(SequenceID(id))
            statistics.cancelledRequests += 1
        case .stop:
            isStopped = true
        }
        publish()
    }

    private mutating func perform(_ step: Step) {
        let (pass, outputs) = ForwardPass.make(step, cache: cache, backend: backend)
        clock?.end(.build, rows: step.tokenCount)
        let logits = model(pass)
        clock?.end(.forward, rows: step.tokenCount)
        let greedy = greedyChoices(logits)
        clock?.end(.sample, rows: logits.rows)
        var row = 0
        for (item, rows) in zip(step.items, outputs) {
            take(item, logits, rows: row..<row + rows, greedy)
            row += rows
        }
        statistics.steps += 1
        publish()
        clock?.end(.publish, rows: step.items.count)
    }

    /// The likeliest token and the normaliser of every row, when any request wants no more than that.
    private func greedyChoices(_ logits: Matrix) -> GreedyChoices? {
        guard logits.rows > 0, requests.values.contains(where: \.takesGreedyChoice) else { return nil }
        return GreedyChoices(tokens: backend.argMax(logits), totals: backend.logSumExp(logits))
    }

    /// Scores, samples and publishes one sequence's part of a step.
    private mutating func take(
        _ item: Step.Item, _ logits: Matrix, rows: Range<Int>, _ greedy: GreedyChoices?
    ) {
        guard let request = requests[item.sequence.id] else { return }
        if item.sequence.tokens.count == item.sequence.promptCount {
            statistics.promptTokens += item.range.count
        }
        if item.scoresPrompt {
            request.events.yield(.prompt(promptScores(item, request, logits, rows)))
        }
        guard item.isLast, let last = rows.last else {
            scheduler.record(item, sampled: nil)
            return
        }
        let token = sample(request, logits, row: last, greedy)
        scheduler.record(item, sampled: token.token)
        statistics.generatedTokens += 1
        let reason = request.finishReason(after: token.token)
        // Before the last event, so that whoever sees it also sees the slots free.
        if reason != nil {
            finish(request)
        } else if !model.keepsCache(from: item.range.upperBound, to: item.sequence.tokens.count) {
            scheduler.restart(item.sequence)
        }
        request.events.yield(.token(token, finish: reason))
        if reason != nil { request.events.finish() }
    }

    private mutating func sample(
        _ request: ActiveRequest, _ logits: Matrix, row index: Int, _ greedy: GreedyChoices?
    ) -> ScoredToken {
        let reportsLogits = request.reportsLogits && request.generated == 0
        if let greedy, request.takesGreedyChoice, !reportsLogits {
            return greedyToken(request, logits, row: index, greedy)
        }
        backend.read(logits, row: index, into: &row)
        if reportsLogits { request.events.yield(.logits(row)) }
        if let greedy, request.takesGreedyChoice { return greedyToken(request, logits, row: index, greedy) }
        return request.sample(&row)
    }

    private mutating func greedyToken(
        _ request: ActiveRequest, _ logits: Matrix, row index: Int, _ greedy: GreedyChoices
    ) -> ScoredToken {
        let token = greedy.tokens[index]
        request.note(token)
        return ScoredToken(
            token: token, logProbability: value(logits, index, Int(token)) - greedy.totals[index])
    }

    private mutating func value(_ logits: Matrix, _ index: Int, _ column: Int) -> Float {
        backend.read(logits.columns(column..<column + 1), row: index, into: &row)
        return row[0]
    }

    /// Row `i` of a prompt predicts its token `i + 1`; the first token is predicted by nothing.
    private mutating func promptScores(
        _ item: Step.Item, _ request: ActiveRequest, _ logits: Matrix, _ rows: Range<Int>
    ) -> [ScoredToken] {
        let sequence = item.sequence
        var scores: [ScoredToken] = []
        if item.range.lowerBound == 0 {
            scores.append(ScoredToken(token: sequence.tokens[0], logProbability: nil))
        }
        for (offset, index) in rows.enumerated() {
            let next = item.range.lowerBound + offset + 1
            guard next < sequence.promptCount else { break }
            backend.read(logits, row: index, into: &row)
            let token = sequence.tokens[next]
            scores.append(
                ScoredToken(
                    token: token, logProbability: row[Int(token)] - logSumExp(row),
                    top: topScores(request.topLogProbabilities, of: row)))
        }
        return scores
    }

    private mutating func finish(_ request: ActiveRequest) {
        scheduler.remove(request.sequence.id)
        requests[request.sequence.id] = nil
        statistics.finishedRequests += 1
        publish()
    }

    private mutating func publish() {
        statistics.freeSlots = scheduler.pool.available
        statistics.running = scheduler.runningCount
        statistics.waiting = scheduler.waitingCount
        let current = statistics
        published.current.withLock { $0 = current }
    }
}

/// For each row of logits the likeliest token, and `ln Σ exp`.
struct GreedyChoices {
    let tokens: [Int32]
    let totals: [Float]
}
