import CPUBackend
import Foundation
import JSON
import Layers
import LightLLM
import Models
import ReferenceBackend
import Serving
import Tensors
import Testing
import Weights

/// Models whose weights are stored with few bits, by their checkpoint or on load, compute what the numbers that
/// the bits stand for compute.
@Suite struct QuantizedModelTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/packed").path
    private static let ids: [Int32] = [1, 17, 4, 59, 33, 8, 25, 41, 12, 50, 3, 28]

    private func scored(
        _ name: String, _ backend: (any Backend)? = nil, _ format: WeightFormat? = nil
    ) async throws -> Scored {
        let checkpoint = try openCheckpoint(Self.folder + "/" + name)
        let model =
            backend is ReferenceBackend
            ? try LoadedModel(
                checkpoint: Decoded(original: checkpoint), backend: ReferenceBackend(), weightFormat: format)
            : try LoadedModel(checkpoint: checkpoint, backend: CPUBackend(threads: 2), weightFormat: format)
        return try await Scored(
            model.makeScoringEngine(tokens: Self.ids.count + 4), Self.ids, maxNewTokens: 4)
    }

    @Test(arguments: [
        ("gptq", "plain"), ("gptq_v2", "plain"), ("awq", "plain"), ("act_order", "act_order_plain"),
    ])
    func packedCheckpointsComputeWhatTheyStandFor(_ name: String, _ plain: String) async throws {
        let exact = try await scored(plain, ReferenceBackend())
        // Minima and, out of order, weights are rounded to float16.
        let packed = try await scored(name, ReferenceBackend())
        #expect(largestDifference(packed.logits, exact.logits) < 5e-3)
        #expect(packed.ids == exact.ids)
        // Products with blocks round activations to 8 bits.
        let fast = try await scored(name)
        #expect(largestDifference(fast.logits, exact.logits) < 0.1)
    }

    /// The packings of the same numbers are the same to the bit.
    @Test func packingsAgree() async throws {
        let first = try await scored("gptq")
        #expect(try await scored("gptq_v2") == first)
        #expect(try await scored("awq") == first)
    }

    @Test(arguments: [(WeightFormat.int8, Float(0.1)), (.int4, 0.5)])
    func quantizesOnLoad(_ format: WeightFormat, _ tolerance: Float) async throws {
        let exact = try await scored("plain")
        let rounded = try await scored("plain", nil, format)
        let difference = largestDifference(rounded.logits, exact.logits)
        #expect(difference > 0 && difference < tolerance, "\(difference)")
    }

    /// What is planned for quantised weights is what they take.
    @Test(arguments: [(WeightFormat.int8, 0.34), (.int4, 0.25)])
    func thePlanIsKept(_ format: WeightFormat, _ fraction: Double) throws {
        for name in ["plain", "gptq", "awq"] {
            let checkpoint = try openCheckpoint(Self.folder + "/" + name)
            var options = EngineOptions()
            options.threads = 2
            let whole = try MemoryPlan(checkpoint, options, available: 1 << 40)
            options.weightFormat = format
            let plan = try MemoryPlan(checkpoint, options, available: 1 << 40)
            let backend = CPUBackend(threads: 2)
            let model = try LoadedModel(checkpoint: checkpoint, backend: backend, weightFormat: format)
            withExtendedLifetime(model) { #expect(backend.memoryUse.weights == plan.weights, "\(name)") }
            if name == "plain" {
                #expect(Double(plan.weights) < fraction * Double(whole.weights))
            }
        }
    }
}

/// A checkpoint whose blocks are decoded to float32, by the definition of their encoding.
private struct Decoded: Checkpoint {
    let original: any Checkpoint

    var path: String { original.path }
    var configuration: JSONValue { original.configuration }
    var generationConfiguration: JSONValue? { nil }
    var tensorNames: [String] { original.tensorNames }
    var byteCount: Int { original.byteCount }
    var metadata: GGUFMetadata? { nil }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let tensor = try original.tensor(name), tensor.encoding == .q4_1 else {
            return try original.tensor(name)
        }
        let bytes = Array(tensor.bytes.bytes)
        func half(_ at: Int) -> Float {
            Float(Float16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8))
        }
        let values = (0..<bytes.count / 20 * 32).map { index in
            let block = index / 32 * 20
            let byte = bytes[block + 4 + index % 16]
            return half(block) * Float(index % 32 < 16 ? byte & 15 : byte >> 4) + half(block + 2)
        }
        return HostTensor(
            encoding: .float32, shape: tensor.shape,
            bytes: values.withUnsafeBytes { HostBytes(copying: $0) })
    }
}
