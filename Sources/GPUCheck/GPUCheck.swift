public import CUDABackend
import CUDARuntime
import JSON

/// What is checked and measured on a machine with a GPU. Each section is meant for a process of its own: an error of the
/// device ends it.
public enum GPUCheck {
    public enum Section: String, CaseIterable, Sendable {
        /// Libraries and device, how long kernels take to compile, how fast memory is copied.
        case device
        /// Every operation against the CPU backend, and on small shapes, for tools that make everything slow.
        case operations, small
        /// Recorded models.
        case goldens
        /// Steps replayed as graphs against the same launched kernel by kernel, and how long both take.
        case graphs
        /// Which kernels multiply fastest.
        case choice
        /// Attention of steps that generate: bytes of keys and values per second.
        case attention
        /// Products, and what it costs that their bits do not depend on other rows.
        case products
        /// Products with weights of few bits.
        case blocks
        /// Mixtures of experts, checked and measured.
        case experts
        /// A step of LLaMA-7B with weights that mean nothing.
        case step
        /// Requests through the engine, on the same model.
        case service
        /// What the others found, against what is to be reached. Needs no device.
        case bars
    }

    /// Whether everything that was checked holds. `seconds` bounds the service; `findings` is the file that the bars are held
    /// against.
    public static func run(
        _ section: Section, products: ProductKernels?, goldens: String?, seconds: Int, findings: String?,
        _ recorder: Recorder
    ) async throws -> Bool {
        if section == .bars { return try Bar.check(Findings(path: findings), recorder) }
        let start = ContinuousClock.now
        if section == .device { Doctor.report { recorder.record($0, ["found": .string($1)]) } }
        let backend = try CUDABackend(products: products)
        recorder.record(
            "start",
            [
                "products": .string("\(backend.products)"),
                "seconds": .number((ContinuousClock.now - start) / .seconds(1)),
            ])
        switch section {
        case .device: try measureDevice(backend, recorder)
        case .operations: try OperationCheck(backend, .models, recorder).run()
        case .small: try OperationCheck(backend, .small, recorder).run()
        case .goldens: try await checkGoldens(backend, goldens, recorder)
        case .graphs: try checkGraphs(backend, goldens, recorder)
        case .choice: try measureChoice(backend, recorder)
        case .attention: try measureAttention(backend, recorder)
        case .products: try measureProducts(backend, recorder)
        case .blocks: try measureBlockProducts(backend, recorder)
        case .experts:
            try checkExperts(backend, recorder)
            try measureExperts(backend, recorder)
        case .step: try measureStep(backend, recorder)
        case .service: try await measureService(backend, seconds: seconds, recorder)
        case .bars: break
        }
        if let failure = backend.failure { throw failure }
        return recorder.failureCount == 0
    }
}
