/// A text that is being cut: what there is to encode, and the pieces to encode one by one.
struct Pieces {
    var bytes: [UInt8]
    /// In order, none of them empty; bytes outside all of them are dropped.
    var ranges: [Range<Int>]

    init(_ bytes: [UInt8]) { (self.bytes, ranges) = (bytes, bytes.isEmpty ? [] : [0..<bytes.count]) }

    /// Builds each piece anew; `body` appends what becomes of it.
    mutating func rewrite(_ body: (_ piece: ArraySlice<UInt8>, _ index: Int, _ output: inout [UInt8]) -> Void)
    {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + bytes.count / 4)
        var rewritten: [Range<Int>] = []
        for (index, range) in ranges.enumerated() {
            let start = output.count
            body(bytes[range], index, &output)
            if output.count > start { rewritten.append(start..<output.count) }
        }
        (bytes, ranges) = (output, rewritten)
    }
}

/// What finds the places to cut at.
enum Splitter: Sendable {
    case known(KnownPattern)
    case classRun(ClassRun)
    case pattern(Pattern)

    init(_ source: String) throws(TokenizerError) {
        if let known = KnownPattern(source) {
            self = .known(known)
        } else if let run = ClassRun(source) {
            self = .classRun(run)
        } else {
            self = .pattern(try Pattern(source))
        }
    }
}

/// Cuts text into the pieces that are encoded each on its own.
indirect enum PreTokenizer: Sendable {
    /// What becomes of the parts that a pattern matches.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    case sequence([PreTokenizer])
    case split(Splitter, Behavior, inverted: Bool)
    /// Puts a space before a piece that does not begin with one.
    case prefixSpace
    /// Replaces spaces by `mark`; puts one before the text as `prepends` says; cuts before each.
    case metaspace(mark: [UInt8], prepends: Prepending, splits: Bool)
    /// Cuts after every so many characters.
    case fixedLength(Int)
    /// Writes bytes in the alphabet of byte-level vocabularies, for models that know nothing of bytes.
    case byteAlphabet

    enum Prepending: Sendable {
        case always, first, never
    }

    /// `isStart`: whether the pieces begin a text.
    func apply(_ pieces: inout Pieces, isStart: Bool) throws(TokenizerError) {
        switch self {
        case .sequence(let steps): for step in steps { try step.apply(&pieces, isStart: isStart) }
        case .split(let splitter, let behavior, let inverted):
            try Self.split(&pieces, splitter, behavior, inverted)
        case .prefixSpace:
            let space = UInt8(ascii: " ")
            guard pieces.ranges.contains(where: { pieces.bytes[$0.lowerBound] != space }) else { return }
            pieces.rewrite { piece, _, output in
                if piece.first != space { output.append(space) }
                output += piece
            }
        case .metaspace(let mark, let prepends, let splits):
            pieces.rewrite { piece, index, output in
                let isFirst = prepends == .always || (prepends == .first && isStart && index == 0)
                Self.mark(piece, mark, prepends: isFirst, &output)
            }
            if splits { Self.cutBefore(mark, &pieces) }
        case .fixedLength(let length): Self.cutEvery(length, &pieces)
        case .byteAlphabet:
            pieces.rewrite { piece, _, output in for byte in piece { output += ByteAlphabet.utf8[Int(byte)] }
            }
        }
    }

    private static func split(
        _ pieces: inout Pieces, _ splitter: Splitter, _ behavior: Behavior, _ inverted: Bool
    ) throws(TokenizerError) {
        var cutter = Cutter(behavior: behavior, inverted: inverted)
        switch splitter {
        case .known(let known):
            TextView.with(pieces.bytes) { text in
                for range in pieces.ranges {
                    cutter.begin(range)
                    known.matches(in: text, range) { cutter.match($0) }
                }
            }
        case .classRun(let run):
            TextView.with(pieces.bytes) { text in
                for range in pieces.ranges {
                    cutter.begin(range)
                    run.matches(in: text, range) { cutter.match($0) }
                }
            }
        case .pattern(let pattern):
            var current = -1
            try pattern.matches(in: pieces.bytes, pieces.ranges) { piece, match in
                while current < piece {
                    current += 1
                    cutter.begin(pieces.ranges[current])
                }
                cutter.match(match)
            }
            for range in pieces.ranges.dropFirst(current + 1) { cutter.begin(range) }
        }
        pieces.ranges = cutter.finish()
    }

    private static func mark(
        _ piece: ArraySlice<UInt8>, _ mark: [UInt8], prepends: Bool, _ output: inout [UInt8]
    ) {
        let start = output.count
        if prepends { output += mark }
        let first = output.count
        for byte in piece { if byte == UInt8(ascii: " ") { output += mark } else { output.append(byte) } }
        if prepends, output[first...].starts(with: mark) { output.removeSubrange(start..<first) }
    }

    private static func cutBefore(_ mark: [UInt8], _ pieces: inout Pieces) {
        guard let first = mark.first else { return }
        var result: [Range<Int>] = []
        for range in pieces.ranges {
            var start = range.lowerBound
            for index in range.dropFirst()
            where pieces.bytes[index] == first && pieces.bytes[index..<range.upperBound].starts(with: mark) {
                result.append(start..<index)
                start = index
            }
            result.append(start..<range.upperBound)
        }
        pieces.ranges = result
    }

    private static func cutEvery(_ length: Int, _ pieces: inout Pieces) {
        var result: [Range<Int>] = []
        for range in pieces.ranges {
            var (start, index, count) = (range.lowerBound, range.lowerBound, 0)
            while index < range.upperBound {
                index = min(index + utf8Width(pieces.bytes[index]), range.upperBound)
                count += 1
                if count == length || index == range.upperBound {
                    result.append(start..<index)
                    (start, count) = (index, 0)
                }
            }
        }
        pieces.ranges = result
    }
}

/// Puts together what a split leaves, from matches that come in order.
private struct Cutter {
    let behavior: PreTokenizer.Behavior
    let inverted: Bool
    private var result: [Range<Int>] = []
    /// The rest of the current piece.
    private var start = 0
    private var end = 0
    private var isFirst = true
    private var lastWasMatch = false

    init(behavior: PreTokenizer.Behavior, inverted: Bool) {
        (self.behavior, self.inverted) = (behavior, inverted)
    }

    mutating func begin(_ piece: Range<Int>) {
        endPiece()
        (start, end, isFirst, lastWasMatch) = (piece.lowerBound, piece.upperBound, true, false)
    }

    @inline(__always) mutating func match(_ range: Range<Int>) {
        if range.lowerBound > start { add(start..<range.lowerBound, inverted) }
        add(range, !inverted)
        start = range.upperBound
    }

    mutating func finish() -> [Range<Int>] {
        endPiece()
        return result
    }

    private mutating func endPiece() {
        if start < end { add(start..<end, inverted) }
        start = end
    }

    @inline(__always) private mutating func add(_ range: Range<Int>, _ isMatch: Bool) {
        if behavior == .isolated {
            result.append(range)
        } else {
            addJoining(range, isMatch)
        }
    }

    private mutating func addJoining(_ range: Range<Int>, _ isMatch: Bool) {
        let joins: Bool
        switch behavior {
        case .removed:
            if !isMatch { result.append(range) }
            return
        case .isolated: joins = false
        case .contiguous: joins = isMatch == lastWasMatch
        case .mergedWithPrevious: joins = isMatch && !lastWasMatch
        case .mergedWithNext: joins = lastWasMatch && !isMatch
        }
        if joins, !isFirst, let last = result.popLast() {
            result.append(last.lowerBound..<range.upperBound)
        } else {
            result.append(range)
        }
        (isFirst, lastWasMatch) = (false, isMatch)
    }
}

extension PreTokenizer {
    static func isolating(_ pattern: String) throws(TokenizerError) -> PreTokenizer {
        .split(try Splitter(pattern), .isolated, inverted: false)
    }

    static func digits(individually: Bool) -> PreTokenizer {
        .split(.known(.digits(individually: individually)), .isolated, inverted: false)
    }
}
