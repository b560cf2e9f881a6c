import Foundation
import JSON
import Tensors
import Testing

@testable import Weights

/// A packed projection, and what it stands for by the formats' definitions.
private struct Projection {
    var method = "gptq"
    var extra = ""
    var (bits, inputs, outputs, groupSize) = (4, 64, 16, 32)
    var numbers: (_ input: Int, _ output: Int) -> Int = { ($0 * 7 + $1 * 3 + $0 * $1) % 16 }
    var zero: (_ group: Int, _ output: Int) -> Int = { 1 + ($0 * 5 + $1) % 15 }
    var group: ((_ input: Int) -> Int)?
    var scaleType = "F16"
    /// Of qweight, qzeros, scales and g_idx, instead of those that are right.
    var shapes: [String: [Int]] = [:]
    var storedBits: Int?
    var storedGroupSize: Int?
    var removed: Set<String> = []

    var groups: Int { groupSize < 1 ? 1 : (inputs + groupSize - 1) / groupSize }
    func groupOf(_ input: Int) -> Int { group?(input) ?? (groupSize < 1 ? 0 : input / groupSize) }
    func scale(_ group: Int, _ output: Int) -> Float { Float(1 + (group * 3 + output) % 9) / 512 }
    func value(_ output: Int, _ input: Int) -> Float {
        let group = groupOf(input)
        return scale(group, output) * Float(numbers(input, output) - zero(group, output))
    }

    /// Words of numbers of `bits`, number `order[i]` of each few at place `i`.
    private func words(
        _ rows: Int, _ columns: Int, down: Bool, _ order: [Int], _ number: (Int, Int) -> Int
    ) -> [UInt8] {
        let count = 32 / bits
        var bytes: [UInt8] = []
        for row in 0..<(down ? rows / count : rows) {
            for column in 0..<(down ? columns : columns / count) {
                var word: UInt32 = 0
                for (place, neighbour) in order.enumerated() {
                    let value =
                        down
                        ? number(row * count + neighbour, column) : number(row, column * count + neighbour)
                    word |= UInt32(truncatingIfNeeded: value) << UInt32(place * bits)
                }
                bytes += littleEndian(word)
            }
        }
        return bytes
    }

    func checkpoint(in folder: TemporaryFolder) throws -> any Checkpoint {
        let (isAWQ, count) = (method == "awq", 32 / bits)
        let order = isAWQ ? [0, 2, 4, 6, 1, 3, 5, 7] : Array(0..<count)
        let offset = isAWQ || extra.contains("gptq_v2") ? 0 : 1
        var tensors: [(name: String, type: String, shape: [Int], bytes: [UInt8])] = [
            (
                "qweight", "I32", isAWQ ? [inputs, outputs / count] : [inputs / count, outputs],
                words(inputs, outputs, down: !isAWQ, order, numbers)
            ),
            (
                "qzeros", "I32", [groups, outputs / count],
                words(groups, outputs, down: false, order) { zero($0, $1) - offset }
            ),
            (
                "scales", scaleType, [groups, outputs],
                (0..<groups * outputs).flatMap { index in
                    let scale = scale(index / outputs, index % outputs)
                    return scaleType == "F16"
                        ? littleEndian(Float16(scale).bitPattern) : littleEndian(scale.bitPattern)
                }
            ),
        ]
        if group != nil {
            tensors.append(
                ("g_idx", "I32", [inputs], (0..<inputs).flatMap { littleEndian(Int32(groupOf($0))) }))
        }
        var (entries, data): ([String], [UInt8]) = ([], [])
        for tensor in tensors where !removed.contains(tensor.name) {
            entries.append(
                """
                "x.\(tensor.name)":{"dtype":"\(tensor.type)","shape":\(shapes[tensor.name] ?? tensor.shape),\
                "data_offsets":[\(data.count),\(data.count + tensor.bytes.count)]}
                """)
            data += tensor.bytes
        }
        _ = try folder.write(
            "model.safetensors", safetensors("{\(entries.joined(separator: ","))}", data: data))
        let config = """
            {"quantization_config":{"quant_method":"\(method)","bits":\(storedBits ?? bits),\
            "group_size":\(storedGroupSize ?? groupSize)\(extra)}}
            """
        _ = try folder.write("config.json", Array(config.utf8))
        return try openCheckpoint(folder.path)
    }

    func tensor() throws -> HostTensor {
        let folder = try TemporaryFolder()
        let checkpoint = try checkpoint(in: folder)
        #expect(checkpoint.tensorNames == ["x.weight"])
        let tensor = try #require(try checkpoint.tensor("x.weight"))
        let layout = try #require(try checkpoint.layout.tensor("x.weight"))
        #expect(layout.encoding == tensor.encoding && layout.shape == tensor.shape)
        #expect(layout.bytes.count == tensor.bytes.count)
        return tensor
    }

    /// What reading it is refused with.
    func refusal() -> String {
        do {
            let folder = try TemporaryFolder()
            _ = try checkpoint(in: folder).tensor("x.weight")
            return "accepted"
        } catch { return "\(error)" }
    }
}

/// The values of a tensor, by the definition of each encoding.
private func naiveValues(_ tensor: HostTensor) -> [Float] {
    let bytes = Array(tensor.bytes.bytes)
    func half(_ at: Int) -> Float {
        Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
    }
    let count = tensor.shape.reduce(1, *)
    return (0..<count).map { index in
        let (block, i) = (index / 32 * tensor.encoding.blockBytes, index % 32)
        func nibble(_ start: Int) -> Float {
            let byte = bytes[block + start + i % 16]
            return Float(i < 16 ? byte & 15 : byte >> 4)
        }
        switch tensor.encoding {
        case .q4_0: return half(block) * (nibble(2) - 8)
        case .q4_1: return half(block) * nibble(4) + half(block + 2)
        case .q8_0: return half(block) * Float(Int8(bitPattern: bytes[block + 2 + i]))
        case .float16: return half(2 * index)
        default:
            return Float(
                bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[4 * index + $1]) << UInt32(8 * $1) }
            )
        }
    }
}

@Suite struct PackedTests {
    private func check(
        _ projection: Projection, _ encoding: Encoding, tolerance: Float = 0,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let tensor = try projection.tensor()
        #expect(tensor.encoding == encoding, sourceLocation: location)
        #expect(tensor.shape == [projection.outputs, projection.inputs], sourceLocation: location)
        let values = naiveValues(tensor)
        for output in 0..<projection.outputs {
            for input in 0..<projection.inputs {
                let expected = projection.value(output, input)
                let bound = tolerance * projection.scale(projection.groupOf(input), output)
                let found = values[output * projection.inputs + input]
                #expect(abs(found - expected) <= bound, "\(output), \(input)", sourceLocation: location)
            }
        }
    }

    @Test func fourBitsBecomeBlocks() throws {
        for (inputs, outputs, groupSize) in [(64, 16, 32), (128, 8, 64), (256, 72, 128), (96, 136, -1)] {
            var asymmetric = Projection()
            (asymmetric.inputs, asymmetric.outputs, asymmetric.groupSize) = (inputs, outputs, groupSize)
            var symmetric = asymmetric
            symmetric.zero = { _, _ in 8 }
            for (method, extra) in [
                ("gptq", ""), ("gptq", #","checkpoint_format":"gptq_v2""#), ("awq", #","version":"gemm""#),
            ] {
                (asymmetric.method, asymmetric.extra) = (method, extra)
                (symmetric.method, symmetric.extra) = (method, extra)
                // The minimum is rounded to float16.
                try check(asymmetric, .q4_1, tolerance: 1 / 128)
                try check(symmetric, .q4_0)
            }
        }
    }

    @Test func zeroPointsReachSixteen() throws {
        var projection = Projection()
        projection.zero = { 1 + ($0 + $1) % 16 }
        try check(projection, .q4_1, tolerance: 1 / 128)
        projection.zero = { ($0 + $1) % 16 }
        projection.extra = #","checkpoint_format":"gptq_v2""#
        try check(projection, .q4_1, tolerance: 1 / 128)
    }

    @Test func eightBits() throws {
        var projection = Projection()
        projection.bits = 8
        projection.numbers = { ($0 * 37 + $1 * 11) % 256 }
        projection.zero = { _, _ in 128 }
        try check(projection, .q8_0)
        projection.zero = { 100 + ($0 + $1) % 50 }
        // Scales are powers of two times small numbers, so float16 holds the products.
        try check(projection, .float16)
    }

    @Test func otherOrdersAndGroupsBecomeFloats() throws {
        var projection = Projection()
        projection.group = { $0 / 32 }
        try check(projection, .q4_1, tolerance: 1 / 128)
        projection.group = { 1 - $0 / 32 }
        try check(projection, .q4_1, tolerance: 1 / 128)
        projection.group = { $0 % 2 }
        try check(projection, .float16)
        projection.group = nil
        projection.groupSize = 16
        try check(projection, .float16)
        projection.inputs = 40
        try check(projection, .float16)
        projection = Projection()
        projection.scaleType = "F32"
        try check(projection, .float32)
    }

    @Test func whatIsWrongIsNamed() throws {
        func refusal(_ change: (inout Projection) -> Void) -> String {
            var projection = Projection()
            change(&projection)
            return projection.refusal()
        }
        #expect(refusal { $0.storedBits = 3 }.contains("quantization_config.bits: expected 4 or 8, found 3"))
        #expect(
            refusal {
                $0.method = "awq"
                $0.storedBits = 8
            }.contains("bits: expected 4, found 8"))
        #expect(
            refusal { $0.method = "bitsandbytes" }
                .contains(#"quant_method: expected gptq or awq, found "bitsandbytes""#))
        #expect(refusal { $0.extra = #","checkpoint_format":"marlin""# }.contains("checkpoint_format"))
        #expect(
            refusal {
                $0.method = "awq"
                $0.extra = #","version":"gemv""#
            }.contains("version: expected gemm"))
        #expect(refusal { $0.storedGroupSize = 0 }.contains("group_size: expected -1 or a positive number"))
        #expect(refusal { $0.shapes["qzeros"] = [1, 4] }.contains("x.qzeros: expected shape [2, 2]"))
        #expect(refusal { $0.shapes["scales"] = [4, 8] }.contains("x.scales: expected shape [2, 8]"))
        #expect(refusal { $0.shapes["scales"] = [32] }.contains("x.scales: expected a matrix"))
        #expect(refusal { $0.shapes["qweight"] = [8, 17] }.contains("does not fill"))
        #expect(refusal { $0.shapes["qweight"] = [4, 32] }.contains("tensor x."))
        #expect(refusal { $0.shapes["qweight"] = [0, Int.max] }.contains("x.qweight"))
        #expect(refusal { $0.removed = ["qzeros"] }.contains("tensor x.qzeros is missing"))
        #expect(refusal { $0.removed = ["scales"] }.contains("tensor x.scales is missing"))
        #expect(refusal { $0.group = { $0 == 5 ? 2 : 0 } }.contains("expected groups within 0..<2, found 2"))
        #expect(refusal { $0.group = { $0 == 5 ? -1 : 0 } }.contains("found -1"))
        #expect(
            refusal {
                $0.group = { $0 / 32 }
                $0.shapes["g_idx"] = [8, 8]
            }.contains("x.g_idx: expected shape [64], found [8, 8]"))
    }
}
