import CUDARuntime
import Foundation
import Tensors

extension ProductKernels {
    /// Those that the environment names; nil where it names none.
    static func ofEnvironment() throws(CUDAError) -> ProductKernels? {
        guard let name = ProcessInfo.processInfo.environment["LIGHTLLM_CUDA_PRODUCTS"] else { return nil }
        guard let products = ProductKernels(rawValue: name) else { throw .unknownProducts(name) }
        return products
    }
}

/// What products with a weight take their rows as; weights of plain numbers are stored so too.
enum ProductElement: Sendable {
    case float32, bfloat16, float16

    /// Blocks are unpacked to float16, which has the digits of their scales.
    init(_ encoding: Encoding) {
        switch encoding {
        case .float32: self = .float32
        case .bfloat16: self = .bfloat16
        default: self = .float16
        }
    }

    var encoding: Encoding {
        switch self {
        case .float32: .float32
        case .bfloat16: .bfloat16
        case .float16: .float16
        }
    }

    var bytes: Int { self == .float32 ? 4 : 2 }

    /// What kernels are named after.
    var name: String {
        switch self {
        case .float32: "float"
        case .bfloat16: "bf16"
        case .float16: "f16"
        }
    }

    /// What kernels that write packed rows call it.
    var code: Int {
        switch self {
        case .float32: 0
        case .bfloat16: 1
        case .float16: 2
        }
    }

    /// Columns that rows of a product of `inputs` are padded to.
    func padded(_ inputs: Int) -> Int {
        let tile = self == .float32 ? 16 : 64
        return (inputs + tile - 1) / tile * tile
    }
}
