import Foundation
import JSON
import OrderedCollections
import Serving
import TextGeneration

extension RequestFields {
    /// Fields of another interface under OpenAI's names. What has a name of its own there must be read first.
    mutating func renamed(_ names: KeyValuePairs<String, String>) throws(APIError) -> RequestFields {
        var members: JSONValue.Members = [:]
        for (theirs, ours) in names {
            if let value = value(theirs) { members[JSONKey(ours)] = value }
        }
        return try RequestFields(.object(members))
    }
}

extension Server {
    /// The one answer to a turn, as it is generated, and what is known of it before it begins.
    func answer(
        _ turn: ConversationTurn, _ parameters: OpenAIParameters, _ context: ServerContext,
        _ change: (inout TextRequest) throws -> Void = { _ in }
    ) async throws -> (turn: PreparedTurn, stream: TextStream) {
        let prepared = try turn.prepared(generator, await ready(turn.images, context)) { tokens in
            var request = try parameters.textRequest(
                tokens, generator, defaultMaxTokens: configuration.defaultMaxTokens)
            try change(&request)
            return request
        }
        return (prepared, try start([prepared.request], context)[0])
    }
}

/// An identifier that no other object has.
func uniqueID(_ prefix: String) -> String {
    prefix + UUID().uuidString.lowercased().replacing("-", with: "")
}
