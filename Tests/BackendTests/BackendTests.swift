import CPUBackend
import Foundation
import ReferenceBackend
import Tensors
import Testing

/// Values that look random and are the same every time.
struct Noise {
    private var state: UInt64
    init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }

    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// The backends under test; all must agree with the reference.
enum Candidate: String, CaseIterable, Sendable {
    case best, scalar, oneThread

    func make() -> any Backend {
        switch self {
        case .best: CPUBackend(threads: 3)
        case .scalar: CPUBackend(threads: 2, kernels: .scalar)
        case .oneThread: CPUBackend(threads: 1)
        }
    }
}

extension Backend {
    func matrix(_ rows: [[Float]]) -> Matrix {
        let parts = rows.map { row in
            HostWeight(
                outputs: 1, inputs: row.count, encoding: .float32,
                bytes: HostBytes(copying: row.withUnsafeBytes { Array($0) }))
        }
        let flat = makeVector(parts)
        let width = rows.first?.count ?? 0
        return Matrix(rows: rows.count, columns: width, backend: self, buffer: flat.buffer)
    }

    func rows(_ x: Matrix) -> [[Float]] {
        (0..<x.rows).map { row in
            var values: [Float] = []
            read(x, row: row, into: &values)
            return values
        }
    }
}

func expectClose(_ a: [[Float]], _ b: [[Float]], _ tolerance: Float, _ what: String) {
    #expect(a.count == b.count && zip(a, b).allSatisfy { $0.count == $1.count }, "\(what): shapes differ")
    let worst = zip(a.joined(), b.joined()).map { abs($0 - $1) / max(1, abs($1)) }.max() ?? 0
    #expect(worst <= tolerance, "\(what): \(worst)")
}

/// Expects of `run` on a candidate what it gives on the reference.
func compare(
    _ candidate: Candidate, _ tolerance: Float, _ what: String, _ run: (any Backend) throws -> [[Float]]
) rethrows {
    try expectClose(run(candidate.make()), run(ReferenceBackend()), tolerance, what)
}

func noise(_ rows: Int, _ columns: Int, _ seed: Int) -> [[Float]] {
    var noise = Noise(seed)
    return (0..<rows).map { _ in noise.floats(columns) }
}

@Suite struct BackendTests {
    static let widths = [1, 7, 8, 31, 33, 64, 100, 257]

    @Test(arguments: Candidate.allCases)
    func multiplies(_ candidate: Candidate) {
        let (ours, reference) = (candidate.make(), ReferenceBackend())
        for inputs in Self.widths {
            for (rows, outputs) in [(1, 1), (3, 5), (17, 70)] {
                var noise = Noise(inputs * rows)
                let x = (0..<rows).map { _ in noise.floats(inputs) }
                let weights = noise.floats(inputs * (outputs + 2))
                let bias = noise.floats(outputs + 2)
                func part(_ range: Range<Int>, _ encoding: Encoding) -> HostWeight {
                    let values = weights[range.lowerBound * inputs..<range.upperBound * inputs]
                    let bytes = encoding == .float32 ? bytes(Array(values)) : bfloat16(Array(values))
                    return HostWeight(
                        outputs: range.count, inputs: inputs, encoding: encoding,
                        bytes: HostBytes(copying: bytes))
                }
                let parts = [part(0..<outputs, .float32), part(outputs..<outputs + 2, .bfloat16)]
                let results = [ours, reference].map { backend in
                    let y = backend.makeMatrix(rows: rows, columns: outputs + 2)
                    backend.linear(
                        backend.matrix(x), backend.makeWeight(parts), bias: backend.matrix([bias]), into: y)
                    return backend.rows(y)
                }
                expectClose(results[0], results[1], 1e-5, "linear \(rows)x\(inputs)x\(outputs)")
            }
        }
    }

    private func bytes(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    private func bfloat16(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in
            withUnsafeBytes(of: UInt16(value.bitPattern >> 16).littleEndian) { Array($0) }
        }
    }

    @Test(arguments: Candidate.allCases)
    func normalisesAddsAndGates(_ candidate: Candidate) {
        let (ours, reference) = (candidate.make(), ReferenceBackend())
        for width in Self.widths {
            var noise = Noise(width)
            let (a, b) = ((0..<5).map { _ in noise.floats(width) }, (0..<5).map { _ in noise.floats(width) })
            let weight = noise.floats(width)
            let results = [ours, reference].map { backend -> [[[Float]]] in
                let (x, y, scale) = (backend.matrix(a), backend.matrix(b), backend.matrix([weight]))
                let norm = backend.makeMatrix(rows: 5, columns: width)
                backend.rmsNorm(x, weight: scale, epsilon: 1e-5, into: norm)
                let (sum, fused) = backend.addThenRMSNorm(x, y, weight: scale, epsilon: 1e-5)
                let gated = Activation.allCases.map { function in
                    let out = backend.makeMatrix(rows: 5, columns: width)
                    backend.gated(x, y, function, into: out)
                    return backend.rows(out)
                }
                let picked = backend.makeMatrix(rows: 3, columns: width)
                backend.gatherRows([4, 0, 4], of: x, into: picked)
                return [backend.rows(norm), backend.rows(sum), backend.rows(fused), backend.rows(picked)]
                    + gated
            }
            for (mine, theirs) in zip(results[0], results[1]) {
                expectClose(mine, theirs, 2e-5, "rows of \(width)")
            }
            let x = ours.matrix(a)
            // Fused or not, the bits are the same.
            let (sum, fused) = ours.addThenRMSNorm(
                x, ours.matrix(b), weight: ours.matrix([weight]), epsilon: 1e-5)
            let apart = ours.makeMatrix(rows: 5, columns: width)
            ours.rmsNorm(sum, weight: ours.matrix([weight]), epsilon: 1e-5, into: apart)
            #expect(ours.rows(fused) == ours.rows(apart))
        }
    }

    @Test(arguments: Candidate.allCases)
    func attendsOverScatteredSlots(_ candidate: Candidate) throws {
        try expectAttention(candidate, .float32, within: 2e-5)
    }

    @Test(arguments: Candidate.allCases, [CacheElement.float16, .bfloat16, .int8])
    func attendsOverRoundedKeysAndValues(_ candidate: Candidate, _ element: CacheElement) throws {
        try expectAttention(candidate, element, within: element == .float16 ? 0.002 : 0.02)
    }

    private func expectAttention(
        _ candidate: Candidate, _ element: CacheElement, within tolerance: Float
    ) throws {
        for heads in HeadCounts.awkward {
            let width = heads.width
            for reach in [AttentionShape.Reach.causal, .causalWindow(5)] {
                for pairing in [Rotation.Pairing.halves, .neighbours] where width.isMultiple(of: 2) {
                    let results = try [candidate.make(), ReferenceBackend() as any Backend].map {
                        try attention($0, element, heads, reach, pairing)
                    }
                    expectClose(results[0], results[1], tolerance, "attention \(heads)")
                }
            }
        }
    }

    /// Two sequences, one of which is computed in two steps.
    private func attention(
        _ backend: any Backend, _ element: CacheElement, _ heads: HeadCounts, _ reach: AttentionShape.Reach,
        _ pairing: Rotation.Pairing
    ) throws -> [[Float]] {
        let (queryHeads, keyValueHeads, width) = (heads.query, heads.keyValue, heads.width)
        var noise = Noise(queryHeads * width)
        let layout = CacheLayout(
            layers: 2, heads: keyValueHeads, keyWidth: width, valueWidth: width)
        let cache = try backend.makeCache(layout, slots: 64, element: element)
        let shape = AttentionShape(
            queryHeads: queryHeads, keyValueHeads: keyValueHeads, keyWidth: width, valueWidth: width,
            scale: 1 / Float(width).squareRoot(), reach: reach, group: heads.group, lead: heads.lead)
        let rotation = Rotation(
            frequencies: .fixed((0..<width / 2).map { 1 / Float($0 + 1) }), magnitude: 1.25,
            columns: 0..<width,
            pairing: pairing)
        let (first, second): ([Int32], [Int32]) = ((0..<20).map { (63 - 3 * $0) }, (0..<9).map { 4 + 2 * $0 })
        var results: [[Float]] = []
        for (ranges, slots) in [([0..<13, 0..<4], [first, second]), ([13..<20, 4..<9], [first, second])] {
            let counts = ranges.map(\.count)
            let positions = ranges.flatMap { $0.map { Int32($0) } }
            let pass = ForwardPass(
                tokens: positions, positions: positions, lengths: positions.map { $0 + 1 },
                newSlots: Array(slots[0][ranges[0]]) + Array(slots[1][ranges[1]]),
                sequences: [
                    .init(rows: 0..<counts[0], contextSlots: slots[0]),
                    .init(rows: counts[0]..<counts[0] + counts[1], contextSlots: slots[1]),
                ], sampledRows: [], cache: cache, backend: backend)
            func random(_ columns: Int) -> Matrix {
                backend.matrix(positions.map { _ in noise.floats(columns) })
            }
            let (q, k, v) = (
                random(queryHeads * width), random(keyValueHeads * width), random(keyValueHeads * width)
            )
            results += backend.rows(pass.attend(q, k, v, rotatedBy: rotation, shape, layer: 1))
        }
        return results
    }

    /// Keys that hold their values take less memory and give the same bits.
    @Test(arguments: Candidate.allCases, CacheElement.allCases)
    func valuesAmongKeys(_ candidate: Candidate, _ element: CacheElement) throws {
        let (width, values, slots) = (40, 24, (0..<Int32(70)).map { ($0 * 31 + 5) % 97 })
        let shape = AttentionShape(
            queryHeads: 6, keyValueHeads: 2, keyWidth: width, valueWidth: values, scale: 0.2, reach: .causal)
        let rotation = Rotation(
            frequencies: .fixed((0..<8).map { 1 / Float($0 + 1) }), columns: values..<width, pairing: .halves)
        func results(_ valuesLeadKeys: Bool) throws -> [[Float]] {
            let backend = candidate.make()
            let layout = CacheLayout(
                layers: 2, heads: 2, keyWidth: width, valueWidth: values, valuesLeadKeys: valuesLeadKeys)
            #expect(
                layout.bytesPerToken(.float16) == 2 * 2 * 2 * (valuesLeadKeys ? width : width + values))
            let cache = try backend.makeCache(layout, slots: 97, element: element)
            var (noise, results) = (Noise(4), [[Float]]())
            for range in [0..<50, 50..<51, 51..<70] {
                let positions = range.map { Int32($0) }
                let pass = ForwardPass(
                    tokens: positions, positions: positions, lengths: positions.map { $0 + 1 },
                    newSlots: Array(slots[range]),
                    sequences: [
                        .init(rows: 0..<range.count, contextSlots: Array(slots[..<range.upperBound]))
                    ],
                    sampledRows: [], cache: cache, backend: backend)
                let keys = range.map { _ in noise.floats(2 * width) }
                let leading = keys.map { Array($0[..<values] + $0[width..<width + values]) }
                let (q, k, v) = (
                    backend.matrix(range.map { _ in noise.floats(6 * width) }), backend.matrix(keys),
                    backend.matrix(leading)
                )
                results += backend.rows(pass.attend(q, k, v, rotatedBy: rotation, shape, layer: 1))
            }
            return results
        }
        #expect(try results(true) == results(false))
    }

    @Test func refusesCachesThatNoMemoryHolds() {
        let layout = CacheLayout(layers: 1 << 20, heads: 1, keyWidth: 1 << 10, valueWidth: 1 << 10)
        #expect(throws: CacheMemoryError.self) {
            try CPUBackend(threads: 1).makeCache(layout, slots: 1 << 40, element: .float32)
        }
        #expect(throws: CacheMemoryError.self) {
            try CPUBackend(threads: 1).makeCache(layout, slots: 1 << 30, element: .float32)
        }
    }

    /// The same rows give the same bits, whatever the threads and however many share a call.
    @Test(arguments: Encoding.allCases)
    func resultsDoNotDependOnThreadsOrCompany(_ encoding: Encoding) {
        var noise = Noise(3)
        let (inputs, outputs) = (max(96, 2 * encoding.blockElements), 700)
        let x = (0..<40).map { _ in noise.floats(inputs) }
        let weight = HostWeight(
            outputs: outputs, inputs: inputs, encoding: encoding,
            bytes: HostBytes(copying: someBytes(encoding, inputs * outputs, &noise)))
        func product(_ backend: any Backend, _ rows: [[Float]]) -> [[UInt32]] {
            let y = backend.makeMatrix(rows: rows.count, columns: outputs)
            backend.linear(backend.matrix(rows), backend.makeWeight([weight]), bias: nil, into: y)
            return backend.rows(y).map { $0.map(\.bitPattern) }
        }
        let expected = product(CPUBackend(threads: 1), x)
        #expect(Set(expected.joined()).count > outputs)
        for threads in [2, 3, 8] { #expect(product(CPUBackend(threads: threads), x) == expected) }
        let backend = CPUBackend(threads: 2)
        for row in stride(from: 0, to: x.count, by: 7) {
            #expect(product(backend, [x[row]]) == [expected[row]])
        }
    }

    /// Weights of an encoding. Every byte below 64 makes no float16 or float32 of blocks that is not a number.
    private func someBytes(_ encoding: Encoding, _ count: Int, _ noise: inout Noise) -> [UInt8] {
        if encoding == .float32 { return bytes(noise.floats(count)) }
        if encoding == .bfloat16 { return bfloat16(noise.floats(count)) }
        let size = count / encoding.blockElements * encoding.blockBytes
        return (0..<size).map { _ in UInt8(abs(noise.next()) * 60) }
    }

    /// Plain attention and the fused form with rotation are the same, bit for bit.
    @Test func rotatingFirstChangesNothing() throws {
        let backend = CPUBackend(threads: 2)
        let shape = AttentionShape(
            queryHeads: 4, keyValueHeads: 2, keyWidth: 8, valueWidth: 8, scale: 0.3, reach: .causal)
        let rotation = Rotation(frequencies: .fixed([1, 0.3, 0.1, 0.01]), columns: 0..<8, pairing: .halves)
        let layout = CacheLayout(layers: 1, heads: 2, keyWidth: 8, valueWidth: 8)
        func result(_ attend: (Matrix, Matrix, Matrix, ForwardPass) -> Matrix) throws -> [[Float]] {
            let cache = try backend.makeCache(layout, slots: 8, element: .float16)
            let pass = ForwardPass(
                tokens: [1, 2, 3], positions: [0, 1, 2], lengths: [3, 3, 3], newSlots: [4, 1, 6],
                sequences: [ForwardPass.Sequence(rows: 0..<3, contextSlots: [4, 1, 6])], sampledRows: [2],
                cache: cache, backend: backend)
            var noise = Noise(8)
            let (q, k, v) = (
                backend.matrix((0..<3).map { _ in noise.floats(32) }),
                backend.matrix((0..<3).map { _ in noise.floats(16) }),
                backend.matrix((0..<3).map { _ in noise.floats(16) })
            )
            return backend.rows(attend(q, k, v, pass))
        }
        let fused = try result { $3.attend($0, $1, $2, rotatedBy: rotation, shape, layer: 0) }
        let plain = try result { q, k, v, pass in
            pass.rotate(q, heads: 4, by: rotation)
            pass.rotate(k, heads: 2, by: rotation)
            return pass.attend(q, k, v, shape, layer: 0)
        }
        #expect(fused == plain)
    }
}

/// Heads of attention; of the first and the last key-value head some query heads may be lacking.
private struct HeadCounts {
    let query: Int
    let keyValue: Int
    let width: Int
    var group: Int?
    var lead = 0

    static let awkward = [
        HeadCounts(query: 1, keyValue: 1, width: 2), HeadCounts(query: 4, keyValue: 2, width: 8),
        HeadCounts(query: 6, keyValue: 2, width: 20), HeadCounts(query: 3, keyValue: 3, width: 33),
        HeadCounts(query: 5, keyValue: 2, width: 16, group: 3),
        HeadCounts(query: 4, keyValue: 2, width: 8, group: 3, lead: 2),
        HeadCounts(query: 7, keyValue: 3, width: 20, group: 3, lead: 1),
    ]
}
