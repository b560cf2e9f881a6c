import Tensors

/// A step as rank 0 tells the others: numbers of fixed width in a fixed order, nothing to interpret.
///
/// Little-endian words of 32 bits: a magic number, the version, how many rows, sequences, sampled rows and slots of
/// contexts, coordinates, and runs of rows from images there are, and columns of those; then tokens, positions, lengths
/// and new slots row by row; for each sequence its first row, the row after its last and how many slots its context
/// has; the sampled rows; the slots of all contexts; coordinates; for each run from an image its first row and the row
/// after its last; and the numbers of those rows, as float32.
struct StepMessage {
    private static let magic: Int32 = 0x4C4C_4D53
    private static let version: Int32 = 1
    private static let headerWords = 9

    /// The message for `pass`.
    static func encode(_ pass: ForwardPass) -> [UInt8] {
        let contexts = pass.sequences.reduce(0) { $0 + $1.contextSlots.count }
        let columns = pass.images.first?.features.columns ?? 0
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            4 * (headerWords + 4 * pass.tokens.count + 3 * pass.sequences.count + pass.sampledRows.count)
                + 4 * contexts)
        func append(_ words: [Int32]) { words.withUnsafeBytes { bytes += $0 } }
        append([
            magic, version, Int32(pass.tokens.count), Int32(pass.sequences.count),
            Int32(pass.sampledRows.count), Int32(contexts), Int32(pass.coordinates.count),
            Int32(pass.images.count), Int32(columns),
        ])
        for words in [pass.tokens, pass.positions, pass.lengths, pass.newSlots] { append(words) }
        append(
            pass.sequences.flatMap {
                [Int32($0.rows.lowerBound), Int32($0.rows.upperBound), Int32($0.contextSlots.count)]
            })
        append(pass.sampledRows)
        for sequence in pass.sequences { append(sequence.contextSlots) }
        append(pass.coordinates)
        for image in pass.images { append([Int32(image.rows.lowerBound), Int32(image.rows.upperBound)]) }
        for image in pass.images {
            image.features[rows: image.first..<image.first + image.rows.count].withUnsafeBytes { bytes += $0 }
        }
        return bytes
    }

    /// What numbers a step may have.
    struct Limits {
        let vocabulary: Int
        let slots: Int
        /// Positions are below this.
        let positions: Int
        /// On how many axes tokens have positions.
        var axes = 1
        /// Columns of what images have in place of tokens; nil where there are none.
        var featureWidth: Int?
    }

    /// The pass that `message` is of. Throws `StepMessageError` unless every number is one that a step can have.
    static func decode(
        _ message: [UInt8], _ limits: Limits, cache: any KeyValueCache, backend: any Backend
    ) throws(StepMessageError) -> ForwardPass {
        var reader = WordReader(message)
        let header = try reader.take(headerWords)
        guard header[0] == magic else { throw .wrong("magic number", header[0]) }
        guard header[1] == version else { throw .wrong("version", header[1]) }
        let (rows, count) = (Int(header[2]), Int(header[3]))
        guard rows > 0 else { throw .wrong("number of rows", header[2]) }
        let tokens = try reader.take(rows, below: limits.vocabulary, "token")
        let positions = try reader.take(rows, below: limits.positions, "position")
        let lengths = try reader.take(rows, below: Int(Int32.max), "length")
        let newSlots = try reader.take(rows, below: limits.slots, "slot")
        guard count > 0 else { throw .wrong("number of sequences", header[3]) }
        let (shapes, overflow) = count.multipliedReportingOverflow(by: 3)
        guard !overflow else { throw .wrong("number of sequences", header[3]) }
        let parts = try reader.take(shapes)
        let sampled = try reader.take(Int(header[4]), below: rows, "sampled row")
        var sequences: [ForwardPass.Sequence] = []
        var next: Int32 = 0
        for index in 0..<count {
            let (first, end, context) = (parts[3 * index], parts[3 * index + 1], parts[3 * index + 2])
            guard first == next, end > first, end <= header[2] else { throw .wrong("row of a sequence", end) }
            // Attention reads a slot for every position up to that of the sequence's last row.
            guard context > positions[Int(end) - 1],
                positions[Int(first)] == positions[Int(end) - 1] - (end - first - 1)
            else { throw .wrong("length of a context", context) }
            let slots = try reader.take(Int(context), below: limits.slots, "slot of a context")
            sequences.append(ForwardPass.Sequence(rows: Int(first)..<Int(end), contextSlots: slots))
            next = end
        }
        guard next == header[2] else { throw .wrong("row after the last sequence", next) }
        guard header[6] == 0 || limits.axes > 1 && Int(header[6]) == limits.axes * rows else {
            throw .wrong("number of coordinates", header[6])
        }
        let coordinates = try reader.take(Int(header[6]), below: Int(Int32.max), "coordinate")
        let images = try images(&reader, count: Int(header[7]), columns: Int(header[8]), rows: rows, limits)
        guard reader.isAtEnd else { throw .wrong("number of bytes", Int32(clamping: message.count)) }
        return ForwardPass(
            tokens: tokens, positions: positions, lengths: lengths, newSlots: newSlots, sequences: sequences,
            sampledRows: sampled, images: images, coordinates: coordinates, cache: cache, backend: backend)
    }

    private static func images(
        _ reader: inout WordReader, count: Int, columns: Int, rows: Int, _ limits: Limits
    ) throws(StepMessageError) -> [ForwardPass.ImageRows] {
        guard count > 0 else {
            guard count == 0 else { throw .wrong("number of images", Int32(clamping: count)) }
            return []
        }
        guard columns == limits.featureWidth else {
            throw .wrong("width of images", Int32(clamping: columns))
        }
        let (words, overflow) = count.multipliedReportingOverflow(by: 2)
        guard !overflow else { throw .wrong("number of images", Int32(clamping: count)) }
        let bounds = try reader.take(words)
        var images: [ForwardPass.ImageRows] = []
        for index in 0..<count {
            let (first, end) = (Int(bounds[2 * index]), Int(bounds[2 * index + 1]))
            guard first >= 0, first < end, end <= rows else {
                throw .wrong("row of an image", bounds[2 * index])
            }
            let values = try reader.take((end - first) * columns).map {
                Float(bitPattern: UInt32(bitPattern: $0))
            }
            images.append(
                ForwardPass.ImageRows(
                    rows: first..<end,
                    features: ImageFeatures(rows: end - first, columns: columns, values: values), first: 0))
        }
        return images
    }
}

/// A message that says no step.
enum StepMessageError: Error, Equatable, CustomStringConvertible {
    case tooShort(Int)
    case wrong(String, Int32)

    var description: String {
        switch self {
        case .tooShort(let count): "a step's message ends after \(count) bytes"
        case .wrong(let what, let found): "a step's message has a wrong \(what): \(found)"
        }
    }
}

/// Reads words one after the other, never past the end.
private struct WordReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ count: Int) throws(StepMessageError) -> [Int32] {
        guard count >= 0, count <= (bytes.count - position) / 4 else { throw .tooShort(bytes.count) }
        defer { position += 4 * count }
        return bytes.withUnsafeBytes { all in
            (0..<count).map {
                Int32(littleEndian: all.loadUnaligned(fromByteOffset: position + 4 * $0, as: Int32.self))
            }
        }
    }

    /// Words from 0 to `limit - 1`.
    mutating func take(_ count: Int, below limit: Int, _ what: String) throws(StepMessageError) -> [Int32] {
        let words = try take(count)
        if let stray = words.first(where: { $0 < 0 || Int($0) >= limit }) { throw .wrong(what, stray) }
        return words
    }
}
