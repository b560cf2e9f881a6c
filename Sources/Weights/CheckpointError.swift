/// A checkpoint that cannot be loaded, and why.
public enum CheckpointError: Error, Equatable, CustomStringConvertible {
    case notFound(String)
    case malformed(file: String, String)
    case missingTensor(String, expected: [Int])
    case wrongShape(String, expected: [Int], found: [Int])
    case leftOver([String])
    case unsupportedType(tensor: String, String)

    public var description: String {
        switch self {
        case .notFound(let path): "\(path): no such file or folder"
        case .malformed(let file, let reason): "\(file): \(reason)"
        case .missingTensor(let name, let expected): "tensor \(name) is missing; expected shape \(expected)"
        case .wrongShape(let name, let expected, let found):
            "tensor \(name): expected shape \(expected), found \(found)"
        case .leftOver(let names):
            "the model has no use for \(names.count) of the checkpoint's tensors: "
                + names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", …" : "")
        case .unsupportedType(let tensor, let type):
            "tensor \(tensor): element type \(type) is not supported"
        }
    }
}
