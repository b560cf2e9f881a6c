import HTTPTypes

/// Why an image could not be had, in words that tell nothing of where it was looked for.
enum MediaFailure: Error, Equatable {
    case tooManyImages(most: Int, found: Int)
    case notBase64
    /// `inRequest`: whether the image was sent along.
    case tooLarge(most: Int, found: Int?, inRequest: Bool)
    case tooLargeTogether(most: Int)
    case fetchesNothing
    case foreignHost
    case noAddress
    case unreachable
    case refused(status: UInt)
    case badRedirection
    case tooManyRedirections(most: Int)
    case late(Duration)
    case readsNoFiles
    case noSuchFile

    var message: String {
        switch self {
        case .tooManyImages(let most, let found):
            "too many images! expected \(most) at most, found \(found)"
        case .notBase64: "expected base64, found something else"
        case .tooLarge(let most, let found, _):
            "an image may have \(most) bytes at most, found \(found.map { "\($0)" } ?? "more")"
        case .tooLargeTogether(let most): "the images of a request may have \(most) bytes at most"
        case .fetchesNothing: "this server fetches no images; send them as base64 or as data URLs"
        case .foreignHost: "this server fetches no images from this host"
        case .noAddress: "its host has no address that images are fetched from"
        case .unreachable: "it could not be fetched"
        case .refused(let status): "it could not be fetched: its server answered with status \(status)"
        case .badRedirection: "its server redirects to where no images are fetched from"
        case .tooManyRedirections(let most): "its server redirects more than \(most) times"
        case .late(let limit): "it did not come within \(limit / .seconds(1)) s"
        case .readsNoFiles: "this server reads no images from files; send them as base64 or as data URLs"
        case .noSuchFile: "there is no such file among those that may be read"
        }
    }

    var status: HTTPResponse.Status {
        if case .tooLarge(_, _, inRequest: true) = self { .contentTooLarge } else { .badRequest }
    }
}

extension APIError {
    /// What became of `reference`.
    init(_ failure: MediaFailure, _ reference: MediaReference) {
        self.init(
            status: failure.status, message: "\(reference.field): \(failure.message)",
            parameter: reference.parameter)
    }
}
