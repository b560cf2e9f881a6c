/// A weight matrix, `outputs` x `inputs`, in whatever encodings the checkpoint chose.
///
/// It consists of parts stacked along the outputs, so projections of the same input (q, k and v) act as one
/// matrix while each keeps the encoding that its file has.
public struct WeightMatrix: Sendable {
    public struct Part: Sendable {
        public let outputs: Int
        public let encoding: Encoding
        /// The numbers in an order of the backend's own.
        public let buffer: Buffer

        public init(outputs: Int, encoding: Encoding, buffer: Buffer) {
            (self.outputs, self.encoding, self.buffer) = (outputs, encoding, buffer)
        }
    }

    public let outputs: Int
    public let inputs: Int
    public let parts: [Part]

    public init(inputs: Int, parts: [Part]) {
        (self.inputs, self.parts) = (inputs, parts)
        outputs = parts.reduce(0) { $0 + $1.outputs }
    }
}

/// A table of vectors, looked up by row: the rows of a weight as its file has them.
public struct EmbeddingTable: Sendable {
    public let rows: Int
    public let columns: Int
    public let encoding: Encoding
    /// `rows` rows of `encoding.rowBytes(columns)` bytes.
    public let buffer: Buffer

    public init(rows: Int, columns: Int, encoding: Encoding, buffer: Buffer) {
        (self.rows, self.columns, self.encoding, self.buffer) = (rows, columns, encoding, buffer)
    }
}

/// A weight tensor as it lies in host memory, before a backend takes it.
public struct HostWeight: Sendable {
    public let outputs: Int
    public let inputs: Int
    public let encoding: Encoding
    /// `outputs` rows of `encoding.rowBytes(inputs)` bytes.
    public let bytes: HostBytes

    public init(outputs: Int, inputs: Int, encoding: Encoding, bytes: HostBytes) {
        precondition(
            encoding.rowBytes(inputs).map { $0 * outputs } == bytes.count, "bytes of \(outputs)x\(inputs)")
        (self.outputs, self.inputs, self.encoding, self.bytes) = (outputs, inputs, encoding, bytes)
    }
}
