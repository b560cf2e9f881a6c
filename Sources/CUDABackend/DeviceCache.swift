import CUDARuntime
import Tensors

/// Keys and values on the device: the scales of all layers, where there are any, then layer by layer the keys and the
/// values.
final class DeviceCache: KeyValueCache, @unchecked Sendable {
    // Unsafe: kernels write rows of new slots, which one sequence owns, in the order of the stream.
    let layout: CacheLayout
    let element: CacheElement
    let slots: Int
    private let device: Device
    private let address: DeviceAddress

    /// The keys or the values of one layer.
    struct Rows {
        let numbers: DeviceAddress
        /// One for each slot and head, where the element has scales.
        let scales: DeviceAddress?
        /// Numbers from one head to the next.
        let width: Int
    }

    /// Whether values are among the keys.
    var keysHoldValues: Bool { layout.keysHoldValues(element) }

    init(
        layout: CacheLayout, slots: Int, element: CacheElement, on device: Device
    ) throws(CacheMemoryError) {
        (self.layout, self.slots, self.element, self.device) = (layout, slots, element, device)
        let bytesPerSlot = layout.bytesPerToken(element)
        let (bytes, overflow) = (slots + 1).multipliedReportingOverflow(by: bytesPerSlot)
        guard !overflow, let memory = try? device.allocate(bytes: bytes) else {
            throw CacheMemoryError(slots: slots, bytesPerSlot: bytesPerSlot)
        }
        address = memory
    }

    deinit { device.free(address) }

    func keys(_ layer: Int) -> Rows {
        Rows(numbers: numbers(layer), scales: scales(2 * layer), width: layout.keyWidth)
    }

    func values(_ layer: Int) -> Rows {
        keysHoldValues
            ? keys(layer)
            : Rows(
                numbers: numbers(layer) + slots * layout.heads * layout.keyWidth * element.bytes,
                scales: scales(2 * layer + 1), width: layout.valueWidth)
    }

    private func numbers(_ layer: Int) -> DeviceAddress {
        let scales = 2 * layout.layers * slots * layout.heads * element.scaleBytes
        // Kernels copy sixteen bytes at a time.
        return address + (scales + 15) / 16 * 16
            + layer * slots * layout.heads * layout.storedWidth(element) * element.bytes
    }

    private func scales(_ index: Int) -> DeviceAddress? {
        guard element.scaleBytes > 0 else { return nil }
        return address + index * slots * layout.heads * element.scaleBytes
    }
}

extension CacheElement {
    /// What kernels are named after.
    var kernel: String {
        switch self {
        case .float32: "float"
        case .float16: "f16"
        case .bfloat16: "bf16"
        case .int8: "i8"
        }
    }
}
