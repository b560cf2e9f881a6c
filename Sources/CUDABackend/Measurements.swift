import CUDARuntime
public import Tensors

/// What measurements of the device need.
extension CUDABackend {
    /// Bytes read and written per second by a copy of `bytes` to another place.
    public func copyBandwidth(bytes: Int) throws -> Double {
        let (from, to) = (try device.allocate(bytes: bytes), try device.allocate(bytes: bytes))
        defer {
            device.free(from)
            device.free(to)
        }
        func copy() {
            launch(
                "copy_words", Extent(16 * device.multiprocessors), Extent(512),
                [.address(from), .address(to), .long(bytes / 16)])
        }
        copy()
        let milliseconds = try stream.time { for _ in 0..<5 { copy() } } / 5
        return 2 * Double(bytes) / milliseconds * 1000
    }

    /// `count` numbers in bfloat16 that look random, between `-scale` and `scale`.
    public func randomNumbers(count: Int, scale: Float, seed: Int = 0) throws -> Buffer {
        let device = device
        let memory = try device.allocate(bytes: 2 * count)
        launch(
            "fill_random", Extent(8 * device.multiprocessors), Extent(512),
            [.address(memory), .long(count), .int(ProductElement.bfloat16.code), .float(scale), .int(seed)])
        return OwnedBuffer(address: memory) { device.free($0) }
    }
}
