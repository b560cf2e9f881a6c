public import JSON
import Tensors

/// A checkpoint and others whose tensors belong to the same model, each under a name of its own.
public struct JoinedCheckpoint: Checkpoint {
    private let main: any Checkpoint
    private let others: [String: any Checkpoint]

    /// `main` with the tensor `t` of `others[name]` as `name.t`.
    public static func join(
        _ main: any Checkpoint, _ others: [String: any Checkpoint]
    ) -> any Checkpoint {
        others.isEmpty ? main : JoinedCheckpoint(main: main, others: others)
    }

    public var path: String { main.path }
    public var configuration: JSONValue { main.configuration }
    public var generationConfiguration: JSONValue? { main.generationConfiguration }
    public var metadata: GGUFMetadata? { main.metadata }
    public var byteCount: Int { others.values.reduce(main.byteCount) { $0 + $1.byteCount } }

    public var tensorNames: [String] {
        others.reduce(main.tensorNames) { names, other in
            names + other.value.tensorNames.map { "\(other.key).\($0)" }
        }
    }

    public func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        for (prefix, other) in others where name.hasPrefix(prefix + ".") {
            if let tensor = try other.tensor(String(name.dropFirst(prefix.count + 1))) { return tensor }
        }
        return try main.tensor(name)
    }
}
