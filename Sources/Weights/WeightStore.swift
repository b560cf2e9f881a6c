import Synchronization
public import Tensors

/// A checkpoint's tensors while a model is built from them; remembers which were used.
public final class WeightStore: Sendable {
    private let checkpoint: any Checkpoint
    private let names: Set<String>
    private let storage: WeightStorage?
    private let used = Mutex<Set<String>>([])
    private let naming: TensorNaming

    /// Projections are to be kept as `storage` says, or as the checkpoint has them.
    public init(_ checkpoint: any Checkpoint, storage: WeightStorage? = nil) {
        (self.checkpoint, self.storage, names) = (checkpoint, storage, Set(checkpoint.tensorNames))
        naming = TensorNaming(names)
    }

    fileprivate func stored(_ projection: HostWeight, at path: String, on backend: any Backend) -> HostWeight
    {
        storage?.quantized(projection, at: path, backend) ?? projection
    }

    public func contains(_ name: String) -> Bool { names.contains(stored(name)) }

    fileprivate var roundsOnLoad: Bool { storage != nil }

    /// What the checkpoint calls the tensor.
    private func stored(_ name: String) -> String { naming.stored(name) }

    fileprivate func disregardAll(from path: String) {
        let prefix = stored(path + ".")
        used.withLock { $0.formUnion(names.filter { $0.hasPrefix(prefix) }) }
    }

    fileprivate func disregard(_ name: String) { used.withLock { _ = $0.insert(stored(name)) } }

    fileprivate func encoding(_ name: String) throws(CheckpointError) -> Encoding? {
        try checkpoint.layout.tensor(stored(name))?.encoding
    }

    /// The tensor `name`, which must have `shape`.
    public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> HostTensor {
        let name = stored(name)
        guard let tensor = try checkpoint.tensor(name) else { throw .missingTensor(name, expected: shape) }
        guard tensor.shape == shape else { throw .wrongShape(name, expected: shape, found: tensor.shape) }
        used.withLock { _ = $0.insert(name) }
        return tensor
    }

    /// Throws unless every tensor was used or is one of those to ignore.
    public func finish(ignoring isIgnored: (String) -> Bool) throws(CheckpointError) {
        let leftOver = used.withLock { names.subtracting($0) }.filter { !isIgnored($0) }
        guard leftOver.isEmpty else { throw .leftOver(leftOver.sorted()) }
    }
}

/// A position in a checkpoint's tree of dotted names.
public struct WeightScope: Sendable {
    private let store: WeightStore
    public let path: String
    private let converts: Bool

    public init(_ store: WeightStore) { self.init(store, path: "", converts: true) }

    private init(_ store: WeightStore, path: String, converts: Bool) {
        (self.store, self.path, self.converts) = (store, path, converts)
    }

    public subscript(_ name: String) -> WeightScope {
        WeightScope(store, path: full(name), converts: converts)
    }

    /// The same place, whose projections stay as the checkpoint has them.
    public var unconverted: WeightScope { WeightScope(store, path: path, converts: false) }

    public func contains(_ leaf: String) -> Bool { store.contains(full(leaf)) }

    /// Whether projections may be kept with fewer bits than the checkpoint has.
    var roundsOnLoad: Bool { store.roundsOnLoad }

    /// How `leaf` is stored; nil when there is none.
    public func encoding(_ leaf: String) throws(CheckpointError) -> Encoding? {
        try store.encoding(full(leaf))
    }

    public func tensor(_ leaf: String, shape: [Int]) throws(CheckpointError) -> HostTensor {
        try store.tensor(full(leaf), shape: shape)
    }

    /// Counts `leaf` as used, if there is one.
    public func disregard(_ leaf: String) { store.disregard(full(leaf)) }

    /// Counts every tensor from here on as used.
    public func disregardAll() { store.disregardAll(from: path) }

    /// `projection`, which is of here, as it is to be kept.
    public func stored(_ projection: HostWeight, on backend: any Backend) -> HostWeight {
        guard converts else { return projection }
        return store.stored(projection, at: path, on: backend)
    }

    private func full(_ name: String) -> String { path.isEmpty ? name : path + "." + name }
}
