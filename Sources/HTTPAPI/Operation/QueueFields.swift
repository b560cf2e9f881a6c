import JSON
import Scheduling
import Serving
import TextGeneration

extension RequestFields {
    /// How a request waits for its turn and whose prompts it may share: `priority`, where the lower number comes
    /// first as in vLLM; `queue_timeout`, the seconds after which it is given up; and `cache_salt`.
    mutating func readTerms(into request: inout TextRequest) throws(APIError) {
        request.terms.priority = try -(int("priority", in: -1000...1000) ?? 0)
        if let seconds = try float("queue_timeout", in: 0...1_000_000) {
            request.terms.deadline = .now + .milliseconds(Int(seconds * 1000))
        }
        // What is cached keeps its salt, so a salt may not be what fills the memory.
        if let salt = try string("cache_salt") {
            guard salt.utf8.count <= 256 else {
                throw .invalid(
                    "\(name("cache_salt")) may have 256 bytes at most, found \(salt.utf8.count)",
                    parameter: "cache_salt")
            }
            request.cacheSalt = CacheSalt(salt)
        }
    }
}

extension TextRequest {
    /// The request of a tenant, whose prompts only its own requests share, given up after `timeout`.
    func of(_ tenant: String?, timeout: Duration?) -> TextRequest {
        var request = self
        if let tenant {
            request.terms.tenant = Tenant(tenant)
            request.cacheSalt = CacheSalt(tenant + "\u{0}" + (cacheSalt?.value ?? ""))
        }
        if let timeout, terms.deadline == nil { request.terms.deadline = .now + timeout }
        return request
    }
}
