import CUDABackend
import CUDARuntime
import JSON
import Layers
import LightLLM
import Tensors
import Weights

extension GPUCheck {
    /// Steps in which every sequence generates a token, with contexts of 472 tokens.
    static func measureStep(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let start = ContinuousClock.now
        let model = try LoadedModel(checkpoint: SyntheticCheckpoint(), backend: backend)
        try backend.stream.synchronize()
        recorder.record("load", ["seconds": .number((ContinuousClock.now - start) / .seconds(1))])
        let context = 472
        for element in [CacheElement.bfloat16, .int8] {
            let cache = try backend.makeCache(
                model.network.cacheLayout, slots: 128 * context, element: element)
            for batch in [1, 8, 32, 64, 128] {
                let scene = StepScene(model, cache, batch: batch, context: context)
                func replayed(_ pass: ForwardPass) -> Matrix { backend.perform(pass) { model.network(pass) } }
                _ = scene.seconds(of: 3, replayed)
                try backend.stream.startWatching()
                let seconds = scene.seconds(of: 20, replayed)
                let idle = backend.stream.endWatching()
                // How long the device is at it when nobody waits between steps.
                let busy =
                    try backend.stream.time { for _ in 0..<5 { scene.forward { model.network($0) } } } / 5
                // The table of embeddings is not read.
                let weights = model.checkpoint.byteCount - 2 * 32_000 * 4096
                let bytes =
                    Double(weights)
                    + Double(batch * context * model.network.cacheLayout.bytesPerToken(element))
                recorder.record(
                    "\(element) batch \(batch)",
                    [
                        "ms": .number(seconds * 1000), "device ms": .number(busy),
                        "idle": .number(idle.fraction), "tokens/s": .number(Double(batch) / seconds),
                        "GB": .number(bytes / 1e9), "GB/s": .number(bytes / seconds / 1e9),
                    ])
            }
        }
    }
}
