import Tensors
import Testing

@testable import Weights

/// The parts of a file as PyTorch wrote it before 1.6.
private struct LegacyFile {
    var isLittleEndian = true
    var version: UInt16 = 1001
    var stateDict = Pickle.stateDict(isLegacy: true)
    var keys = ["0"]
    var storages: [(count: UInt64, data: [UInt8])] = [(6, LegacyFile.data)]

    static let data = (0..<6).flatMap { littleEndian(Float($0).bitPattern) }
    static let magic: [UInt8] = [
        0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]

    var bytes: [UInt8] {
        var system = Pickle()
        system.op("}(")
        system.string("little_endian")
        system.bytes.append(isLittleEndian ? 0x88 : 0x89)
        system.string("type_sizes")
        system.op("}u.")
        var list = Pickle()
        list.op("](")
        for key in keys { list.string(key) }
        list.op("e.")
        var file = Self.magic + [0x80, 2, 0x4D] + littleEndian(version) + [0x2E] + system.bytes
        file += stateDict.bytes + list.bytes
        for storage in storages { file += littleEndian(storage.count) + storage.data }
        return file
    }

    func read(in folder: TemporaryFolder) throws -> TorchArchive {
        try TorchArchive(path: folder.write("model.bin", bytes))
    }
}

@Suite struct LegacyTorchTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func isReadToo() throws {
        let tensor = try #require(try LegacyFile().read(in: folder).tensor("w"))
        #expect(tensor.shape == [2, 3] && Array(tensor.bytes.bytes) == LegacyFile.data)
    }

    @Test func otherTypesAreRefusedWhenAskedFor() throws {
        var file = LegacyFile()
        file.stateDict = .stateDict(type: "DoubleStorage", isLegacy: true)
        file.storages = [(6, LegacyFile.data + LegacyFile.data)]
        let archive = try file.read(in: folder)
        #expect(throws: CheckpointError.unsupportedType(tensor: "w", "DoubleStorage")) {
            try archive.tensor("w")
        }
        file.stateDict = .stateDict(type: "QInt8Storage", isLegacy: true)
        #expect { try file.read(in: folder) } throws: { "\($0)".contains("QInt8Storage") }
    }

    @Test func liesAreNamed() throws {
        func refused(_ change: (inout LegacyFile) -> Void, _ reason: String) {
            var file = LegacyFile()
            change(&file)
            #expect { try file.read(in: folder) } throws: { "\($0)".contains(reason) }
        }
        refused({ $0.isLittleEndian = false }, "little-endian")
        refused({ $0.version = 7 }, "found 7")
        refused({ $0.keys = [] }, "storage 0 is missing")
        refused({ $0.keys = ["1"] }, "storage 1")
        refused({ $0.storages[0].count = .max }, "cannot be right")
        refused({ $0.storages[0].count = 5 }, "expected 6 elements, found 5")
        refused({ $0.storages[0].data.removeLast() }, "ends at byte")
        refused({ $0.stateDict = .stateDict(shape: [2, 4], strides: [4, 1], isLegacy: true) }, "exceed")
        refused({ $0.stateDict = .stateDict(strides: [1, 2], isLegacy: true) }, "not contiguous")
        refused({ $0.stateDict = .stateDict(strides: [0, 0], isLegacy: true) }, "not contiguous")
    }

    @Test func survivesDamage() throws {
        let bytes = LegacyFile().bytes
        for count in bytes.indices {
            #expect(throws: CheckpointError.self) {
                try TorchArchive(path: folder.write("cut.bin", Array(bytes[..<count])))
            }
        }
        for index in bytes.indices {
            for value in [0, 1, 0x28, 0x7F, 0xFF] as [UInt8] {
                var damaged = bytes
                damaged[index] = value
                _ = try? TorchArchive(path: folder.write("damaged.bin", damaged)).tensor("w")
            }
        }
    }

    @Test func tarFilesAreRefusedByName() throws {
        var bytes = [UInt8](repeating: 0, count: 512)
        bytes.replaceSubrange(257..<262, with: Array("ustar".utf8))
        let path = try folder.write("old.bin", bytes)
        #expect { try TorchArchive(path: path) } throws: { "\($0)".contains("tar file") }
    }
}
