import CCUDAHost
import CPUBackend
import CUDABackend
import CUDARuntime
import Foundation
import Tensors
import Testing

/// Names the source, as modules of the host's device are.
struct NamingCompiler: KernelCompiler {
    func image(of source: String, definitions: [String]) throws(CUDAError) -> [UInt8] {
        Array((source + " " + definitions.joined(separator: " ")).utf8) + [0]
    }
}

/// A backend whose device is this computer's processor.
func makeHostBackend(
    products: ProductKernels? = nil, graphs: GraphLimits? = GraphLimits(),
    _ fill: (UnsafeMutablePointer<ccuda_driver_api>) -> Void = { cuda_host_driver($0) },
    note: @escaping @Sendable (String) -> Void = writeNote, choices: URL? = nil
) throws -> CUDABackend {
    var table: ccuda_driver_api?
    withUnsafeMutablePointer(to: &table) { table in
        table.withMemoryRebound(to: ccuda_driver_api.self, capacity: 1) { fill($0) }
    }
    let driver = Driver(table: try #require(table), path: "host")
    return try CUDABackend(
        try Device(driver), NamingCompiler(), activationBytes: 1 << 20, products: products, graphs: graphs,
        note: note, choices: choices,
        library: { stream throws(CUDAError) in
            var table: ccuda_cublaslt_api?
            withUnsafeMutablePointer(to: &table) { table in
                table.withMemoryRebound(to: ccuda_cublaslt_api.self, capacity: 1) { cuda_host_cublaslt($0) }
            }
            guard let table else { throw .noDevice("a table without entries") }
            return try CublasLt(table: table, stream)
        })
}

/// Values that look random and are the same every time.
struct Noise {
    private var state: UInt64
    init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }

    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }

    mutating func rows(_ rows: Int, _ columns: Int) -> [[Float]] { (0..<rows).map { _ in floats(columns) } }
}

extension Backend {
    func matrix(_ rows: [[Float]]) -> Matrix {
        let parts = rows.map { weight([$0], .float32) }
        let flat = makeVector(parts)
        return Matrix(rows: rows.count, columns: rows.first?.count ?? 0, backend: self, buffer: flat.buffer)
    }

    func rows(_ x: Matrix) -> [[Float]] {
        (0..<x.rows).map { row in
            var values: [Float] = []
            read(x, row: row, into: &values)
            return values
        }
    }
}

/// A weight that holds `rows`, rounded to 16 bits where the encoding has so many.
func weight(_ rows: [[Float]], _ encoding: Encoding) -> HostWeight {
    let bytes = rows.joined().flatMap { value -> [UInt8] in
        switch encoding {
        case .float32: return withUnsafeBytes(of: value) { Array($0) }
        case .bfloat16:
            let bits = UInt16(truncatingIfNeeded: (value.bitPattern + 0x8000) >> 16)
            return withUnsafeBytes(of: bits) { Array($0) }
        default: return withUnsafeBytes(of: Float16(value)) { Array($0) }
        }
    }
    return HostWeight(
        outputs: rows.count, inputs: rows.first?.count ?? 0, encoding: encoding,
        bytes: HostBytes(copying: bytes))
}

/// The same numbers in float32, for the reference, which takes plain numbers alone.
func plain(_ host: HostWeight) -> HostWeight {
    guard host.encoding.blockElements > 1 else { return host }
    let backend = CPUBackend(threads: 1)
    let y = backend.makeMatrix(rows: host.outputs, columns: host.inputs)
    backend.embed((0..<host.outputs).map { Int32($0) }, backend.makeTable(host), into: y)
    return weight(backend.rows(y), .float32)
}

func expectClose(_ a: [[Float]], _ b: [[Float]], _ tolerance: Float, _ what: String) {
    #expect(a.count == b.count && zip(a, b).allSatisfy { $0.count == $1.count }, "\(what): shapes differ")
    let worst = zip(a.joined(), b.joined()).map { abs($0 - $1) / max(1, abs($1)) }
        .reduce(0 as Float) { $1.isNaN ? .infinity : max($0, $1) }
    #expect(worst <= tolerance, "\(what): \(worst)")
}
