/// Of all ways to cut a piece into tokens the one with the highest sum of scores (arXiv 1804.10959), found
/// by Viterbi's algorithm from left to right.
struct UnigramModel: Sendable {
    let vocabulary: Vocabulary
    private let scores: [Double]
    private let trie: ByteTrie
    private let unknown: Int32
    private let unknownScore: Double
    private let byteTokens: [Int32?]

    /// `isListed` says which tokens a text may be cut into; `byteTokens` as in `BytePairModel.Unlisted`.
    init(
        vocabulary: Vocabulary, scores: [Double], unknown: Int32, byteTokens: [Int32?],
        isListed: (Int32) -> Bool
    ) {
        (self.vocabulary, self.scores, self.unknown) = (vocabulary, scores, unknown)
        self.byteTokens = byteTokens
        let listed = scores.indices.map { Int32($0) }.filter(isListed)
        trie = ByteTrie(listed.map { (vocabulary.bytes(of: $0), $0) })
        // An unknown character costs this much more than the least likely token, in SentencePiece and its kin.
        unknownScore = (scores.min() ?? 0) - 10
    }

    private struct Step {
        var score = -Double.infinity
        var start = 0
        var token: Int32 = 0
    }

    func encode(_ text: Pieces, into tokens: inout [Int32]) {
        text.bytes.withUnsafeBufferPointer { bytes in
            for range in text.ranges {
                encode(UnsafeBufferPointer(rebasing: bytes[range]), into: &tokens)
            }
        }
    }

    private func encode(_ piece: UnsafeBufferPointer<UInt8>, into tokens: inout [Int32]) {
        let path = bestPath(piece)
        var lastWasUnknown = false
        for (token, range) in path {
            guard token == unknown else {
                tokens.append(token)
                lastWasUnknown = false
                continue
            }
            let fallback = byteTokens.isEmpty ? [] : piece[range].compactMap { byteTokens[Int($0)] }
            if fallback.count == range.count {
                tokens += fallback
                lastWasUnknown = false
            } else {
                if !lastWasUnknown { tokens.append(unknown) }
                lastWasUnknown = true
            }
        }
    }

    private func bestPath(_ piece: UnsafeBufferPointer<UInt8>) -> [(token: Int32, range: Range<Int>)] {
        var steps = [Step](repeating: Step(), count: piece.count + 1)
        steps[0].score = 0
        var start = 0
        while start < piece.count {
            let width = min(utf8Width(piece[start]), piece.count - start)
            let soFar = steps[start].score
            var hasCharacter = false
            trie.prefixes(of: piece, at: start) { token, end in
                let score = soFar + scores[Int(token)]
                if score > steps[end].score { steps[end] = Step(score: score, start: start, token: token) }
                if end - start == width { hasCharacter = true }
            }
            if !hasCharacter, soFar + unknownScore > steps[start + width].score {
                steps[start + width] = Step(score: soFar + unknownScore, start: start, token: unknown)
            }
            start += width
        }
        var path: [(Int32, Range<Int>)] = []
        var end = piece.count
        while end > 0 {
            path.append((steps[end].token, steps[end].start..<end))
            end = steps[end].start
        }
        return path.reversed()
    }
}
