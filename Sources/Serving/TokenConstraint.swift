/// What the tokens of one answer may be. A value of its request; used on the engine's thread.
public protocol TokenConstraint: Sendable {
    /// The tokens that may come next, as bit `token % 64` of word `token / 64`; nil for all.
    ///
    /// What it throws ends the request: a constraint that no token satisfies, or one that costs too much.
    func allowedTokens() throws -> [UInt64]?

    /// Takes the token that was chosen, one of those that were allowed. Throws when that was wrong.
    mutating func advance(with token: Int32) throws

    /// Whether the answer is complete and nothing may follow but its end.
    var mustEnd: Bool { get }
}
