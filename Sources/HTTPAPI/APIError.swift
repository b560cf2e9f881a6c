import ChatTemplates
import HTTPTypes
import Hummingbird
import JSON
import OrderedCollections
import Serving
import TextGeneration
import StructuredOutput
import Tokenizers

/// A request that is answered with an error.
struct APIError: Error {
    let status: HTTPResponse.Status
    let message: String
    var parameter: String?
    /// What OpenAI calls the error, where it has a name for it.
    var code: String?
    /// After how many seconds it may be worth trying again.
    var retryAfter: Int?

    static func invalid(_ message: String, parameter: String? = nil) -> APIError {
        APIError(status: .badRequest, message: message, parameter: parameter)
    }

    /// How any error of a handler is answered.
    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as RequestError:
            self.init(status: Self.status(of: error), message: error.description)
            if status == .tooManyRequests { retryAfter = 1 }
            if case .tooLong = error { code = "context_length_exceeded" }
        case let error as TokenizerError:
            self = .invalid(error.description)
            if case .textTooLong = error { code = "context_length_exceeded" }
        case let error as ChatTemplateError: self = .invalid(error.description, parameter: "messages")
        case let error as StructuredOutputError: self.init(form: error)
        case let error as ImagePromptError:
            self = .invalid(error.description, parameter: "multimodal_params")
        case let error as any ImageProblem: self = .invalid(error.description)
        case let error as JSONError: self = .invalid("the body is not JSON: \(error)")
        default: self.init(status: .internalServerError, message: "\(error)")
        }
    }

    /// What is wrong with what `parameter` asks of the form of the answer; or, where that is at fault, with the
    /// answer.
    init(form error: StructuredOutputError, parameter: String? = nil) {
        let isAnswers = error.code == .violated
        self.init(
            status: isAnswers ? .internalServerError : .badRequest, message: error.description,
            parameter: parameter)
        code = error.code.rawValue
    }

    private static func status(of error: RequestError) -> HTTPResponse.Status {
        switch error {
        case .engineStopped, .engineFailed: .serviceUnavailable
        case .queueFull, .expired: .tooManyRequests
        case .constraintFailed: .unprocessableContent
        default: .badRequest
        }
    }

    /// Does what may fail in other ways.
    static func typed<Result>(_ body: () throws -> Result) throws(APIError) -> Result {
        do { return try body() } catch { throw APIError(error) }
    }

    /// The answer itself.
    func response(_ style: ErrorStyle) -> Response {
        var response = Response.json(body(style), status: status)
        if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
        return response
    }

    init(status: HTTPResponse.Status, message: String, parameter: String? = nil) {
        (self.status, self.message, self.parameter) = (status, message, parameter)
    }

    func body(_ style: ErrorStyle) -> JSONValue {
        let error: JSONValue = [
            "message": .string(message),
            "type": status.code >= 500 ? "server_error" : "invalid_request_error",
            "param": parameter.map { .string($0) } ?? .null,
            "code": code.map { .string($0) } ?? .integer(status.code),
        ]
        return switch style {
        case .openAI: ["error": error]
        case .native: ["error": error, "message": .string(message)]
        case .anthropic:
            ["type": "error", "error": ["type": .string(anthropicType), "message": .string(message)]]
        }
    }

    private var anthropicType: String {
        switch status.code {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 413: "request_too_large"
        case 429: "rate_limit_error"
        case 503: "overloaded_error"
        case 500...: "api_error"
        default: "invalid_request_error"
        }
    }
}

/// Whose clients read an error.
enum ErrorStyle: Sendable {
    case openAI
    /// LightLLM's, which have the message at the top too.
    case native
    case anthropic
}
