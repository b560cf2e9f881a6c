import Foundation
import Tensors

/// Keys and values in one mapping: the scales of all layers, where there are any, then layer by layer the keys and
/// the values. The system hands out pages as slots are first used, and the pool reuses freed slots first.
final class CPUCache: KeyValueCache, @unchecked Sendable {
    // Unsafe: kernels write rows of new slots, which one sequence owns, on the thread that runs the pass.
    let layout: CacheLayout
    let element: CacheElement
    let slots: Int
    private let address: UnsafeMutableRawPointer
    private let byteCount: Int

    /// The keys or the values of one layer.
    struct Rows {
        let numbers: UnsafeMutableRawPointer
        /// One for each slot and head, where the element has scales.
        let scales: UnsafeMutablePointer<UInt16>?
        /// Elements from one head to the next.
        let width: Int
    }

    /// Whether values are among the keys.
    var keysHoldValues: Bool { layout.keysHoldValues(element) }

    init(layout: CacheLayout, slots: Int, element: CacheElement) throws(CacheMemoryError) {
        (self.layout, self.slots, self.element) = (layout, slots, element)
        let bytesPerSlot = layout.bytesPerToken(element)
        let (bytes, overflow) = slots.multipliedReportingOverflow(by: bytesPerSlot)
        let mapped =
            overflow
            ? nil : mmap(nil, max(1, bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw CacheMemoryError(slots: slots, bytesPerSlot: bytesPerSlot)
        }
        (address, byteCount) = (mapped, max(1, bytes))
    }

    deinit { munmap(address, byteCount) }

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

    private func numbers(_ layer: Int) -> UnsafeMutableRawPointer {
        let scales = 2 * layout.layers * slots * layout.heads * element.scaleBytes
        return address + scales
            + layer * slots * layout.heads * layout.storedWidth(element) * element.bytes
    }

    private func scales(_ index: Int) -> UnsafeMutablePointer<UInt16>? {
        guard element.scaleBytes > 0 else { return nil }
        return address.assumingMemoryBound(to: UInt16.self) + index * slots * layout.heads
    }
}
