import CCUDAHost
import CUDABackend
import Foundation
import ReferenceBackend
import Tensors
import Testing

/// Products of a cuBLASLt whose algorithms add up in several orders.
@Suite(.serialized) struct LibraryProductTests {
    private static let inputs = 72

    private func product(
        _ backend: any Backend, _ x: [[Float]], _ weight: WeightMatrix, _ bias: [Float]
    ) -> [[Float]] {
        // Rows begin at multiples of 16 bytes, without which the library is not asked.
        let y = backend.makeMatrix(rows: x.count, columns: (bias.count + 3) / 4 * 4)
            .columns(0..<bias.count)
        backend.linear(backend.matrix(x), weight, bias: backend.matrix([bias]), into: y)
        return backend.rows(y)
    }

    /// One class of algorithms serves all numbers of rows, two algorithms of them; the same bits.
    @Test(arguments: [Encoding.bfloat16, .float16])
    func oneClassServes(_ encoding: Encoding) throws {
        var noise = Noise(5)
        let (x, w, bias) = (noise.rows(150, Self.inputs), noise.rows(8, Self.inputs), noise.floats(8))
        let backend = try makeHostBackend(products: .library)
        let weight = backend.makeWeight([weight(w, encoding)])
        let all = product(backend, x, weight, bias)
        let reference = ReferenceBackend()
        expectClose(
            all, product(reference, x, reference.makeWeight([CUDABackendTests.weight(w, encoding)]), bias),
            encoding == .bfloat16 ? 3e-2 : 4e-3, "\(encoding)")
        let calls = cuda_host_cublaslt_calls()
        for rows in [0..<1, 3..<20, 100..<150, 7..<72, 0..<64, 1..<66] {
            #expect(product(backend, Array(x[rows]), weight, bias) == Array(all[rows]))
        }
        // Each of them was one call: the search is made once.
        #expect(cuda_host_cublaslt_calls() - calls == 6)
        guard encoding == .bfloat16 else { return }
        let choice = try #require(backend.libraryChoice(inputs: 128, outputs: 8))
        // Backwards for up to 128 rows is a class of its own; one depends on the rows and is none.
        #expect(choice.found == 2 && choice.whole == 1)
        #expect(choice.steps.map(\.rows) == [16, 32, 64, 128, 256, 512, 1024, 2048])
        #expect(choice.steps.map { $0.algorithm[0] } == [0, 0, 0, 1, 1, 1, 1, 1])
    }

    /// What was chosen is chosen again by the next start, without a search; a file that is none is chosen anew.
    @Test func choicesAreKept() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        var noise = Noise(7)
        let (x, w, bias) = (noise.rows(40, Self.inputs), noise.rows(8, Self.inputs), noise.floats(8))
        func start() throws -> (rows: [[Float]], calls: Int32, algorithms: [[UInt64]]) {
            let backend = try makeHostBackend(products: .library, choices: folder)
            let calls = cuda_host_cublaslt_calls()
            let rows = product(backend, x, backend.makeWeight([weight(w, .bfloat16)]), bias)
            let choice = try #require(backend.libraryChoice(inputs: 128, outputs: 8))
            return (rows, cuda_host_cublaslt_calls() - calls, choice.steps.map(\.algorithm))
        }
        let first = try start(), second = try start()
        #expect(first.calls > 10 && second.calls == 1)
        #expect(second.rows == first.rows && second.algorithms == first.algorithms)
        for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
            try Data("{\"8 x 128 bfloat16\": 3}".utf8).write(to: file)
        }
        #expect(try start().calls == first.calls)
    }

    /// Where no class has an algorithm for every number of rows, our own kernels serve all.
    @Test func ownKernelsServeTheRest() throws {
        var noise = Noise(6)
        let (x, w, bias) = (noise.rows(20, Self.inputs), noise.rows(7, Self.inputs), noise.floats(7))
        let backend = try makeHostBackend(products: .library), own = try makeHostBackend()
        let mine = product(backend, x, backend.makeWeight([weight(w, .bfloat16)]), bias)
        #expect(mine == product(own, x, own.makeWeight([weight(w, .bfloat16)]), bias))
        let calls = cuda_host_cublaslt_calls()
        _ = product(backend, Array(x.prefix(3)), backend.makeWeight([weight(w, .bfloat16)]), bias)
        #expect(cuda_host_cublaslt_calls() == calls)
        let choice = try #require(backend.libraryChoice(inputs: 128, outputs: 7))
        #expect(choice.found == 1 && choice.whole == 0 && choice.steps.isEmpty)
    }
}
