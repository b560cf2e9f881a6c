import CKernels
import Foundation
import Testing

enum Element: String, CaseIterable, Sendable {
    case f32, f16, bf16, i8

    var element: llm_element { llm_element(UInt32(Element.allCases.firstIndex(of: self)!)) }
    var bytes: Int { self == .f32 ? 4 : self == .i8 ? 1 : 2 }
    static let floats: [Element] = [.f32, .f16, .bf16]

    /// A cache of `slots` slots, all zero.
    func cache(slots: Int, heads: Int, width: Int) -> StoredRows {
        StoredRows(
            element: self, heads: heads, width: width,
            bytes: [UInt8](repeating: 0, count: slots * heads * width * bytes),
            scales: [UInt16](repeating: 0, count: slots * heads))
    }
}

/// Keys or values of one layer.
struct StoredRows {
    let element: Element
    let (heads, width): (Int, Int)
    var bytes: [UInt8]
    var scales: [UInt16]

    mutating func store(_ x: [Float], stride: Int? = nil, at slots: [Int32], _ kernels: llm_kernels = scalar)
    {
        let rows = slots.count, slots = Memory(slots), x = Memory(x)
        bytes.withUnsafeMutableBytes { cache in
            scales.withUnsafeMutableBufferPointer { scales in
                var call = llm_store(
                    element: element.element, x: x.pointer, x_stride: stride ?? heads * width,
                    rows: rows, heads: heads, width: width, slots: slots.pointer,
                    cache: cache.baseAddress!, scales: scales.baseAddress!)
                kernels.store_rows(&call)
            }
        }
        withExtendedLifetime((slots, x)) {}
    }

    var values: [Float] {
        switch element {
        case .f32: dequantized(.f32, bytes)
        case .f16: dequantized(.f16, bytes)
        case .bf16: dequantized(.bf16, bytes)
        case .i8:
            bytes.indices.map {
                let scale = Float(bitPattern: UInt32(scales[$0 / width]) << 16)
                return Float(Int8(bitPattern: bytes[$0])) * scale
            }
        }
    }

    /// Copies one slot's numbers from another cache.
    mutating func copy(_ from: Int, of other: StoredRows, to: Int) {
        let size = heads * width * element.bytes
        bytes.replaceSubrange(to * size..<(to + 1) * size, with: other.bytes[from * size..<(from + 1) * size])
        scales.replaceSubrange(
            to * heads..<(to + 1) * heads, with: other.scales[from * heads..<(from + 1) * heads])
    }
}

/// Rows of a sequence over a cache whose slots are in disorder; two key-value heads.
struct AttentionCall {
    var element: Element
    var (keyWidth, valueWidth, group) = (0, 0, 0)
    /// Slots of the whole context, whose last positions are the rows.
    var slots: [Int32]
    var keys: StoredRows, values: StoredRows
    var q: [Float]
    var rows: Int
    var window: Int?
    var softcap: Float?
    /// One for each query head.
    var slopes: [Float]?
    var pattern: (positions: Int, near: Int, stride: Int, headStep: Int)?

    init(
        _ element: Element, context: Int, rows: Int = 1, keyWidth: Int, valueWidth: Int, group: Int, seed: Int
    ) {
        var random = Random(seed)
        (self.element, self.rows) = (element, rows)
        (self.keyWidth, self.valueWidth, self.group) = (keyWidth, valueWidth, group)
        let all = (0..<Int32(context + 3)).shuffled(using: &random)
        slots = Array(all[..<context])
        q = random.floats(rows * 2 * group * keyWidth, in: -2...2)
        let stored = { (width: Int, random: inout Random) in
            // Slots of others hold what must not be touched.
            var x = random.floats(all.count * 2 * width, in: -2...2)
            for index in context * 2 * width..<x.count { x[index] = .nan }
            var cache = element.cache(slots: all.count, heads: 2, width: width)
            cache.store(x, at: all)
            return cache
        }
        keys = stored(keyWidth, &random)
        values = stored(valueWidth, &random)
    }

    var scale: Float { 1 / Float(keyWidth).squareRoot() }
    var parts: Int { (slots.count + 255) / 256 }

    /// The result of rows `range`, the first of which is at its position; `splits` are the parts after
    /// the first, if each is to be a call of its own, and `heads` the heads that share a call.
    func run(
        _ kernels: llm_kernels, rows range: Range<Int>? = nil, splits: [Int] = [], heads: Int = 1
    ) -> [Float] {
        let range = range ?? 0..<rows
        var y = [Float](repeating: .nan, count: range.count * 2 * group * valueWidth)
        var scratch = [Float](
            repeating: .nan,
            count: kernels.attention_scratch(heads * range.count * group, keyWidth, valueWidth))
        let size = heads * range.count * group * (valueWidth + 2)
        var states = [Float](repeating: .nan, count: size * (splits.count + 1))
        let position = slots.count - rows + range.lowerBound
        let bounds = [0] + splits + [position + range.count + 255 >> 8]
        let (keys, values, slots, q) = (Memory(keys.bytes), Memory(values.bytes), Memory(slots), Memory(q))
        let (keyScales, valueScales) = (Memory(self.keys.scales), Memory(self.values.scales))
        let biases = slopes.map { Memory($0) }
        scratch.withUnsafeMutableBufferPointer { scratch in
            states.withUnsafeMutableBufferPointer { states in
                y.withUnsafeMutableBufferPointer { y in
                    for head in stride(from: 0, to: 2, by: heads) {
                        var call = llm_attention(
                            q: q.pointer + range.lowerBound * 2 * group * keyWidth,
                            q_stride: 2 * group * keyWidth, rows: range.count, first_position: position,
                            row_step: 1, window: window ?? .max, element: element.element, keys: keys.pointer,
                            values: values.pointer, key_scales: keyScales.pointer,
                            value_scales: valueScales.pointer, key_width: keyWidth, value_width: valueWidth,
                            value_stride: valueWidth,
                            group: group, first_query_head: head * group, kv_heads: 2, first_kv_head: head,
                            last_kv_head: head + heads, slots: slots.pointer, first_part: 0,
                            last_part: bounds.last!, scale: scale,
                            has_softcap: softcap != nil, softcap: softcap ?? 0,
                            slopes: biases.map { UnsafePointer($0.pointer) },
                            block_positions: pattern?.positions ?? 0, near_blocks: pattern?.near ?? 0,
                            block_stride: pattern?.stride ?? 1, head_step: pattern?.headStep ?? 0,
                            first_head: 0,
                            scratch: scratch.baseAddress!,
                            state: nil, y: y.baseAddress!, y_stride: 2 * group * valueWidth)
                        if splits.isEmpty {
                            kernels.attend(&call)
                            continue
                        }
                        for index in 0..<bounds.count - 1 {
                            (call.first_part, call.last_part) = (bounds[index], bounds[index + 1])
                            call.state = states.baseAddress! + index * size
                            kernels.attend(&call)
                        }
                        call.state = states.baseAddress!
                        kernels.combine(&call, bounds.count - 1, size)
                    }
                }
            }
        }
        withExtendedLifetime((keys, values, slots, q, keyScales, valueScales, biases)) {}
        return y
    }

    /// The definition in double precision.
    var expected: [Double] {
        let (keys, values) = (keys.values.doubles, values.values.doubles)
        return (0..<rows * 2 * group).flatMap { query in
            let (row, head) = (query / (2 * group), query % (2 * group))
            let end = slots.count - rows + row + 1
            let positions = (max(0, end - (window ?? end))..<end).filter { key in
                guard let pattern else { return true }
                let block = key / pattern.positions
                return (end - 1) / pattern.positions - block < pattern.near
                    || (block + 1 + head * pattern.headStep) % pattern.stride == 0
            }
            let seen = positions.map { Int(slots[$0]) }
            let scores = zip(seen, positions).map { slot, position in
                let score =
                    Double(scale)
                    * (0..<keyWidth).reduce(0.0) { sum, i in
                        sum + Double(q[query * keyWidth + i]) * keys[(slot * 2 + head / group) * keyWidth + i]
                    }
                let bias = Double(slopes?[head] ?? 0) * Double(position - end + 1)
                return (softcap.map { Double($0) * tanh(score / Double($0)) } ?? score) + bias
            }
            let powers = scores.map { exp($0 - scores.max()!) }, sum = powers.reduce(0, +)
            return (0..<valueWidth).map { column in
                zip(seen, powers).reduce(0.0) { total, pair in
                    total + pair.1 / sum * values[(pair.0 * 2 + head / group) * valueWidth + column]
                }
            }
        }
    }
}

@Suite struct AttentionTests {
    @Test(arguments: Element.allCases, KernelSet.available)
    func isTheDefinition(_ element: Element, _ set: KernelSet) {
        for group in [1, 2, 3, 4, 7, 9] {
            for (keyWidth, valueWidth) in [(1, 1), (8, 8), (5, 20), (64, 64), (24, 72), (128, 128)] {
                for (context, rows, window) in [
                    (1, 1, nil), (7, 3, 2), (40, 1, nil), (70, 5, 31), (300, 2, nil),
                ]
                    as [(Int, Int, Int?)]
                {
                    var call = AttentionCall(
                        element, context: context, rows: rows, keyWidth: keyWidth, valueWidth: valueWidth,
                        group: group, seed: context + group)
                    (call.window, call.softcap) = (window, context == 40 ? 3 : nil)
                    if context >= 70 {
                        call.slopes = (0..<2 * group).map { 0.5 / Float($0 + 1) }
                    }
                    if context == 300 { call.pattern = (32 * (1 + group % 2), 2, 3, 1) }
                    let actual = call.run(set.kernels)
                    let name: Comment = "\(group) heads, \(keyWidth), \(valueWidth) wide, \(context)"
                    #expect(relativeError(actual, call.expected) < 5e-6, name)
                    #expect(actual.bits == call.run(scalar).bits, name)
                }
            }
        }
    }

    /// A row's result is the same alone and among the others, whichever calls compute the parts of its context.
    @Test(arguments: Element.allCases, KernelSet.available)
    func rowsAndPartsChangeNoBit(_ element: Element, _ set: KernelSet) {
        for window in [nil, 40, 300] {
            var call = AttentionCall(
                element, context: 600, rows: 70, keyWidth: 16, valueWidth: 40, group: 3, seed: 2)
            call.window = window
            let whole = call.run(set.kernels), width = 2 * 3 * 40
            for rows in [0..<1, 1..<2, 0..<33, 33..<70, 69..<70] {
                let expected = whole[rows.lowerBound * width..<rows.upperBound * width].bits
                #expect(call.run(set.kernels, rows: rows).bits == expected, "rows \(rows)")
                #expect(call.run(set.kernels, rows: rows, splits: [1, 2]).bits == expected, "rows \(rows)")
                #expect(call.run(scalar, rows: rows, splits: [1, 2]).bits == expected, "rows \(rows)")
                #expect(call.run(set.kernels, rows: rows, heads: 2).bits == expected, "rows \(rows)")
                let both = call.run(set.kernels, rows: rows, splits: [1, 2], heads: 2)
                #expect(both.bits == expected, "rows \(rows)")
            }
        }
    }

    /// A head's result is the same whichever group it is computed in, and wherever its slots lie.
    @Test(arguments: Element.allCases, KernelSet.available)
    func groupsAndSlotsChangeNoBit(_ element: Element, _ set: KernelSet) {
        let whole = AttentionCall(element, context: 45, keyWidth: 20, valueWidth: 44, group: 7, seed: 4)
        let expected = whole.run(set.kernels)
        for head in 0..<7 {
            var one = whole
            one.group = 1
            one.q = [head, head + 7].flatMap { whole.q[$0 * 20..<($0 + 1) * 20] }
            let actual = one.run(set.kernels)
            #expect(actual[..<44].bits == expected[head * 44..<(head + 1) * 44].bits)
        }
        var moved = whole
        for (position, slot) in whole.slots.enumerated() {
            let (to, from) = (position, Int(slot))
            moved.keys.copy(from, of: whole.keys, to: to)
            moved.values.copy(from, of: whole.values, to: to)
            moved.slots[position] = Int32(position)
        }
        #expect(moved.run(set.kernels).bits == expected.bits)
    }

    @Test(arguments: KernelSet.available)
    func strangeNumbersAgree(_ set: KernelSet) {
        for value in [Float.nan, .infinity, -.infinity, 1e30] {
            var call = AttentionCall(.f32, context: 21, keyWidth: 12, valueWidth: 9, group: 2, seed: 6)
            call.q[3] = value
            let actual = call.run(set.kernels)
            #expect(actual.bits == call.run(scalar).bits)
            #expect(actual[9...].nans == 0, "other heads are as ever")
        }
    }

    /// What a later token of the same chunk holds does not show in an earlier row.
    @Test(arguments: KernelSet.available)
    func laterTokensChangeNothing(_ set: KernelSet) {
        let call = AttentionCall(.f32, context: 40, rows: 9, keyWidth: 8, valueWidth: 8, group: 2, seed: 9)
        var strange = call
        let slot = Int(call.slots[39])
        for index in 0..<16 {
            for byte in 0..<4 { strange.values.bytes[(slot * 16 + index) * 4 + byte] = 0xff }
        }
        let (usual, actual) = (call.run(set.kernels), strange.run(set.kernels))
        #expect(actual[..<(8 * 32)].bits == usual[..<(8 * 32)].bits)
        #expect(actual[(8 * 32)...].nans == 32)
    }
}

@Suite struct StoreTests {
    private static let numbers: [Float] = {
        var random = Random(9)
        let bits = (0..<20_000).map { _ in UInt32.random(in: 0...UInt32.max, using: &random) }
        let ties = (0...UInt16.max).flatMap { half -> [Float] in
            let value = Float(Float16(bitPattern: half)), next = Float(Float16(bitPattern: half &+ 1))
            let tie = (value + next) / 2
            return tie.isFinite ? [tie.nextDown, tie, tie.nextUp] : []
        }
        let ends: [Float] = [65519.996, 65520, -65520, .infinity, -.infinity, .nan]
        return bits.map(Float.init(bitPattern:)) + ties + ends
    }()

    private func stored(_ kernels: llm_kernels, _ element: Element, _ x: [Float]) -> [UInt16] {
        var cache = element.cache(slots: 1, heads: 1, width: x.count)
        cache.store(x, at: [0], kernels)
        return cache.bytes.withUnsafeBytes { Array($0.bindMemory(to: UInt16.self)) }
    }

    @Test(arguments: KernelSet.available)
    func float16RoundsToNearestEven(_ set: KernelSet) {
        let actual = stored(set.kernels, .f16, Self.numbers)
        #expect(actual == stored(scalar, .f16, Self.numbers))
        for (x, bits) in zip(Self.numbers, actual) where !x.isNaN {
            if Float16(x).bitPattern != bits { Issue.record("\(x) became \(bits)") }
        }
        #expect(actual.filter { Float16(bitPattern: $0).isNaN }.count == Self.numbers.nans)
    }

    @Test(arguments: KernelSet.available)
    func bfloat16RoundsToNearestEven(_ set: KernelSet) {
        let actual = stored(set.kernels, .bf16, Self.numbers)
        #expect(actual == stored(scalar, .bf16, Self.numbers))
        for (x, bits) in zip(Self.numbers, actual) where x.isFinite {
            let value = Float(bitPattern: UInt32(bits) << 16)
            guard value.isFinite else {
                #expect(abs(x) >= Float(bitPattern: 0x7f7f_8000))
                continue
            }
            let low = x.bitPattern & 0xffff
            let up = low > 0x8000 || low == 0x8000 && x.bitPattern & 0x10000 != 0
            if bits != UInt16(x.bitPattern >> 16) + (up ? 1 : 0) { Issue.record("\(x) became \(value)") }
        }
        let nans = actual.filter { Float(bitPattern: UInt32($0) << 16).isNaN }
        #expect(nans.count == Self.numbers.nans)
    }

    /// Every number is within half a step of its head's scale, and of the scale's own rounding.
    @Test(arguments: KernelSet.available)
    func int8RoundsToNearest(_ set: KernelSet) {
        var random = Random(5)
        for width in [1, 7, 8, 20, 64, 133] {
            for magnitude: Float in [1e-38, 1e-29, 1e-3, 1, 70_000, 1e38] {
                let x = random.floats(3 * 2 * width).map { $0 * magnitude }
                var actual = Element.i8.cache(slots: 3, heads: 2, width: width), twin = actual
                actual.store(x, at: [2, 0, 1], set.kernels)
                twin.store(x, at: [2, 0, 1])
                #expect(actual.bytes == twin.bytes && actual.scales == twin.scales)
                for (row, slot) in [2, 0, 1].enumerated() {
                    for head in 0..<2 {
                        let from = (row * 2 + head) * width, to = (slot * 2 + head) * width
                        let (given, stored) = (x[from..<from + width], actual.values[to..<to + width])
                        let most = given.map(abs).max() ?? 0
                        let step = most < 1e-30 ? 2e-30 : most / 127
                        for (a, b) in zip(given, stored) { #expect(abs(a - b) <= step * 0.76) }
                    }
                }
            }
        }
    }

    /// A number that is none spoils its head and no other.
    @Test(arguments: KernelSet.available, [Float.nan, .infinity, -.infinity])
    func int8KeepsStrangeNumbersApart(_ set: KernelSet, _ value: Float) {
        var x = [Float](repeating: 1, count: 24)
        x[9] = value
        var actual = Element.i8.cache(slots: 1, heads: 2, width: 12), twin = actual
        actual.store(x, at: [0], set.kernels)
        twin.store(x, at: [0])
        #expect(actual.bytes == twin.bytes && actual.scales == twin.scales)
        #expect(actual.values[..<12].allSatisfy { $0.isNaN })
        #expect(actual.values[12...].allSatisfy { abs($0 - 1) < 0.004 })
    }

    @Test(arguments: Element.floats, KernelSet.available)
    func rowsGoToTheirSlots(_ element: Element, _ set: KernelSet) {
        var random = Random(3)
        let columns = 13, x = random.floats(3 * 15).map { Float(Float16($0 * 64).rounded()) }
        var cache = element.cache(slots: 5, heads: 1, width: columns)
        cache.store(x, stride: 15, at: [4, 0, 2], set.kernels)
        let values = cache.values
        for (row, slot) in [4, 0, 2].enumerated() {
            #expect(values[slot * columns..<(slot + 1) * columns] == x[row * 15..<row * 15 + columns])
        }
        for slot in [1, 3] { #expect(values[slot * columns..<(slot + 1) * columns].allSatisfy { $0 == 0 }) }
    }
}
