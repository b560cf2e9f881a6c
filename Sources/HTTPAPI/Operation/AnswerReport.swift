import HTTPTypes
import Hummingbird
import Synchronization
import TextGeneration

/// What an answer's headers say that its handler learns only on the way.
final class AnswerReport: Sendable {
    private let truncated = Mutex(0)

    /// Tokens that prompts were shortened by.
    var truncatedTokens: Int { truncated.withLock { $0 } }

    /// Counts prompts that were shortened; several answers to one prompt count it once.
    func addTruncated(_ streams: [TextStream]) {
        var (total, last) = (0, [Int32]())
        for stream in streams where stream.truncatedTokens > 0 && stream.promptTokens != last {
            (total, last) = (total + stream.truncatedTokens, stream.promptTokens)
        }
        truncated.withLock { [total] in $0 += total }
    }
}

/// Tells clients that their prompts were shortened: `x-truncated-tokens`.
struct ReportHeaders: RouterMiddleware {
    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        let count = context.report.truncatedTokens
        if count > 0, let name = HTTPField.Name("x-truncated-tokens") { response.headers[name] = "\(count)" }
        return response
    }
}

extension RequestFields {
    /// `truncate_prompt_tokens`, as vLLM has it: only the last so many tokens of the prompt count; with -1 as many
    /// as leave the answer its room.
    mutating func keptPrompt(most: Int) throws(APIError) -> PromptTruncation.Kept? {
        guard let count = try int("truncate_prompt_tokens") else { return nil }
        guard count == -1 || (1...most).contains(count) else {
            throw .invalid(
                "\(name("truncate_prompt_tokens")) must be -1 or between 1 and \(most), found \(count)",
                parameter: "truncate_prompt_tokens")
        }
        return count == -1 ? .lastFitting : .last(count)
    }
}
