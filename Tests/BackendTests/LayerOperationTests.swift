import ReferenceBackend
import Tensors
import Testing

/// Normalising heads, scaling, bounding, mixing experts, and attention with biases, as the reference does it.
@Suite struct LayerOperationTests {
    @Test(arguments: Candidate.allCases)
    func normalisesLayersAndHeads(_ candidate: Candidate) {
        for (heads, width) in [(1, 1), (3, 5), (4, 16), (7, 33)] {
            let (x, columns) = (noise(5, heads * width, 1), heads * width)
            compare(candidate, 3e-5, "layer norm of \(columns)") { backend in
                let y = backend.makeMatrix(rows: 5, columns: columns)
                backend.layerNorm(
                    backend.matrix(x), weight: backend.matrix(noise(1, columns, 2)),
                    bias: backend.matrix(noise(1, columns, 3)), epsilon: 1e-4, into: y)
                return backend.rows(y)
            }
            for statistic in [HeadStatistic.rootMeanSquare, .deviation] {
                for weights in [width, columns] {
                    compare(candidate, 3e-5, "\(statistic) of \(heads) heads, \(weights) weights") {
                        backend in
                        // A view, whose rows lie apart.
                        let whole = backend.matrix(x.map { $0 + [9] })
                        backend.normalizeHeads(
                            whole.columns(0..<columns), heads: heads, by: statistic,
                            weight: backend.matrix(noise(1, weights, 4)), epsilon: 1e-4)
                        return backend.rows(whole)
                    }
                }
            }
        }
    }

    @Test(arguments: Candidate.allCases)
    func scalesBoundsAndActivates(_ candidate: Candidate) {
        let x = noise(6, 37, 5).map { $0.map { 4 * $0 } }
        compare(candidate, 2e-6, "rows") { backend in
            let y = backend.matrix(x)
            backend.scale(y, by: [1, -2, 0, 0.5, 3, 7])
            backend.scale(y.columns(3..<20), by: 1.5)
            backend.scale(y, bySigmoidOf: backend.matrix(noise(6, 1, 6)))
            backend.clamp(y.columns(5..<30), to: -1...2)
            backend.softcap(y.columns(0..<9), at: 3)
            return backend.rows(y)
        }
        for function in Activation.allCases {
            compare(candidate, 2e-6, "\(function)") { backend in
                let y = backend.matrix(x)
                backend.activate(y, function, into: y)
                return backend.rows(y)
            }
        }
    }

    @Test(arguments: Candidate.allCases)
    func mixesExperts(_ candidate: Candidate) {
        let rules = [
            RoutingRule(chosen: 1, normalizes: false), RoutingRule(chosen: 3, normalizes: true, scale: 2),
            RoutingRule(chosen: 2, normalizes: false, scale: 0.5, groups: .init(count: 4, kept: 2)),
            RoutingRule(chosen: 8, normalizes: true),
        ]
        for rule in rules {
            func mixed(_ backend: any Backend, _ rows: Range<Int>) -> [[Float]] {
                func weight(_ outputs: Int, _ inputs: Int, _ seed: Int) -> WeightMatrix {
                    let bytes = noise(1, outputs * inputs, seed)[0].withUnsafeBytes { Array($0) }
                    return backend.makeWeight([
                        HostWeight(
                            outputs: outputs, inputs: inputs, encoding: .float32,
                            bytes: HostBytes(copying: bytes))
                    ])
                }
                let experts = ExpertWeights(
                    experts: (0..<8).map { .init(gateUp: weight(22, 13, $0), down: weight(13, 11, 50 + $0)) },
                    activation: .silu, on: backend)
                let (x, scores) = (Array(noise(9, 13, 7)[rows]), Array(noise(9, 8, 8)[rows]))
                let y = backend.makeMatrix(rows: rows.count, columns: 13)
                backend.mixExperts(
                    backend.matrix(x), scores: backend.matrix(scores), rule, experts, into: y)
                return backend.rows(y)
            }
            compare(candidate, 1e-5, "\(rule)") { mixed($0, 0..<9) }
            // A row is the same alone.
            let backend = candidate.make(), whole = mixed(backend, 0..<9)
            for row in 0..<9 { #expect(mixed(backend, row..<row + 1) == [whole[row]]) }
        }
    }

    /// Each head is multiplied as if it were alone, and nothing else is written.
    @Test(arguments: Candidate.allCases)
    func multipliesHeads(_ candidate: Candidate) {
        let x = noise(5, 3 * 12, 1)
        func product(_ backend: any Backend) -> [[Float]] {
            let weights = (0..<3).map { head in
                let bytes = noise(1, 7 * 9, 10 + head)[0].withUnsafeBytes { Array($0) }
                return backend.makeWeight([
                    HostWeight(outputs: 7, inputs: 9, encoding: .float32, bytes: HostBytes(copying: bytes))
                ])
            }
            let y = backend.matrix(Array(repeating: Array(repeating: 4, count: 3 * 8), count: 5))
            backend.linear(backend.matrix(x), heads: HeadWeights(weights, on: backend), into: y)
            let rows = backend.rows(y)
            for (head, weight) in weights.enumerated() {
                let alone = backend.makeMatrix(rows: 5, columns: 7)
                backend.linear(
                    backend.matrix(x.map { Array($0[head * 12..<head * 12 + 9]) }), weight, bias: nil,
                    into: alone)
                #expect(rows.map { Array($0[head * 8..<head * 8 + 7]) } == backend.rows(alone))
                #expect(rows.allSatisfy { $0[head * 8 + 7] == 4 })
            }
            return rows
        }
        compare(candidate, 1e-5, "products of heads", product)
    }

    @Test(arguments: Candidate.allCases)
    func copiesColumns(_ candidate: Candidate) {
        let backend = candidate.make(), (x, y) = (backend.matrix(noise(6, 9, 1)), noise(6, 7, 2))
        let target = backend.matrix(y)
        target.columns(2..<5).copy(x.columns(4..<7))
        #expect(
            backend.rows(target)
                == zip(backend.rows(x), y).map { x, y in
                    Array(y[0..<2]) + Array(x[4..<7]) + Array(y[5..<7])
                })
    }

    @Test(arguments: Candidate.allCases)
    func attendsWithBiasesCapsAndPatterns(_ candidate: Candidate) throws {
        let pattern = AttentionShape.BlockPattern(positions: 32, near: 1, stride: 3, headStep: 1)
        for reach in [AttentionShape.Reach.causal, .causalWindow(40), .causalBlocks(pattern)] {
            let shape = AttentionShape(
                queryHeads: 4, keyValueHeads: 2, keyWidth: 12, valueWidth: 7, scale: 0.4, reach: reach,
                softcap: 2, slopes: [0.5, 0.25, 0.125, 0.01])
            try compare(candidate, 1e-5, "\(reach)") { backend in
                let layout = CacheLayout(layers: 1, heads: 2, keyWidth: 12, valueWidth: 7)
                let cache = try backend.makeCache(layout, slots: 130, element: .float32)
                let positions = (0..<Int32(130)).map { $0 }
                let pass = ForwardPass(
                    tokens: positions, positions: positions, lengths: positions.map { _ in 130 },
                    newSlots: positions.reversed(),
                    sequences: [.init(rows: 0..<130, contextSlots: positions.reversed())], sampledRows: [],
                    cache: cache, backend: backend)
                return backend.rows(
                    pass.attend(
                        backend.matrix(noise(130, 48, 1)), backend.matrix(noise(130, 24, 2)),
                        backend.matrix(noise(130, 14, 3)), shape, layer: 0))
            }
        }
    }
}
