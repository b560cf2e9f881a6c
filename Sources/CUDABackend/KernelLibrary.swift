import CUDARuntime
import Synchronization
import Tensors

/// The kernels by name, compiled for the device.
final class KernelLibrary: Sendable {
    private let device: Device
    private let compiler: any KernelCompiler
    private let kernels: [String: Kernel]
    /// Kernels that are compiled when the first of their module is wanted, by its source and definitions.
    private let later = Mutex<[[String]: [String: Kernel]]>([:])

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
            ? gemm : try Module(try compiler.image(of: products.source, definitions: []), on: device)
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
                "gated", "layer_norm", "normalize_heads", "map_rows", "rotation_table",
                "fill_random", "copy_words", "add_bias", "hash_rows",
            ]
        ),
        (
            "cache.cu",
            ["rotate_store_float", "rotate_store_bf16", "rotate_store_f16", "rotate_store_i8", "rotate"]
        ),
        ("attention.cu", ["attend_float", "attend_bf16", "attend_f16", "attend_i8", "merge_states"]),
        ("experts.cu", ["route_rows", "sort_choices", "cut_tiles", "mix_rows"]),
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
        let latent = [("attention_latent.cu", ["WIDTH=576", "VALUES=512"])]
        let groups = architecture == "sm_90a" ? [("gemm_groups.cu", [String]())] : []
        let experts = ([("gemm.cu", [String]())] + groups + blocks).map { ($0.0, $0.1 + [ofExperts]) }
        return plain + groups + tiles + latent + blocks + experts
    }

    subscript(name: String) -> Kernel {
        guard let kernel = kernels[name] else { preconditionFailure("no kernel \(name)") }
        return kernel
    }

    /// A kernel for weights of few bits.
    func blocks(_ name: String, _ layout: BlockLayout) throws(CUDAError) -> Kernel {
        try kernel(name, of: "gemm_blocks.cu", layout.definitions, layout.kernels(on: device))
    }

    /// A kernel that multiplies with many weights at once, which have 16 bits, or few.
    func many(
        _ owners: WeightOwners, _ shape: GEMMShape, _ element: ProductElement, _ layout: BlockLayout?
    ) throws(CUDAError) -> Kernel {
        func fits(_ bytes: Int, _ shape: GEMMShape) -> Bool { bytes + shape.listBytes <= device.sharedMemory }
        func ofAll(_ name: String, _ shared: Int) -> [(String, Int)] {
            WeightOwners.allCases.map { ($0.kernel(name), shared) }
        }
        if let layout {
            let names = layout.shapes(on: device).filter { fits(layout.sharedBytes($0), $0) }
                .flatMap { ofAll(layout.kernel($0), layout.sharedBytes($0)) }
            return try kernel(
                owners.kernel(layout.kernel(shape)), of: "gemm_blocks.cu",
                layout.definitions + [Self.ofExperts],
                names)
        }
        return try kernel(
            owners.kernel(shape.kernel(element)), of: shape.kernels.source, [Self.ofExperts],
            GEMMShape.all(shape.kernels, on: device).filter { fits($0.sharedBytes, $0) }.flatMap { shape in
                [ProductElement.bfloat16, .float16].flatMap { ofAll(shape.kernel($0), shape.sharedBytes) }
            })
    }

    /// The same for weights in float32.
    func manyFloats(_ owners: WeightOwners) throws(CUDAError) -> Kernel {
        let name = "gemm_float"
        return try kernel(
            owners.kernel(name), of: TileProducts.warps.source, [Self.ofExperts],
            WeightOwners.allCases.map { ($0.kernel(name), 0) })
    }

    private static let ofExperts = "EXPERTS=1"

    /// A kernel of the attention with tensor cores.
    func tiles(_ kernel: TileKernel, for shape: AttentionShape) throws(CUDAError) -> Kernel {
        let width = shape.keyWidth
        let names = TileKernel.all.filter { $0.sharedBytes(width: width) <= device.sharedMemory }
            .map { ($0.name, $0.sharedBytes(width: width)) }
        return try self.kernel(
            kernel.name, of: "attention_tiles.cu",
            ["WIDTH=\(width)"] + (shape.hasPlainScores ? [] : ["SCORES=1"]), names)
    }

    /// A kernel of the attention over rows that hold keys and values.
    func latent(_ kernel: LatentKernel, for shape: AttentionShape) throws(CUDAError) -> Kernel {
        let width = shape.keyWidth
        return try self.kernel(
            kernel.name, of: "attention_latent.cu", ["WIDTH=\(width)", "VALUES=\(shape.valueWidth)"],
            LatentKernel.all.map { ($0.name, $0.sharedBytes(width: width)) })
    }

    /// A kernel of a module that is compiled with the first that is wanted; `all` of it are by name, with the shared memory
    /// that they may ask for.
    private func kernel(
        _ name: String, of source: String, _ definitions: [String], _ all: [(name: String, shared: Int)]
    ) throws(CUDAError) -> Kernel {
        let key = [source] + definitions
        if let known = later.withLock({ $0[key]?[name] }) { return known }
        let module = try Module(try compiler.image(of: source, definitions: definitions), on: device)
        var made: [String: Kernel] = [:]
        for (other, shared) in all { made[other] = try module.kernel(other, shared: shared) }
        guard let found = made[name] else { throw .unknownKernel(name) }
        let kernels = made
        later.withLock { $0[key, default: [:]].merge(kernels) { $1 } }
        return found
    }
}

extension AttentionShape {
    /// Whether scores are products times the scale, and all keys before a query are seen but for a window.
    var hasPlainScores: Bool { softcap == nil && slopes == nil && reach.pattern == nil }
}
