import CCUDAHost
import CPUBackend
import CUDABackend
import GPUCheck
import ReferenceBackend
import Tensors
import Testing

/// Mixtures of experts, whose rows the device sorts and multiplies together.
@Suite struct ExpertTests {
    /// A mixture whose numbers look random; an encoding for the first half of its experts, and one for the others.
    private struct Mixture {
        let width: Int
        let inner: Int
        let gateUps: [[[Float]]]
        let downs: [[[Float]]]
        let encodings: [Encoding]

        init(_ count: Int, width: Int, inner: Int, _ encodings: [Encoding]) {
            var noise = Noise(count)
            (self.width, self.inner, self.encodings) = (width, inner, encodings)
            func weights(_ outputs: Int, _ inputs: Int) -> [[Float]] {
                noise.rows(outputs, inputs).map { $0.map { $0 / 8 } }
            }
            gateUps = (0..<count).map { _ in weights(2 * inner, width) }
            downs = (0..<count).map { _ in weights(width, inner) }
        }

        func weights(on backend: any Backend) -> ExpertWeights {
            let each = (gateUps.count + encodings.count - 1) / encodings.count
            let experts = gateUps.indices.map { index in
                let encoding = encodings[index / each]
                return ExpertWeights.Expert(
                    gateUp: backend.makeWeight([weight(gateUps[index], encoding)]),
                    down: backend.makeWeight([weight(downs[index], encoding)]))
            }
            return ExpertWeights(experts: experts, activation: .silu, on: backend)
        }
    }

    private static let rules = [
        RoutingRule(chosen: 1, normalizes: false),
        RoutingRule(chosen: 2, normalizes: true),
        RoutingRule(chosen: 3, normalizes: false, scale: 2, groups: RoutingRule.Groups(count: 4, kept: 2)),
        RoutingRule(chosen: 8, normalizes: true, scale: 0.5),
    ]

    private func mixed(
        _ backend: any Backend, _ experts: ExpertWeights, _ rule: RoutingRule, _ x: [[Float]],
        _ scores: [[Float]]
    ) -> [[Float]] {
        let y = backend.makeMatrix(rows: x.count, columns: x[0].count)
        backend.mixExperts(backend.matrix(x), scores: backend.matrix(scores), rule, experts, into: y)
        return backend.rows(y)
    }

    @Test(
        arguments: [ProductKernels.warps, .groups],
        [
            [Encoding.float32], [.bfloat16], [.float16], [.bfloat16, .float32],
        ])
    func equalsTheReference(_ products: ProductKernels, _ encodings: [Encoding]) throws {
        let mixture = Mixture(8, width: 70, inner: 24, encodings)
        let (host, reference) = (try makeHostBackend(products: products), ReferenceBackend())
        let (ours, theirs) = (mixture.weights(on: host), mixture.weights(on: reference))
        var noise = Noise(7)
        for (rule, rows) in zip(Self.rules, [1, 9, 40, 20]) {
            let (x, scores) = (noise.rows(rows, 70), noise.rows(rows, 8))
            expectClose(
                mixed(host, ours, rule, x, scores), mixed(reference, theirs, rule, x, scores),
                encodings == [.float32] ? 1e-5 : 2e-2, "\(rule) \(encodings)")
        }
        #expect(host.failure == nil)
    }

    /// Rows that lie among few and among many, for which blocks of other shapes serve, with blocks of threads run from
    /// either end.
    @Test(arguments: [ProductKernels.warps, .groups])
    func rowsDoNotDependOnOthers(_ products: ProductKernels) throws {
        let mixture = Mixture(4, width: 64, inner: 40, [.bfloat16])
        let host = try makeHostBackend(products: products)
        let weights = mixture.weights(on: host)
        var noise = Noise(3)
        let (x, scores) = (noise.rows(600, 64), noise.rows(600, 4))
        let rule = RoutingRule(chosen: 2, normalizes: true)
        let whole = mixed(host, weights, rule, x, scores)
        for rows in [0..<1, 3..<20, 0..<70, 100..<330] {
            cuda_host_set_backwards(true)
            defer { cuda_host_set_backwards(false) }
            #expect(
                mixed(host, weights, rule, Array(x[rows]), Array(scores[rows])) == Array(whole[rows]),
                "\(rows)")
        }
        // All rows at one expert, and the others without any.
        let one = Array(repeating: [Float](arrayLiteral: 0, 9, 0, 8), count: 600)
        let together = mixed(host, weights, rule, x, one)
        #expect(mixed(host, weights, rule, [x[5]], [one[5]]) == [together[5]])
        #expect(host.failure == nil)
    }

    /// Equal scores choose the first experts; a row whose scores are no numbers spoils no other.
    @Test func oddScores() throws {
        let mixture = Mixture(8, width: 64, inner: 16, [.float32])
        let (host, cpu) = (try makeHostBackend(), CPUBackend())
        let (ours, theirs) = (mixture.weights(on: host), mixture.weights(on: cpu))
        var noise = Noise(5)
        let x = noise.rows(4, 64)
        var scores = [[Float]](repeating: Array(repeating: 0.5, count: 8), count: 4)
        scores[1] = [1, 2, 2, 1, 2, 2, 1, 1]
        for rule in Self.rules {
            let whole = mixed(host, ours, rule, x, scores)
            expectClose(whole, mixed(cpu, theirs, rule, x, scores), 1e-5, "\(rule)")
            var odd = scores
            odd[2] = Array(repeating: .nan, count: 8)
            odd[3][6] = .infinity
            let spoiled = mixed(host, ours, rule, x, odd)
            #expect(Array(spoiled[0..<2]) == Array(whole[0..<2]))
            #expect(!spoiled[2].contains { !$0.isNaN })
        }
        #expect(host.failure == nil)
    }

    /// Weights of few bits, those of the gate and of the up projection in different encodings.
    @Test func blocksOfFewBits() throws {
        let (host, reference) = (try makeHostBackend(), ReferenceBackend())
        func weights(on backend: any Backend, _ form: (HostWeight) -> HostWeight) -> ExpertWeights {
            func weight(_ encoding: Encoding, _ outputs: Int, _ inputs: Int, _ seed: Int) -> HostWeight {
                form(.random(encoding, outputs: outputs, inputs: inputs, scale: 0.1, seed: seed))
            }
            let experts = (0..<6).map { index in
                ExpertWeights.Expert(
                    gateUp: backend.makeWeight([
                        weight(.q4_K, 64, 256, index),
                        weight(index < 3 ? .q6_K : .q4_K, 64, 256, 10 + index),
                    ]),
                    down: backend.makeWeight([weight(.q4_0, 256, 64, 20 + index)]))
            }
            return ExpertWeights(experts: experts, activation: .gelu, on: backend)
        }
        let (ours, theirs) = (weights(on: host) { $0 }, weights(on: reference, plain))
        var noise = Noise(9)
        let (x, scores) = (noise.rows(50, 256), noise.rows(50, 6))
        let rule = RoutingRule(chosen: 2, normalizes: true)
        let whole = mixed(host, ours, rule, x, scores)
        expectClose(whole, mixed(reference, theirs, rule, x, scores), 2e-2, "few bits")
        #expect(mixed(host, ours, rule, [x[11]], [scores[11]]) == [whole[11]])
        #expect(host.failure == nil)
    }
}
