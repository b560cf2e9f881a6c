import Foundation
import JSON
import Tensors
import Testing

@testable import Weights

@Suite struct SafetensorsTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func file(_ header: String, data: [UInt8]) throws -> SafetensorsFile {
        try SafetensorsFile(path: folder.write("model.safetensors", safetensors(header, data: data)))
    }

    @Test func readsTensorsInPlace() throws {
        let data = [Float(1), 2, 3, 4, 5, 6].flatMap { littleEndian($0.bitPattern) }
        let header =
            #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#
        let tensor = try #require(try file(header, data: data).tensor("a"))
        #expect(tensor.shape == [2, 3] && tensor.encoding == .float32)
        #expect(Array(tensor.bytes.bytes) == data)
        #expect(UInt(bitPattern: tensor.bytes.start).isMultiple(of: 4))
    }

    @Test(arguments: [
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}"#,
        #"{"a":{"shape":[2],"data_offsets":[0,8]}}"#, #"{"a":7}"#, "[]", "{", "",
    ])
    func refusesMalformedHeaders(_ header: String) {
        #expect(throws: CheckpointError.self) { try file(header, data: Array(repeating: 0, count: 8)) }
    }

    @Test func refusesHeadersLongerThanTheFile() throws {
        for count in [UInt64(100), 1 << 62, .max] {
            let path = try folder.write("bad.safetensors", littleEndian(count) + [123])
            #expect(throws: CheckpointError.self) { try SafetensorsFile(path: path) }
        }
        let short = try folder.write("short.safetensors", [1, 2, 3])
        #expect(throws: CheckpointError.self) { try SafetensorsFile(path: short) }
    }

    @Test func namesUnsupportedTypesWhenTheyAreUsed() throws {
        let file = try file(
            #"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, data: Array(repeating: 0, count: 8))
        #expect(throws: CheckpointError.unsupportedType(tensor: "a", "I64")) { try file.tensor("a") }
    }
}

@Suite struct CheckpointTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func checkpoint(_ tensors: [String: [Int]]) throws -> any Checkpoint {
        _ = try folder.write("config.json", Array("{}".utf8))
        var (entries, offset): ([String], Int) = ([], 0)
        for (name, shape) in tensors {
            let count = 4 * shape.reduce(1, *)
            entries.append(
                "\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(offset + count)]}"
            )
            offset += count
        }
        let bytes = safetensors(
            "{" + entries.joined(separator: ",") + "}", data: Array(repeating: 0, count: offset))
        _ = try folder.write("model.safetensors", bytes)
        return try openCheckpoint(folder.path)
    }

    @Test func accountsForEveryTensor() throws {
        let store = WeightStore(try checkpoint(["a.weight": [2, 3], "b.weight": [4]]))
        let scope = WeightScope(store)["a"]
        #expect(scope.contains("weight") && !scope.contains("bias"))
        #expect(throws: CheckpointError.missingTensor("a.bias", expected: [2])) {
            try scope.tensor("bias", shape: [2])
        }
        #expect(throws: CheckpointError.wrongShape("a.weight", expected: [3, 2], found: [2, 3])) {
            try scope.tensor("weight", shape: [3, 2])
        }
        _ = try scope.tensor("weight", shape: [2, 3])
        #expect(throws: CheckpointError.leftOver(["b.weight"])) { try store.finish { _ in false } }
        #expect(throws: Never.self) { try store.finish { $0 == "b.weight" } }
    }

    @Test func refusesWhatIsNoCheckpoint() throws {
        #expect(throws: CheckpointError.notFound("/no/such/folder")) { try openCheckpoint("/no/such/folder") }
        #expect(throws: CheckpointError.self) { try openCheckpoint(folder.path) }
        _ = try folder.write("config.json", Array("{}".utf8))
        #expect(throws: CheckpointError.self) { try openCheckpoint(folder.path) }
        _ = try folder.write(
            "model.safetensors.index.json", Array(#"{"weight_map":{"a":"../../secret"}}"#.utf8))
        #expect(throws: CheckpointError.self) { try openCheckpoint(folder.path) }
    }
}
