public import Serving

/// Looks for the likeliest answers by keeping the best so many beginnings at every length.
///
/// An answer that is complete scores the mean log probability of its tokens. The search is over when enough are and no
/// beginning scores better than the worst of them, or all have the greatest length.
public struct BeamSearch: Sendable {
    /// An answer that is complete.
    public struct Result: Sendable {
        public let chunks: [TextChunk]
        public let score: Double
    }

    private struct Beam {
        var tokens: [Int32] = []
        /// The sum of the log probabilities.
        var sum = 0.0
        var text: AnswerText
        var chunks: [TextChunk] = []

        var score: Double { sum / Double(max(tokens.count, 1)) }
    }

    private let request: TextRequest
    private let prompt: [Int32]
    private let width: Int
    private let endTokens: Set<Int32>
    private let vocabularySize: Int
    private var beams: [Beam]
    /// Best first.
    private var complete: [Result] = []

    /// - Parameter request: The sampling's temperature and bias count; what chooses among tokens does not.
    public init(_ request: TextRequest, prompt: [Int32], width: Int, _ generator: TextGenerator) {
        (self.request, self.prompt, self.width) = (request, prompt, width)
        (endTokens, vocabularySize) = (generator.endTokens, generator.engine.vocabularySize)
        beams = [Beam(text: AnswerText(request, generator))]
    }

    /// The answers found, worst first.
    public var results: [Result] { complete.reversed() }

    /// Requests for one token each; what is likeliest in their place goes to `advance`. None when the search is over.
    public var requests: [TextRequest] {
        beams.map { beam in
            var step = request
            (step.prompt, step.maxNewTokens) = (.tokens(prompt + beam.tokens), 1)
            step.topLogProbabilities = min(2 * width, vocabularySize)
            (step.stopTexts, step.stopTokens) = ([], [])
            (step.sampling.topK, step.sampling.topP, step.sampling.minP) = (nil, 1, 0)
            step.sampling.minNewTokens = 1
            return step
        }
    }

    /// Goes one token on: for each of `requests`, in order, the likeliest tokens in its answer's place.
    public mutating func advance(_ candidates: [[TokenScore]]) {
        var extended: [(beam: Int, token: TokenScore, sum: Double)] = []
        for (index, tokens) in candidates.enumerated() {
            for token in tokens where mayFollow(token.token, beams[index]) {
                extended.append((index, token, beams[index].sum + Double(token.logProbability)))
            }
        }
        extended.sort { ($1.sum, $0.beam, $0.token.token) < ($0.sum, $1.beam, $1.token.token) }
        var next: [Beam] = []
        for (index, token, sum) in extended.prefix(2 * width) where next.count < width {
            var beam = beams[index]
            beam.tokens.append(token.token)
            beam.sum = sum
            let scored = ScoredToken(token: token.token, logProbability: token.logProbability)
            beam.chunks.append(beam.text.append(scored, finish(of: beam)))
            if beam.chunks.last?.finish == nil { next.append(beam) } else { keep(beam) }
        }
        let best = next.map(\.score).max() ?? -.infinity
        let isOver = complete.count == width && best <= (complete.last?.score ?? -.infinity)
        beams = isOver ? [] : next
    }

    private func mayFollow(_ token: Int32, _ beam: Beam) -> Bool {
        !endTokens.contains(token) || beam.tokens.count >= request.sampling.minNewTokens - 1
    }

    private func finish(of beam: Beam) -> FinishReason? {
        for stop in request.stopTokens where !stop.isEmpty && stop.count <= beam.tokens.count {
            if beam.tokens.suffix(stop.count).elementsEqual(stop) { return .stop }
        }
        if !request.ignoresEndTokens, let last = beam.tokens.last, endTokens.contains(last) { return .stop }
        return beam.tokens.count >= request.maxNewTokens ? .length : nil
    }

    private mutating func keep(_ beam: Beam) {
        complete.append(Result(chunks: beam.chunks, score: beam.score))
        complete.sort { $0.score > $1.score }
        if complete.count > width { complete.removeLast() }
    }
}
