import Foundation
public import Tensors

/// The `rope_scaling` (or, since transformers 5, `rope_parameters`) entry of config.json.
public struct RopeScaling: Decodable, Sendable {
    public var type: String?
    public var ropeType: String?
    public var factor: Float?
    public var ropeTheta: Float?
    public var originalMaxPositionEmbeddings: Int?
    public var lowFreqFactor: Float?
    public var highFreqFactor: Float?
    public var betaFast: Float?
    public var betaSlow: Float?
    public var attentionFactor: Float?
    public var mscale: Float?
    public var mscaleAllDim: Float?
    public var truncate: Bool?
    public var shortFactor: [Float]?
    public var longFactor: [Float]?
    public var partialRotaryFactor: Float?
    public var shortMscale: Float?
    public var longMscale: Float?
    public var mropeSection: [Int]?

    public init(type: String, factor: Float? = nil) { (self.type, self.factor) = (type, factor) }

    /// `rope_type`, or `type` as older files call it.
    var name: String { ropeType ?? type ?? "default" }
}

/// A rotary embedding that config.json describes in a way we cannot follow.
public enum RotaryError: Error, Equatable, CustomStringConvertible {
    case unknownType(String)
    case missing(String, type: String)
    case invalid(String, type: String)
    case wrongCount(String, expected: Int, found: Int)
    case wrongSections([Int], pairs: Int)

    public var description: String {
        switch self {
        case .unknownType(let type):
            "rope_scaling: unknown type '\(type)'; expected default, linear, dynamic, yarn, llama3, longrope, su or mrope"
        case .missing(let key, let type): "rope_scaling of type \(type): \(key) is missing"
        case .invalid(let key, let type): "rope_scaling of type \(type): \(key) must be a positive number"
        case .wrongCount(let key, let expected, let found):
            "rope_scaling: \(key) has \(found) entries, expected \(expected)"
        case .wrongSections(let sections, let pairs):
            "rope_scaling: mrope_section must be three numbers that add up to \(pairs), found \(sections)"
        }
    }
}

/// What determines a rotary embedding besides its scaling.
public struct RopeGeometry: Sendable {
    /// Rotated columns of a head, even.
    public var width: Int
    public var theta: Float
    public var maxPositionEmbeddings: Int
    public var pairing: Rotation.Pairing
    /// The first rotated column of a head.
    public var firstColumn = 0
    /// For each pair the axis whose position it turns by; nil for one axis.
    var axes: [Int]?

    public init(width: Int, theta: Float, maxPositionEmbeddings: Int, pairing: Rotation.Pairing) {
        (self.width, self.theta, self.pairing) = (width, theta, pairing)
        self.maxPositionEmbeddings = maxPositionEmbeddings
    }

    /// `1 / theta^(2i/width)`; `theta` in double, as the base of dynamic scaling grows large.
    func frequencies(theta: Double) -> [Float] {
        stride(from: 0, to: width, by: 2).map { Float(1 / pow(theta, Double($0) / Double(width))) }
    }

    func rotation(
        _ frequencies: Rotation.Frequencies, magnitude: Float = 1,
        longer: (than: Int, magnitude: Float)? = nil
    ) -> Rotation {
        Rotation(
            frequencies: frequencies, magnitude: magnitude, longer: longer,
            columns: firstColumn..<firstColumn + width,
            pairing: pairing, axes: axes)
    }
}

extension Rotation {
    /// The rotation that `scaling` asks for; formulas as in Hugging Face's `modeling_rope_utils`.
    public static func rope(_ geometry: RopeGeometry, scaling: RopeScaling?) throws(RotaryError) -> Rotation {
        let plain = geometry.frequencies(theta: Double(geometry.theta))
        guard let scaling else { return geometry.rotation(.fixed(plain)) }
        var geometry = geometry
        geometry.axes = try scaling.axes(pairs: plain.count)
        switch scaling.name {
        case "default", "mrope":
            return geometry.rotation(.fixed(plain))
        case "linear":
            let factor = try scaling.positive(\.factor, "factor")
            return geometry.rotation(.fixed(plain.map { $0 / factor }))
        case "dynamic":
            return try dynamicNTK(geometry, scaling)
        case "llama3":
            return geometry.rotation(.fixed(try llama3(plain, scaling)))
        case "yarn":
            return try yarn(geometry, scaling)
        case "longrope", "su":
            return try longRope(geometry, scaling)
        default:
            throw .unknownType(scaling.name)
        }
    }

    /// Plain frequencies.
    public static func rope(_ geometry: RopeGeometry) -> Rotation {
        geometry.rotation(.fixed(geometry.frequencies(theta: Double(geometry.theta))))
    }

    /// Plain frequencies for the position on each of so many axes, one after the other; `geometry` is that of one.
    public static func rope(_ geometry: RopeGeometry, axes count: Int) -> Rotation {
        let plain = geometry.frequencies(theta: Double(geometry.theta))
        return Rotation(
            frequencies: .fixed(Array(repeatElement(plain, count: count).joined())),
            columns: geometry.firstColumn..<geometry.firstColumn + count * geometry.width,
            pairing: geometry.pairing,
            axes: (0..<count).flatMap { Array(repeating: $0, count: plain.count) })
    }

    /// Plain frequencies of a base that depends on the sequence's length.
    public static func rope(
        _ geometry: RopeGeometry, base: @escaping @Sendable (Int) -> Double
    ) -> Rotation {
        geometry.rotation(.byLength { geometry.frequencies(theta: base($0)) })
    }

    /// Plain frequencies, each divided by its own factor.
    public static func rope(_ geometry: RopeGeometry, dividedBy factors: [Float]) -> Rotation {
        let plain = geometry.frequencies(theta: Double(geometry.theta))
        precondition(factors.count == plain.count, "\(factors.count) factors for \(plain.count) frequencies")
        return geometry.rotation(.fixed(zip(plain, factors).map { $0 / $1 }))
    }

    /// The base grows once the sequence is longer than the model was trained for. Each further token changes
    /// it for all, so the sequence is then computed anew: continuing an answer gives what sending it again as
    /// a prompt would.
    private static func dynamicNTK(
        _ geometry: RopeGeometry, _ scaling: RopeScaling
    ) throws(RotaryError) -> Rotation {
        let factor = Double(try scaling.positive(\.factor, "factor"))
        let trained = Double(geometry.maxPositionEmbeddings)
        let width = Double(geometry.width)
        let plain = geometry.frequencies(theta: Double(geometry.theta))
        guard width > 2 else { return geometry.rotation(.fixed(plain)) }
        return geometry.rotation(
            .byLength { length in
                guard Double(length) > trained else { return plain }
                let growth = factor * Double(length) / trained - (factor - 1)
                return geometry.frequencies(theta: Double(geometry.theta) * pow(growth, width / (width - 2)))
            })
    }

    /// LLaMA 3.1: long wavelengths are stretched, short ones kept, those between interpolated.
    private static func llama3(_ plain: [Float], _ scaling: RopeScaling) throws(RotaryError) -> [Float] {
        let factor = try scaling.positive(\.factor, "factor")
        let low = try scaling.positive(\.lowFreqFactor, "low_freq_factor")
        let high = try scaling.positive(\.highFreqFactor, "high_freq_factor")
        guard let original = scaling.originalMaxPositionEmbeddings else {
            throw .missing("original_max_position_embeddings", type: scaling.name)
        }
        return plain.map { frequency in
            let wavelength = 2 * Float.pi / frequency
            if wavelength < Float(original) / high { return frequency }
            if wavelength > Float(original) / low { return frequency / factor }
            let smooth = (Float(original) / wavelength - low) / (high - low)
            return (1 - smooth) * frequency / factor + smooth * frequency
        }
    }

    /// YaRN, arXiv 2309.00071.
    private static func yarn(_ geometry: RopeGeometry, _ scaling: RopeScaling) throws(RotaryError) -> Rotation
    {
        let original = Double(scaling.originalMaxPositionEmbeddings ?? geometry.maxPositionEmbeddings)
        let ratio = Double(geometry.maxPositionEmbeddings) / original
        let factor = scaling.factor.map { Double($0) } ?? ratio
        guard factor > 0, original > 0 else { throw .invalid("factor", type: scaling.name) }
        let (base, width) = (Double(geometry.theta), Double(geometry.width))
        func column(turning turns: Double) -> Double {
            width * log(original / (turns * 2 * Double.pi)) / (2 * log(base))
        }
        var low = column(turning: Double(scaling.betaFast ?? 32))
        var high = column(turning: Double(scaling.betaSlow ?? 1))
        if scaling.truncate ?? true { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, width - 1))
        if low == high { high += 0.001 }
        let plain = geometry.frequencies(theta: base)
        let frequencies = plain.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            return Float(Double(frequency) / factor * ramp + Double(frequency) * (1 - ramp))
        }
        return geometry.rotation(.fixed(frequencies), magnitude: yarnMagnitude(factor, scaling))
    }

    private static func yarnMagnitude(_ factor: Double, _ scaling: RopeScaling) -> Float {
        if let given = scaling.attentionFactor { return given }
        if let mscale = scaling.mscale, let all = scaling.mscaleAllDim, mscale > 0, all > 0 {
            return Float(yarnMagnitude(factor, weight: mscale) / yarnMagnitude(factor, weight: all))
        }
        return Float(yarnMagnitude(factor, weight: 1))
    }

    /// By how much attention over a context stretched by `factor` is sharpened.
    public static func yarnMagnitude(_ factor: Double, weight: Float) -> Double {
        factor > 1 ? 0.1 * Double(weight) * log(factor) + 1 : 1
    }

    /// LongRoPE, arXiv 2402.13753: each frequency has its own divisor, one set for short and one for long.
    private static func longRope(
        _ geometry: RopeGeometry, _ scaling: RopeScaling
    ) throws(RotaryError) -> Rotation {
        let plain = geometry.frequencies(theta: Double(geometry.theta))
        func divided(_ factors: [Float]?, _ key: String) throws(RotaryError) -> [Float] {
            guard let factors else { throw .missing(key, type: scaling.name) }
            guard factors.count == plain.count else {
                throw .wrongCount(key, expected: plain.count, found: factors.count)
            }
            return zip(plain, factors).map { $0 / $1 }
        }
        let short = try divided(scaling.shortFactor, "short_factor")
        let long = try divided(scaling.longFactor, "long_factor")
        let original = scaling.originalMaxPositionEmbeddings ?? geometry.maxPositionEmbeddings
        let ratio =
            scaling.originalMaxPositionEmbeddings == nil
            ? Double(scaling.factor ?? 1) : Double(geometry.maxPositionEmbeddings) / Double(max(original, 1))
        let usual = ratio > 1 ? (1 + log(ratio) / log(Double(original))).squareRoot() : 1
        let magnitude = scaling.attentionFactor ?? Float(usual)
        return geometry.rotation(
            .byLength { $0 > original ? long : short }, magnitude: scaling.shortMscale ?? magnitude,
            longer: (original, scaling.longMscale ?? magnitude))
    }
}

extension RopeScaling {
    /// Consecutive pairs turn by the time, then by the row, then by the column of a token (M-RoPE, arXiv 2409.12191).
    fileprivate func axes(pairs: Int) throws(RotaryError) -> [Int]? {
        guard let mropeSection else {
            guard name == "mrope" else { return nil }
            throw .missing("mrope_section", type: name)
        }
        let isSane = mropeSection.count == 3 && mropeSection.allSatisfy { (0...pairs).contains($0) }
        guard isSane, mropeSection.reduce(0, +) == pairs else {
            throw .wrongSections(mropeSection, pairs: pairs)
        }
        return mropeSection.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
    }

    fileprivate func positive(_ key: KeyPath<RopeScaling, Float?>, _ name: String) throws(RotaryError)
        -> Float
    {
        guard let value = self[keyPath: key] else { throw .missing(name, type: self.name) }
        guard value > 0, value.isFinite else { throw .invalid(name, type: self.name) }
        return value
    }
}
