import Tensors

/// The key/value header of a GGUF file. Arrays stay in the file until they are asked for.
public struct GGUFMetadata: Sendable {
    enum Value: Sendable {
        case integer(Int)
        case number(Double)
        case bool(Bool)
        case string(String)
        /// The type of the elements, how many there are, and the bytes they take.
        case array(type: UInt32, count: Int, bytes: HostBytes)
    }

    let values: [String: Value]
    let file: String

    public func integer(_ key: String) -> Int? {
        if case .integer(let value) = values[key] { value } else { nil }
    }

    public func number(_ key: String) -> Double? {
        switch values[key] {
        case .number(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }

    public func bool(_ key: String) -> Bool? {
        if case .bool(let value) = values[key] { value } else { nil }
    }

    public func string(_ key: String) -> String? {
        if case .string(let value) = values[key] { value } else { nil }
    }

    public func strings(_ key: String) -> [String]? {
        guard case .array(GGUFType.string, let count, let bytes) = values[key] else { return nil }
        var reader = ByteReader(bytes, file: file)
        return try? (0..<count).map { _ in try reader.string(try reader.count()) }
    }

    public func floats(_ key: String) -> [Float]? {
        guard case .array(GGUFType.float32, let count, let bytes) = values[key] else { return nil }
        return (0..<count).map { bytes.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }

    public func integers(_ key: String) -> [Int]? {
        guard case .array(let type, let count, let bytes) = values[key],
            type == GGUFType.int32 || type == GGUFType.uint32
        else { return nil }
        return (0..<count).map { Int(bytes.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
    }

    func isArray(_ key: String) -> Bool { if case .array = values[key] { true } else { false } }
}

/// The type numbers of metadata values.
enum GGUFType {
    static let (uint8, int8, uint16, int16): (UInt32, UInt32, UInt32, UInt32) = (0, 1, 2, 3)
    static let (uint32, int32, float32, bool): (UInt32, UInt32, UInt32, UInt32) = (4, 5, 6, 7)
    static let (string, array, uint64, int64, float64): (UInt32, UInt32, UInt32, UInt32, UInt32) = (
        8, 9, 10, 11, 12
    )

    /// Bytes of a value of fixed size; nil for strings, arrays and unknown types.
    static func size(_ type: UInt32) -> Int? {
        switch type {
        case uint8, int8, bool: 1
        case uint16, int16: 2
        case uint32, int32, float32: 4
        case uint64, int64, float64: 8
        default: nil
        }
    }
}

extension GGUFMetadata {
    /// Reads `count` pairs. Nested arrays are refused: no known file has one.
    init(_ reader: inout ByteReader, count: Int, file: String) throws(CheckpointError) {
        var values: [String: Value] = [:]
        for _ in 0..<count {
            let key = try reader.string(try reader.count())
            let type: UInt32 = try reader.integer()
            let value = try Self.value(&reader, type, key: key, file: file)
            guard values.updateValue(value, forKey: key) == nil else {
                throw .malformed(file: file, "the key \(key) occurs twice")
            }
        }
        (self.values, self.file) = (values, file)
    }

    private static func value(
        _ reader: inout ByteReader, _ type: UInt32, key: String, file: String
    ) throws(CheckpointError) -> Value {
        switch type {
        case GGUFType.uint8: return .integer(Int(try reader.integer(UInt8.self)))
        case GGUFType.int8: return .integer(Int(try reader.integer(Int8.self)))
        case GGUFType.uint16: return .integer(Int(try reader.integer(UInt16.self)))
        case GGUFType.int16: return .integer(Int(try reader.integer(Int16.self)))
        case GGUFType.uint32: return .integer(Int(try reader.integer(UInt32.self)))
        case GGUFType.int32: return .integer(Int(try reader.integer(Int32.self)))
        case GGUFType.uint64: return .integer(try reader.count())
        case GGUFType.int64: return .integer(Int(try reader.integer(Int64.self)))
        case GGUFType.float32: return .number(Double(Float(bitPattern: try reader.integer())))
        case GGUFType.float64: return .number(Double(bitPattern: try reader.integer()))
        case GGUFType.bool: return .bool(try reader.integer(UInt8.self) != 0)
        case GGUFType.string: return .string(try reader.string(try reader.count()))
        case GGUFType.array: return try array(&reader, key: key, file: file)
        default: throw .malformed(file: file, "the key \(key) has the unknown type \(type)")
        }
    }

    private static func array(
        _ reader: inout ByteReader, key: String, file: String
    ) throws(CheckpointError) -> Value {
        let type: UInt32 = try reader.integer()
        let count = try reader.count()
        let start = reader.position
        if type == GGUFType.string {
            guard count <= reader.remaining / 8 else {
                throw .malformed(file: file, "\(key): too long an array")
            }
            for _ in 0..<count { try reader.skip(try reader.count()) }
        } else if let size = GGUFType.size(type), count <= reader.remaining / size {
            try reader.skip(count * size)
        } else {
            throw .malformed(file: file, "\(key): an array of \(count) values of type \(type) cannot be read")
        }
        return .array(type: type, count: count, bytes: reader.source[start..<reader.position])
    }
}
