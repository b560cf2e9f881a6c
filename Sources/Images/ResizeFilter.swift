import Foundation

/// How a pixel's neighbours weigh in when an image is resized; Pillow's filters of the same names.
public enum ResizeFilter: Sendable, CaseIterable {
    case bilinear
    case bicubic
    case lanczos

    /// How far from the centre, in pixels, weights are not zero.
    var support: Double {
        switch self {
        case .bilinear: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The weight at a distance from the centre.
    func weight(at distance: Double) -> Double {
        let x = abs(distance)
        guard x < support else { return 0 }
        switch self {
        case .bilinear: return 1 - x
        case .bicubic:
            // Keys' kernel with a = -1/2.
            return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * -0.5
        case .lanczos: return Self.sinc(x) * Self.sinc(x / 3)
        }
    }

    private static func sinc(_ x: Double) -> Double {
        x == 0 ? 1 : sin(x * .pi) / (x * .pi)
    }
}

/// Which pixels along one side make each pixel of the result, and with which weights.
///
/// When the side shrinks, the filter grows with it, so that every pixel counts (no aliasing). Weights are fixed-point
/// numbers with 22 bits after the point, as Pillow has them, so that sums do not depend on their order.
struct ResizeWeights {
    static let fractionBits: Int32 = 22

    /// For each pixel of the result: the pixels that it is made of. Both ends grow with the pixel.
    private(set) var sources: [Range<Int>] = []
    /// For each pixel of the result: where its weights begin.
    private(set) var starts: [Int] = []
    private(set) var weights: [Int32] = []

    /// The weights of some pixels of a side that goes from one length to another.
    init(from length: Int, to newLength: Int, pixels: Range<Int>, by filter: ResizeFilter) {
        let scale = Double(length) / Double(newLength)
        let filterScale = max(scale, 1)
        let support = filter.support * filterScale
        let inverse = 1 / filterScale
        for pixel in pixels {
            let center = (Double(pixel) + 0.5) * scale
            let first = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), length)
            let shares = (first..<end).map { filter.weight(at: (Double($0) - center + 0.5) * inverse) }
            let sum = shares.reduce(0, +)
            starts.append(weights.count)
            sources.append(first..<end)
            for share in shares {
                let weight = (sum == 0 ? share : share / sum) * Double(1 << Self.fractionBits)
                weights.append(Int32(weight < 0 ? weight - 0.5 : weight + 0.5))
            }
        }
    }

    /// All pixels that the results are made of; there is a result.
    var reach: Range<Int> { sources[0].lowerBound..<sources[sources.count - 1].upperBound }

    /// The same of an image whose pixels lie elsewhere.
    func moved(by offset: Int) -> ResizeWeights {
        var moved = self
        moved.sources = sources.map { $0.lowerBound + offset..<$0.upperBound + offset }
        return moved
    }
}
