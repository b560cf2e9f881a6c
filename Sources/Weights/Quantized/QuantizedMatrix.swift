import Dispatch
import Tensors

/// One projection of a GPTQ or AWQ checkpoint: the weight of output `o` and input `i` is
/// `scale[g, o] * (number[i, o] - zero[g, o])`, with the group `g` of `i`.
struct QuantizedMatrix: Sendable {
    let outputs: Int
    let inputs: Int
    let bits: Int
    /// inputs x outputs
    let numbers: PackedNumbers
    /// groups x outputs
    let zeros: PackedNumbers
    /// What is added to each zero point.
    let zeroOffset: Int32
    /// groups x outputs
    let scales: [Float]
    /// Whether each scale is a float16.
    let hasHalfScales: Bool
    /// The group of every input.
    let groups: [Int32]

    private func scale(_ input: Int, _ output: Int) -> Float { scales[Int(groups[input]) * outputs + output] }
    private func zero(_ input: Int, _ output: Int) -> Int32 {
        zeros[Int(groups[input]), output] + zeroOffset
    }

    /// Rows of blocks that say the same where there are such blocks, or else of floating-point numbers.
    ///
    /// Four bits become Q4_0, which is exact, when every zero point is 8; otherwise Q4_1, whose minimum is rounded
    /// to float16: by at most 1/128 of a step. Eight bits become Q8_0 when every zero point is 128.
    /// Weights whose inputs are in no order of groups (`desc_act`), or in groups of other than multiples of 32,
    /// become float16, or float32 if the scales are not float16.
    func tensor() -> HostTensor {
        let encoding = encoding
        let rowBytes = encoding.rowBytes(inputs) ?? 0
        let bytes = HostBytes(count: outputs * rowBytes) { (target) throws(Never) in
            // Unsafe: each task writes rows of its own, and all end before the buffer is used otherwise.
            nonisolated(unsafe) let target = target
            let tile = 64
            DispatchQueue.concurrentPerform(iterations: (outputs + tile - 1) / tile) { index in
                for output in index * tile..<min(outputs, (index + 1) * tile) {
                    let row = UnsafeMutableRawBufferPointer(
                        rebasing: target[output * rowBytes..<(output + 1) * rowBytes])
                    write(output, encoding, row)
                }
            }
        }
        return HostTensor(encoding: encoding, shape: [outputs, inputs], bytes: bytes)
    }

    /// A tensor as `tensor` gives it, of undefined values.
    func layout() -> HostTensor {
        let encoding = encoding
        return HostTensor(
            encoding: encoding, shape: [outputs, inputs],
            bytes: HostBytes(count: outputs * (encoding.rowBytes(inputs) ?? 0)) { _ throws(Never) in })
    }

    private var encoding: Encoding {
        let floats = hasHalfScales ? Encoding.float16 : .float32
        guard hasBlocks, hasHalfScales else { return floats }
        let starts = stride(from: 0, to: inputs, by: 32).filter { $0 == 0 || groups[$0] != groups[$0 - 1] }
        let all = starts.lazy.flatMap { input in (0..<outputs).lazy.map { (input, $0) } }
        guard bits == 4 else { return all.allSatisfy { zero($0.0, $0.1) == 128 } ? .q8_0 : floats }
        if all.allSatisfy({ zero($0.0, $0.1) == 8 }) { return .q4_0 }
        let largest = Float(Float16.greatestFiniteMagnitude)
        return all.allSatisfy { abs(scale($0.0, $0.1)) * Float(zero($0.0, $0.1)) <= largest } ? .q4_1 : floats
    }

    /// Whether every 32 inputs share a scale and a zero point.
    private var hasBlocks: Bool {
        inputs.isMultiple(of: 32)
            && stride(from: 0, to: inputs, by: 32).allSatisfy { start in
                groups[start..<start + 32].allSatisfy { $0 == groups[start] }
            }
    }

    private func write(_ output: Int, _ encoding: Encoding, _ row: UnsafeMutableRawBufferPointer) {
        switch encoding {
        case .q4_0, .q4_1, .q8_0:
            for block in 0..<inputs / 32 {
                let start = block * encoding.blockBytes
                writeBlock(
                    output, 32 * block, encoding,
                    UnsafeMutableRawBufferPointer(rebasing: row[start..<start + encoding.blockBytes]))
            }
        default:
            for input in 0..<inputs {
                let value = scale(input, output) * Float(numbers[input, output] - zero(input, output))
                if encoding == .float16 {
                    row.storeBytes(of: Float16(value).bitPattern, toByteOffset: 2 * input, as: UInt16.self)
                } else {
                    row.storeBytes(of: value.bitPattern, toByteOffset: 4 * input, as: UInt32.self)
                }
            }
        }
    }

    private func writeBlock(
        _ output: Int, _ first: Int, _ encoding: Encoding, _ block: UnsafeMutableRawBufferPointer
    ) {
        let scale = scale(first, output), zero = zero(first, output)
        block.storeBytes(of: Float16(scale).bitPattern, as: UInt16.self)
        if encoding == .q8_0 {
            for i in 0..<32 { block[2 + i] = UInt8(bitPattern: Int8(numbers[first + i, output] - zero)) }
            return
        }
        var start = 2
        if encoding == .q4_1 {
            let minimum = Float16(-scale * Float(zero))
            block.storeBytes(of: minimum.bitPattern, toByteOffset: 2, as: UInt16.self)
            start = 4
        }
        for i in 0..<16 {
            block[start + i] = UInt8(numbers[first + i, output] | numbers[first + i + 16, output] << 4)
        }
    }
}
