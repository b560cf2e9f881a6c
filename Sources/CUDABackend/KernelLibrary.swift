import CUDARuntime
import Synchronization
import Tensors

/// The kernels by name, compiled for the device.
final class KernelLibrary: Sendable {
    private let device: Device
    private let compiler: any KernelCompiler
    private let kernels: [String: Kernel]
    /// Kernels for heads of one width, by the definitions that they were compiled with.
    private let tiles = Mutex<[[String]: [String: Kernel]]>([:])
    /// Kernels for weights of few bits, by name.
    private let blocks = Mutex<[String: Kernel]>([:])

    init(
        _ device: Device, _ compiler: any KernelCompiler, _ products: TileProducts
    ) throws(CUDAError) {
        (self.device, self.compiler) = (device, compiler)
        var kernels: [String: Kernel] = [:]
        for (source, names) in Self.sources {
            let module = try Module(try compiler.image(of: source, definitions: []), on: device)
            for name in names { kernels[name] = try module.kernel(name) }
        }
        let gemm = try Module(try compiler.image(of: "gemm.cu", definitions: []), on: device)
        for name in ["gemm_reduce", "gemm_float"] { kernels[name] = try gemm.kernel(name) }
        let shaped =
            products == .warps
            ? gemm : try Module(try compiler.image(of: "gemm_groups.cu", definitions: []), on: device)
        for shape in GEMMShape.all(products, on: device) {
            for element in [ProductElement.bfloat16, .float16] {
                let name = shape.kernel(element)
                kernels[name] = try shaped.kernel(name, shared: shape.sharedBytes)
            }
        }
        self.kernels = kernels
    }

    private static let sources: [(source: String, names: [String])] = [
        (
            "rows.cu",
            [
                "embed_float", "embed_bf16", "embed_f16", "gather_rows", "add_rows", "pack_rows", "rms_norm",
                "gated", "layer_norm", "normalize_heads", "map_rows", "add_scaled_rows", "rotation_table",
                "fill_random", "copy_words", "add_bias", "hash_rows",
            ]
        ),
        (
            "cache.cu",
            ["rotate_store_float", "rotate_store_bf16", "rotate_store_f16", "rotate_store_i8", "rotate"]
        ),
        ("attention.cu", ["attend_float", "attend_bf16", "attend_f16", "attend_i8", "merge_states"]),
        ("sampling.cu", ["edit_logits", "mask_logits", "answer_questions"]),
    ]

    /// What `lightllm cubins` exports for devices of an architecture: sources with their definitions. Heads of other
    /// widths need the compiler.
    static func exports(_ architecture: String) -> [(source: String, definitions: [String])] {
        let plain = sources.map { ($0.source, [String]()) } + [("gemm.cu", [])]
        let tiles = [64, 80, 96, 128, 192, 256].flatMap { width in
            [["WIDTH=\(width)"], ["WIDTH=\(width)", "SCORES=1"]].map { ("attention_tiles.cu", $0) }
        }
        let blocks = BlockLayout.all.map { ("gemm_blocks.cu", $0.definitions) }
        return plain + (architecture == "sm_90a" ? [("gemm_groups.cu", [])] : []) + tiles + blocks
    }

    subscript(name: String) -> Kernel {
        guard let kernel = kernels[name] else { preconditionFailure("no kernel \(name)") }
        return kernel
    }

    /// A kernel for weights of few bits. Those of one encoding are compiled together, when the first is wanted.
    func blocks(_ name: String, _ layout: BlockLayout) throws(CUDAError) -> Kernel {
        if let known = blocks.withLock({ $0[name] }) { return known }
        let image = try compiler.image(of: "gemm_blocks.cu", definitions: layout.definitions)
        let module = try Module(image, on: device)
        var made: [String: Kernel] = [:]
        for (other, shared) in layout.kernels(on: device) {
            made[other] = try module.kernel(other, shared: shared)
        }
        guard let found = made[name] else { throw .unknownKernel(name) }
        let all = made
        blocks.withLock { $0.merge(all) { $1 } }
        return found
    }

    /// A kernel of the attention with tensor cores.
    func tiles(_ kernel: TileKernel, for shape: AttentionShape) throws(CUDAError) -> Kernel {
        let width = shape.keyWidth
        let definitions = ["WIDTH=\(width)"] + (shape.hasPlainScores ? [] : ["SCORES=1"])
        if let known = tiles.withLock({ $0[definitions]?[kernel.name] }) { return known }
        let image = try compiler.image(of: "attention_tiles.cu", definitions: definitions)
        let module = try Module(image, on: device)
        var made: [String: Kernel] = [:]
        for other in TileKernel.all where other.sharedBytes(width: width) <= device.sharedMemory {
            made[other.name] = try module.kernel(other.name, shared: other.sharedBytes(width: width))
        }
        guard let found = made[kernel.name] else { throw .unknownKernel(kernel.name) }
        let all = made
        tiles.withLock { $0[definitions] = all }
        return found
    }
}

extension AttentionShape {
    /// Whether scores are products times the scale, and all keys before a query are seen but for a window.
    fileprivate var hasPlainScores: Bool { softcap == nil && slopes == nil && reach.pattern == nil }
}
