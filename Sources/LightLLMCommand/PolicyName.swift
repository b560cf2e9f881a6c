import ArgumentParser
import Scheduling

/// What the command line calls the admission policies.
enum PolicyName: String, ExpressibleByArgument, CaseIterable {
    case guaranteed, aggressive, conservative
    case pastFuture = "past-future"

    /// `ratio` and `newTokens` are the aggressive policy's.
    func policy(ratio: Double, newTokens: Int) -> any AdmissionPolicy {
        switch self {
        case .guaranteed: GuaranteedPolicy()
        case .pastFuture: PastFuturePolicy()
        case .aggressive: AggressivePolicy(ratio: ratio, newTokens: newTokens)
        case .conservative: ConservativePolicy()
        }
    }
}
