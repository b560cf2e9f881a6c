import Tensors

/// Where a tensor lies in its file.
struct TensorEntry: Sendable {
    /// The element type as the file names it.
    let type: String
    let encoding: Encoding?
    let shape: [Int]
    let range: Range<Int>
}

/// A file that holds tensors by name.
protocol TensorFile: Sendable {
    var entries: [String: TensorEntry] { get }
    var bytes: HostBytes { get }
}

extension TensorFile {
    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let entry = entries[name] else { return nil }
        guard let encoding = entry.encoding else { throw .unsupportedType(tensor: name, entry.type) }
        let part = bytes[entry.range]
        // Kernels load whole elements, so they must lie at multiples of their size.
        let size = encoding.blockElements == 1 ? encoding.blockBytes : 2
        let isAligned = UInt(bitPattern: part.start).isMultiple(of: UInt(size))
        return HostTensor(
            encoding: encoding, shape: entry.shape, bytes: isAligned ? part : HostBytes(copying: part.bytes))
    }
}
