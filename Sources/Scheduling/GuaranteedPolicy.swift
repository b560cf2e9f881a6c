/// Lets a sequence in when memory suffices even if all run as long as they may: nobody ever runs short. What a
/// running sequence will have given back by then is lent out.
public struct GuaranteedPolicy: AdmissionPolicy {
    public init() {}

    public mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool {
        Holding.peak(holdings) <= capacity
    }
}

/// Lets a sequence in when all could have the most slots that they may come to need at the same time.
public struct ConservativePolicy: AdmissionPolicy {
    public init() {}

    public mutating func admits(_ holdings: [Holding], newcomer: Int, capacity: Int) -> Bool {
        holdings.reduce(0) { $0 + $1.most } <= capacity
    }
}
