public import Tensors

/// A model that cannot be cut into so many parts.
public enum SplitError: Error, Equatable, CustomStringConvertible {
    /// Fewer of something than parts.
    case tooFew(String, Int, parts: Int)
    /// A cut within a block of numbers that share a scale.
    case withinBlock(String, at: Int, block: Int)

    public var description: String {
        switch self {
        case .tooFew(let what, let count, let parts):
            "tensor parallelism: \(count) \(what) cannot be shared out among \(parts); expected at least \(parts)"
        case .withinBlock(let path, let cut, let block):
            "tensor parallelism: \(path) would be cut at input \(cut), within a block of \(block)"
        }
    }
}

extension Shard {
    /// This part of the numbers below `total`, cut at multiples of `grain`. Throws unless there are grains for all.
    public func part(
        of total: Int, grain: Int = 1, _ what: @autoclosure () -> String
    ) throws(SplitError) -> Range<Int> {
        guard total / grain >= count else {
            throw .tooFew(what() + (grain > 1 ? " in blocks of \(grain)" : ""), total / grain, parts: count)
        }
        return range(of: total, grain: grain)
    }
}

extension WeightScope {
    /// How finely the inputs of the matrix `leaf` may be cut: at the bounds of its blocks, of those that it has or
    /// is going to have.
    public func grain(_ leaf: String, inputs: Int) throws(CheckpointError) -> Int {
        guard let encoding = try encoding(leaf), encoding.blockElements > 1 else {
            return roundsOnLoad && inputs.isMultiple(of: 32) ? 32 : 1
        }
        return encoding.blockElements
    }
}

extension HostWeight {
    public var rowBytes: Int { outputs > 0 ? bytes.count / outputs : 0 }

    /// Some of the rows, sharing memory.
    public func rows(_ range: Range<Int>) -> HostWeight {
        HostWeight(
            outputs: range.count, inputs: inputs, encoding: encoding,
            bytes: bytes[range.lowerBound * rowBytes..<range.upperBound * rowBytes])
    }

    /// The rows of all ranges, one after the other; a copy where they are not side by side. Unless `copies`, only its
    /// size is right.
    public func rows(_ ranges: [Range<Int>], copies: Bool = true) -> HostWeight {
        let ranges = ranges.joinedNeighbours
        if ranges.count == 1 { return rows(ranges[0]) }
        let rowBytes = rowBytes, count = ranges.reduce(0) { $0 + $1.count }
        let copy = HostBytes(count: count * rowBytes) { (target) throws(Never) in
            guard copies else { return }
            var end = 0
            for range in ranges {
                let part = bytes[range.lowerBound * rowBytes..<range.upperBound * rowBytes].bytes
                UnsafeMutableRawBufferPointer(rebasing: target[end..<end + part.count]).copyMemory(from: part)
                end += part.count
            }
        }
        if copies { bytes.evict() }
        return HostWeight(outputs: count, inputs: inputs, encoding: encoding, bytes: copy)
    }

    /// The columns of all ranges, one after the other, which must be whole blocks; a copy. Unless `copies`, only its
    /// size is right.
    public func columns(_ ranges: [Range<Int>], copies: Bool = true) -> HostWeight {
        let ranges = ranges.joinedNeighbours
        if ranges == [0..<inputs] { return self }
        let (block, size) = (encoding.blockElements, encoding.blockBytes)
        let kept = ranges.reduce(0) { $0 + $1.count }
        let (rowBytes, keptBytes) = (rowBytes, kept / block * size)
        let copy = HostBytes(count: outputs * keptBytes) { (target) throws(Never) in
            guard copies else { return }
            for row in 0..<outputs {
                var end = row * keptBytes
                for range in ranges {
                    let start = row * rowBytes + range.lowerBound / block * size
                    let part = bytes[start..<start + range.count / block * size].bytes
                    UnsafeMutableRawBufferPointer(rebasing: target[end..<end + part.count])
                        .copyMemory(from: part)
                    end += part.count
                }
            }
        }
        if copies { bytes.evict() }
        return HostWeight(outputs: outputs, inputs: kept, encoding: encoding, bytes: copy)
    }
}

extension [Range<Int>] {
    /// The same numbers in the same order, in as few ranges as possible.
    fileprivate var joinedNeighbours: [Range<Int>] {
        var joined: [Range<Int>] = []
        for range in self {
            if let last = joined.last, last.upperBound == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<range.upperBound
            } else {
                joined.append(range)
            }
        }
        return joined
    }
}
