import Layers
import Serving

/// How a model that sees looks at images, and what it keeps of them.
public struct ImageOptions: Sendable {
    /// The most images whose features are kept.
    public var cacheCapacity = 200
    /// The part of `cacheCapacity` that stays when there is no room for more.
    public var reservedRatio = 0.5
    /// The most images that are looked at together.
    public var batch = 1
    /// The most tokens of an image, for models that look closer at larger ones.
    public var mostTokens = 4096

    public init() {}

    /// What is kept: as many images as may be, but no more than a tenth of the free memory.
    func limits(_ encoder: any ImageEncoder, available: Int?) -> ImageStageLimits {
        let rowBytes = 4 * encoder.width
        let (wanted, overflow) = cacheCapacity.multipliedReportingOverflow(by: encoder.mostTokens)
        let affordable = available.map { $0 / 10 / rowBytes } ?? .max
        // One request must be able to have a few of the largest images.
        var limits = ImageStageLimits(
            tokens: max(4 * encoder.mostTokens, min(overflow ? .max : wanted, affordable)))
        (limits.images, limits.batch, limits.reservedRatio) = (cacheCapacity, batch, reservedRatio)
        return limits
    }
}
