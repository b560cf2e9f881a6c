import Tensors
import Testing

@testable import Weights

/// Writes the opcodes of a pickle.
struct Pickle {
    var bytes: [UInt8] = [0x80, 2]

    mutating func op(_ text: String) { bytes += text.utf8 }
    mutating func string(_ text: String) {
        bytes += [0x58] + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
    }
    mutating func global(_ module: String, _ name: String) { op("c\(module)\n\(name)\n") }
    mutating func byte(_ value: UInt8) { bytes += [0x4B, value] }

    /// `{"w": tensor of this shape}`.
    static func stateDict(
        shape: [UInt8] = [2, 3], strides: [UInt8] = [3, 1], call: String = "_rebuild_tensor_v2",
        type: String = "FloatStorage", isLegacy: Bool = false
    ) -> Pickle {
        var pickle = Pickle()
        pickle.op("}(")
        pickle.string("w")
        pickle.global("torch._utils", call)
        pickle.op("((")
        pickle.string("storage")
        pickle.global("torch", type)
        pickle.string("0")
        pickle.string("cpu")
        pickle.byte(6)
        if isLegacy { pickle.op("N") }
        pickle.op("tQ")
        pickle.byte(0)
        pickle.op("(")
        for value in shape { pickle.byte(value) }
        pickle.op("t(")
        for value in strides { pickle.byte(value) }
        pickle.op("t")
        pickle.bytes.append(0x89)
        pickle.global("collections", "OrderedDict")
        pickle.op(")RtRu.")
        return pickle
    }

    func tensors() throws -> [(String, PickledTensor)] {
        var reader = PickleReader(HostBytes(copying: bytes), file: "test")
        return try reader.tensors()
    }
}

@Suite struct PickleTests {
    @Test func readsAStateDict() throws {
        let tensors = try Pickle.stateDict().tensors()
        #expect(tensors.map(\.0) == ["w"])
        let tensor = try #require(tensors.first?.1)
        #expect(tensor.shape == [2, 3] && tensor.isContiguous && tensor.storage.type == "FloatStorage")
        #expect(try Pickle.stateDict(strides: [1, 2]).tensors().first?.1.isContiguous == false)
    }

    @Test func neverRunsAnything() {
        var attack = Pickle()
        attack.global("os", "system")
        attack.op("(")
        attack.string("touch /tmp/owned")
        attack.op("tR.")
        #expect { try attack.tensors() } throws: { "\($0)".contains("os.system") }
        #expect(throws: CheckpointError.self) { try Pickle.stateDict(call: "something_else").tensors() }
    }

    @Test func refusesDepth() {
        var pickle = Pickle()
        pickle.op("N" + String(repeating: "\u{7}", count: 0))
        pickle.bytes += Array(repeating: 0x85, count: 1_000_000) + [0x2E]
        #expect(throws: CheckpointError.self) { try pickle.tensors() }
    }

    @Test func refusesWhatOnlyFillsMemory() {
        var wide = Pickle()
        wide.op("(")
        wide.bytes += Array(repeating: UInt8(ascii: "N"), count: 100) + Array("t.".utf8)
        #expect { try wide.tensors() } throws: { "\($0)".contains("100 values") }
        let tall = Pickle(bytes: Array(repeating: UInt8(ascii: "N"), count: 1_000_000))
        #expect { try tall.tensors() } throws: { "\($0)".contains("held at once") }
        var long = Pickle()
        long.bytes += [0x58, 0xFF, 0xFF, 0xFF, 0x7F]
        #expect(throws: CheckpointError.self) { try long.tensors() }
    }

    @Test(arguments: [
        ("i", "opcode 0x69"), ("o", "opcode 0x6f"), ("\u{81}", "opcode"), ("P", "opcode 0x50"),
        ("\u{82}", "opcode"),
        ("I1\n", "opcode 0x49"), ("R", "stack is empty"), ("h\u{5}", "memorised"), ("t", "stack is empty"),
    ])
    func refusesByName(_ opcodes: String, _ reason: String) {
        var pickle = Pickle()
        pickle.bytes += opcodes.unicodeScalars.map { UInt8($0.value) } + [UInt8(ascii: ".")]
        #expect { try pickle.tensors() } throws: { "\($0)".contains(reason) }
    }

    @Test func survivesDamage() {
        let bytes = Pickle.stateDict().bytes
        for count in bytes.indices { _ = try? Pickle(bytes: Array(bytes[..<count])).tensors() }
        for index in bytes.indices {
            for value in UInt8.min...UInt8.max {
                var damaged = bytes
                damaged[index] = value
                _ = try? Pickle(bytes: damaged).tensors()
            }
        }
    }

    /// The archive around the pickle, as torch writes it: members stored, not compressed.
    @Test func readsAnArchive() throws {
        let data = (0..<6).flatMap { littleEndian(Float($0).bitPattern) }
        let members = [("m/data.pkl", Pickle.stateDict().bytes), ("m/data/0", data)]
        var (file, directory): ([UInt8], [UInt8]) = ([], [])
        for (name, bytes) in members {
            let (offset, size) = (UInt32(file.count), UInt32(bytes.count))
            let sizes = littleEndian(UInt32(0)) + littleEndian(size) + littleEndian(size)
            let names = littleEndian(UInt16(name.utf8.count)) + littleEndian(UInt16(0))
            let start: [UInt8] = [20, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            file += littleEndian(UInt32(0x0403_4B50)) + start + sizes + names + Array(name.utf8) + bytes
            directory += littleEndian(UInt32(0x0201_4B50)) + [20, 0] + start + sizes + names
            directory += Array(repeating: 0, count: 10) + littleEndian(offset) + Array(name.utf8)
        }
        let end = littleEndian(UInt32(0x0605_4B50)) + [0, 0, 0, 0, 2, 0, 2, 0]
        let bytes =
            file + directory + end + littleEndian(UInt32(directory.count)) + littleEndian(UInt32(file.count))
            + [0, 0]
        let folder = try TemporaryFolder()
        let archive = try TorchArchive(path: folder.write("model.bin", bytes))
        let tensor = try #require(try archive.tensor("w"))
        #expect(tensor.shape == [2, 3] && Array(tensor.bytes.bytes) == data)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0xFF
            _ = try? TorchArchive(path: folder.write("damaged.bin", damaged))
        }
    }
}
