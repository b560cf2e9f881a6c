import Tensors

/// Reads the one kind of pickle that a state dict is: a dictionary from names to tensors. Every opcode and
/// every global outside that is refused by name, and calls are recognised, never made.
struct PickleReader {
    private enum Value {
        case none
        case bool(Bool)
        case integer(Int)
        case string(String)
        case tuple([Value])
        case dictionary(Reference)
        case list(List)
        case global(String)
        case storage(PickledTensor.Storage)
        case tensor(PickledTensor)
        case other
        case mark
    }

    /// Dictionaries are filled after they were pushed and memorised. Only tensors are kept, so that no
    /// pickle can build a deep structure.
    private final class Reference {
        var tensors: [(String, PickledTensor)] = []
        var flags: [String: Bool] = [:]
    }

    /// Lists, too; only their strings are kept.
    private final class List {
        var strings: [String] = []
    }

    /// A state dict is flat: more than this at once is none, and could exhaust memory.
    private enum Most {
        static let (stack, memo, tuple) = (200_000, 20_000_000, 64)
    }

    private var reader: ByteReader
    private let file: String
    private var stack: [Value] = []
    private var memo: [Int: Value] = [:]
    /// The storages that persistent ids named, by key.
    private(set) var storages: [String: PickledTensor.Storage] = [:]

    init(_ bytes: HostBytes, at position: Int = 0, file: String) {
        (reader, self.file) = (ByteReader(bytes, at: position, file: file), file)
    }

    /// Where the next pickle begins, once one has been read.
    var position: Int { reader.position }

    /// The tensors of the next pickle, a state dict.
    mutating func tensors() throws(CheckpointError) -> [(String, PickledTensor)] {
        guard case .dictionary(let top) = try value() else { throw refused("the pickle is no state dict") }
        return top.tensors
    }

    /// The next pickle, an integer.
    mutating func integer() throws(CheckpointError) -> Int {
        guard case .integer(let integer) = try value() else { throw refused("expected a pickled integer") }
        return integer
    }

    /// The truth values in the next pickle, a dictionary.
    mutating func flags() throws(CheckpointError) -> [String: Bool] {
        guard case .dictionary(let top) = try value() else { throw refused("expected a pickled dictionary") }
        return top.flags
    }

    /// The next pickle, a list of strings.
    mutating func strings() throws(CheckpointError) -> [String] {
        guard case .list(let list) = try value() else { throw refused("expected a pickled list") }
        return list.strings
    }

    private mutating func value() throws(CheckpointError) -> Value {
        (stack, memo) = ([], [:])
        while try step() {
            guard stack.count <= Most.stack, memo.count <= Most.memo else {
                throw refused("more is held at once than a state dict needs")
            }
        }
        return try top()
    }

    private func refused(_ what: String) -> CheckpointError { .malformed(file: file, "pickle: \(what)") }

    /// Performs one opcode; false at the end.
    private mutating func step() throws(CheckpointError) -> Bool {
        let opcode: UInt8 = try reader.integer()
        switch UnicodeScalar(opcode) {
        case "\u{80}": try reader.skip(1)
        case "\u{95}": try reader.skip(8)
        case ".": return false
        case "(": stack.append(.mark)
        case "}": stack.append(.dictionary(Reference()))
        case ")": stack.append(.tuple([]))
        case "]": stack.append(.list(List()))
        case "N": stack.append(.none)
        case "\u{88}", "\u{89}": stack.append(.bool(opcode == 0x88))
        case "0": _ = try pop()
        default: try pushOrCombine(opcode)
        }
        return true
    }

    private mutating func pushOrCombine(_ opcode: UInt8) throws(CheckpointError) {
        switch UnicodeScalar(opcode) {
        case "J": stack.append(.integer(Int(try reader.integer(Int32.self))))
        case "K": stack.append(.integer(Int(try reader.integer(UInt8.self))))
        case "M": stack.append(.integer(Int(try reader.integer(UInt16.self))))
        case "\u{8A}": stack.append(.integer(try longInteger()))
        case "G":
            try reader.skip(8)
            stack.append(.other)
        case "X": stack.append(.string(try reader.string(Int(try reader.integer(UInt32.self)))))
        case "\u{8C}": stack.append(.string(try reader.string(Int(try reader.integer(UInt8.self)))))
        case "c": stack.append(.global(try line() + "." + (try line())))
        case "\u{93}":
            guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
                throw refused("a global has no name")
            }
            stack.append(.global(module + "." + name))
        case "q": memo[Int(try reader.integer(UInt8.self))] = try top()
        case "r": memo[Int(try reader.integer(UInt32.self))] = try top()
        case "\u{94}": memo[memo.count] = try top()
        case "h": try recall(Int(try reader.integer(UInt8.self)))
        case "j": try recall(Int(try reader.integer(UInt32.self)))
        case "t": try pushTuple(try popToMark())
        case "\u{85}": try pushTuple(1)
        case "\u{86}": try pushTuple(2)
        case "\u{87}": try pushTuple(3)
        case "Q": stack.append(.storage(try storage(try pop())))
        case "R": try reduce()
        case "s", "u": try setItems(single: opcode == UInt8(ascii: "s"))
        // Attributes of the dictionary (its _metadata) and list items carry no tensors.
        case "b": _ = try pop()
        case "a", "e":
            let values = opcode == UInt8(ascii: "a") ? [try pop()] : try popToMark()
            try extend(values)
        default: throw refused("opcode 0x\(String(opcode, radix: 16)) does not occur in a state dict")
        }
    }

    private mutating func pop() throws(CheckpointError) -> Value {
        guard let value = stack.popLast() else { throw refused("the stack is empty") }
        return value
    }

    private func top() throws(CheckpointError) -> Value {
        guard let value = stack.last else { throw refused("the stack is empty") }
        return value
    }

    private mutating func popToMark() throws(CheckpointError) -> [Value] {
        var values: [Value] = []
        while true {
            let value = try pop()
            if case .mark = value { return values.reversed() }
            values.append(value)
        }
    }

    private mutating func pushTuple(_ count: Int) throws(CheckpointError) {
        var values: [Value] = []
        for _ in 0..<count { values.append(try pop()) }
        try pushTuple(values.reversed())
    }

    /// A state dict nests tuples twice at most; more could exhaust the call stack when it is freed.
    private mutating func pushTuple(_ values: [Value]) throws(CheckpointError) {
        guard values.count <= Most.tuple else { throw refused("a tuple of \(values.count) values") }
        for case .tuple(let inner) in values {
            for case .tuple in inner { throw refused("tuples are nested too deeply") }
        }
        stack.append(.tuple(values))
    }

    private mutating func recall(_ index: Int) throws(CheckpointError) {
        guard let value = memo[index] else { throw refused("nothing was memorised at \(index)") }
        stack.append(value)
    }

    private mutating func longInteger() throws(CheckpointError) -> Int {
        let count = Int(try reader.integer(UInt8.self))
        guard count <= 8 else { throw refused("an integer of \(count) bytes") }
        var value: UInt64 = 0
        for shift in 0..<count { value |= UInt64(try reader.integer(UInt8.self)) << (8 * UInt64(shift)) }
        let unused = UInt64(64 - 8 * count)
        return count == 0 ? 0 : Int(Int64(bitPattern: value << unused) >> Int64(unused))
    }

    private mutating func line() throws(CheckpointError) -> String {
        var bytes: [UInt8] = []
        while true {
            let byte: UInt8 = try reader.integer()
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            guard bytes.count < 256 else { throw refused("a global's name is too long") }
            bytes.append(byte)
        }
    }

    /// `('storage', torch.FloatStorage, key, device, count)`; the legacy form adds what it is a view of.
    private mutating func storage(_ value: Value) throws(CheckpointError) -> PickledTensor.Storage {
        guard case .tuple(let parts) = value, parts.count == 5 || parts.count == 6,
            case .string("storage") = parts[0], case .global(let type) = parts[1], type.hasPrefix("torch."),
            case .string(let key) = parts[2], case .integer(let count) = parts[4], count >= 0
        else { throw refused("a persistent id is no tensor storage") }
        if parts.count == 6 {
            guard case .none = parts[5] else { throw refused("the storage \(key) is a view of another") }
        }
        let storage = PickledTensor.Storage(
            type: String(type.dropFirst("torch.".count)), key: key, count: count)
        guard storages.updateValue(storage, forKey: key) ?? storage == storage else {
            throw refused("the storage \(key) is described in two ways")
        }
        return storage
    }

    private func extend(_ values: [Value]) throws(CheckpointError) {
        guard case .list(let list) = try top() else {
            throw refused("items are added to something that is no list")
        }
        for case .string(let string) in values { list.strings.append(string) }
    }

    /// The three calls a state dict is made of, recognised by name.
    private mutating func reduce() throws(CheckpointError) {
        guard case .tuple(let arguments) = try pop(), case .global(let name) = try pop() else {
            throw refused("a call of something unnamed")
        }
        switch name {
        case "collections.OrderedDict":
            stack.append(.dictionary(Reference()))
        case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
            stack.append(.tensor(try tensor(arguments)))
        case "torch._utils._rebuild_parameter":
            guard let first = arguments.first, case .tensor = first else {
                throw refused("a parameter without a tensor")
            }
            stack.append(first)
        default:
            throw refused("the call of \(name) is not one of a state dict's, and nothing here is executed")
        }
    }

    /// `(storage, offset, shape, strides, requires_grad, hooks)`.
    private func tensor(_ arguments: [Value]) throws(CheckpointError) -> PickledTensor {
        guard arguments.count >= 4, case .storage(let storage) = arguments[0],
            case .integer(let offset) = arguments[1], case .tuple(let shape) = arguments[2],
            case .tuple(let strides) = arguments[3]
        else { throw refused("a tensor is described in an unknown way") }
        return PickledTensor(
            storage: storage, offset: offset, shape: try shape.map(integer), strides: try strides.map(integer)
        )
    }

    private func integer(_ value: Value) throws(CheckpointError) -> Int {
        guard case .integer(let integer) = value else { throw refused("a dimension is no integer") }
        return integer
    }

    private mutating func setItems(single: Bool) throws(CheckpointError) {
        let values: [Value]
        if single {
            let value = try pop()
            values = [try pop(), value]
        } else {
            values = try popToMark()
        }
        guard case .dictionary(let dictionary) = try top(), values.count.isMultiple(of: 2) else {
            throw refused("items are set on something that is no dictionary")
        }
        for index in stride(from: 0, to: values.count, by: 2) {
            guard case .string(let name) = values[index] else { continue }
            switch values[index + 1] {
            case .tensor(let tensor): dictionary.tensors.append((name, tensor))
            case .bool(let flag): dictionary.flags[name] = flag
            default: break
            }
        }
    }
}
