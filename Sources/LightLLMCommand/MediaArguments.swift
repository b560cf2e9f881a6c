import ArgumentParser
import HTTPAPI
import LightLLM

/// Whether requests may have images, where from, and what is kept of them.
struct MediaArguments: ParsableArguments {
    @Flag(
        name: .customLong("enable_multimodal"),
        help: "Take images in requests, if the model sees; other models serve text all the same.")
    var isEnabled = false

    @Option(
        name: .customLong("cache_capacity"),
        help: "Images whose features are kept for later requests; also the most of one request.")
    var cacheCapacity = 200

    @Option(
        name: .customLong("cache_reserved_ratio"),
        help: "The part of them that stays when there are too many.")
    var cacheReservedRatio = 0.5

    @Option(
        name: .customLong("visual_infer_batch_size"), help: "Images that the vision model takes at once.")
    var batchSize = 1

    @Option(
        name: .customLong("allowed_media_domains"), parsing: .upToNextOption,
        help:
            "Hosts that images are fetched from: example.com, or *.example.com for all below it. By default nothing is fetched; from addresses outside of the internet never."
    )
    var domains: [String] = []

    @Option(
        name: .customLong("allowed_local_media_path"),
        help: "The folder whose files may be images (file:///…); by default none.")
    var folder: String?

    @Option(
        name: .customLong("media_timeout"),
        help: "Seconds that an image may take to be fetched; also taken from REQUEST_TIMEOUT, or 3.")
    var timeout: Double?

    @Option(
        name: .customLong("image_max_tokens"),
        help: "Tokens of an image at most, for models that look closer at larger ones.")
    var mostTokens = 4096

    @Option(name: .customLong("max_media_bytes"), help: "The largest encoded image.")
    var largestImage = MediaPolicy().largestImage

    func validate() throws {
        try require((1...1_000_000).contains(cacheCapacity), "cache_capacity", "at least 1", cacheCapacity)
        try require(
            (0...1).contains(cacheReservedRatio), "cache_reserved_ratio", "between 0 and 1",
            cacheReservedRatio)
        try require((1...1024).contains(batchSize), "visual_infer_batch_size", "at least 1", batchSize)
        try require((1...65_536).contains(mostTokens), "image_max_tokens", "between 1 and 65536", mostTokens)
        try require(
            (1...(1 << 30)).contains(largestImage), "max_media_bytes", "between 1 and 1073741824",
            largestImage)
        if let timeout {
            try require(Self.times.contains(timeout), "media_timeout", Self.expectedTime, timeout)
        }
        _ = try parsedDomains()
    }

    private static let times = 0.001...3600
    private static let expectedTime = "between 0.001 and 3600"

    /// Commas separate hosts as well as spaces.
    private func parsedDomains() throws -> [MediaDomain] {
        try domains.flatMap { $0.split { $0 == "," || $0 == " " } }.map { name in
            guard let domain = MediaDomain(String(name)) else {
                throw ValidationError(
                    "--allowed_media_domains must be names of hosts or addresses of the internet, without ports, found '\(name)'"
                )
            }
            return domain
        }
    }

    /// Errors: a folder that is none, a time that is none in the environment.
    func options(_ environment: [String: String]) throws -> MediaOptions {
        var policy = MediaPolicy()
        policy.domains = try parsedDomains()
        (policy.mostImages, policy.largestImage) = (cacheCapacity, largestImage)
        if let folder {
            guard let opened = MediaFolder(path: folder) else {
                throw ValidationError("--allowed_local_media_path: \(folder): no such folder")
            }
            policy.folder = opened
        }
        if let seconds = try timeout ?? Self.timeout(environment) { policy.timeout = .seconds(seconds) }
        return MediaOptions(
            isEnabled: isEnabled, cacheCapacity: cacheCapacity, cacheReservedRatio: cacheReservedRatio,
            batchSize: batchSize, mostTokens: mostTokens, policy: policy)
    }

    private static func timeout(_ environment: [String: String]) throws -> Double? {
        guard let text = environment["REQUEST_TIMEOUT"], !text.isEmpty else { return nil }
        guard let seconds = Double(text), times.contains(seconds) else {
            throw ValidationError(
                "REQUEST_TIMEOUT must be a number of seconds \(expectedTime), found '\(text)'")
        }
        return seconds
    }
}

/// What the command line says of images.
struct MediaOptions {
    /// Whether requests may have images if the model sees.
    let isEnabled: Bool
    /// Images whose features are kept.
    let cacheCapacity: Int
    /// The part of them that stays when there are too many.
    let cacheReservedRatio: Double
    /// Images that the vision model takes at once.
    let batchSize: Int
    /// Tokens of an image at most.
    let mostTokens: Int
    let policy: MediaPolicy

    /// Nil where nothing is to be looked at.
    var engine: ImageOptions? {
        guard isEnabled else { return nil }
        var options = ImageOptions()
        (options.cacheCapacity, options.reservedRatio, options.batch, options.mostTokens) = (
            cacheCapacity, cacheReservedRatio, batchSize, mostTokens
        )
        return options
    }
}
