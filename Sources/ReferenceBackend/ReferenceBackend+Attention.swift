import Foundation
import Synchronization
public import Tensors

extension ReferenceBackend {
    public func makeCache(_ layout: CacheLayout, slots: Int, element: CacheElement) -> any KeyValueCache {
        ReferenceCache(layout: layout, slots: slots)
    }

    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: AttentionShape, in pass: ForwardPass, layer: Int,
        into y: Matrix
    ) {
        guard let cache = pass.cache as? ReferenceCache else {
            preconditionFailure("a cache of another backend")
        }
        cache.stored.withLock { stored in
            for (row, slot) in pass.newSlots.enumerated() {
                stored[layer][Int(slot)] = ReferenceCache.Token(key: k[row], value: v[row])
            }
            for sequence in pass.sequences {
                for row in sequence.rows {
                    let position = shape.reach.span(of: row..<row + 1, sequence, pass).lowerBound
                    let first = shape.reach.firstKey(for: position)
                    let seen = sequence.contextSlots[first...position].map { stored[layer][Int($0)] }
                    y[row] = attended(q[row], at: position, seen, from: first, shape)
                }
            }
        }
    }

    /// `softmax(scale q kᵀ) v` of one query, head by head. `tokens` begin at position `first`.
    private func attended(
        _ q: [Float], at position: Int, _ tokens: [ReferenceCache.Token], from first: Int,
        _ shape: AttentionShape
    ) -> [Float] {
        (0..<shape.queryHeads).flatMap { head in
            let keyValueHead = (head + shape.lead) / shape.group
            let keys = keyValueHead * shape.keyWidth, values = keyValueHead * shape.valueWidth
            let query = q[head * shape.keyWidth..<(head + 1) * shape.keyWidth]
            let scores = tokens.enumerated().map { index, token in
                if shape.reach.pattern?.sees(key: first + index, from: position, head: head) == false {
                    return -Double.infinity
                }
                var score = dot(query, token.key[keys..<keys + shape.keyWidth]) * Double(shape.scale)
                if let cap = shape.softcap { score = Double(cap) * tanh(score / Double(cap)) }
                return score + Double(shape.slopes?[head] ?? 0) * Double(first + index - position)
            }
            let top = scores.max() ?? 0
            let weights = scores.map { exp($0 - top) }
            let total = weights.reduce(0, +)
            return (0..<shape.valueWidth).map { column in
                Float(
                    zip(weights, tokens).reduce(0.0) { $0 + $1.0 * Double($1.1.value[values + column]) }
                        / total)
            }
        }
    }
}

/// Keys and values as arrays, in float32 whatever is asked for.
final class ReferenceCache: KeyValueCache {
    struct Token {
        var key: [Float] = []
        var value: [Float] = []
    }

    let layout: CacheLayout
    let element = CacheElement.float32
    let slots: Int
    let stored: Mutex<[[Token]]>

    init(layout: CacheLayout, slots: Int) {
        (self.layout, self.slots) = (layout, slots)
        stored = Mutex(Array(repeating: Array(repeating: Token(), count: slots), count: layout.layers))
    }
}
