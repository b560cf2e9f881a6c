import Tensors
import Weights

extension HostWeight {
    init(_ values: [Float], outputs: Int, inputs: Int) {
        self.init(
            outputs: outputs, inputs: inputs, encoding: .float32,
            bytes: values.withUnsafeBytes { HostBytes(copying: $0) })
    }

    /// The same elements taken as one column after the other of each of `count` vectors: a vector of `count`
    /// heads has its ranges picked like rows.
    func elements(_ ranges: [Range<Int>]) -> HostWeight {
        let column = HostWeight(outputs: inputs, inputs: 1, encoding: encoding, bytes: bytes).rows(ranges)
        return HostWeight(outputs: 1, inputs: column.outputs, encoding: encoding, bytes: column.bytes)
    }

    /// The values, row by row.
    func values(_ backend: any Backend) -> [Float] {
        var values: [Float] = []
        backend.read(backend.makeVector([self]), row: 0, into: &values)
        return values
    }

    /// Rows become columns. Plain numbers keep their type, blocks become float32.
    func transposed(_ backend: any Backend) -> HostWeight {
        guard encoding.blockElements == 1 else {
            return HostWeight(values(backend), outputs: outputs, inputs: inputs).transposed(backend)
        }
        let size = encoding.blockBytes
        var copy = [UInt8](repeating: 0, count: bytes.count)
        for row in 0..<outputs {
            for column in 0..<inputs {
                let (from, to) = ((row * inputs + column) * size, (column * outputs + row) * size)
                for byte in 0..<size { copy[to + byte] = bytes.bytes[from + byte] }
            }
        }
        return HostWeight(
            outputs: inputs, inputs: outputs, encoding: encoding, bytes: HostBytes(copying: copy))
    }
}
