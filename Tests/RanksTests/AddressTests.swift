import Foundation
import Testing

@testable import Ranks

@Suite struct AddressTests {
    /// A clock that only moves when somebody waits.
    private final class Hand {
        private(set) var time = ContinuousClock.now
        private(set) var waits = 0
        var clock: BlockingClock {
            BlockingClock(
                now: { self.time },
                sleep: {
                    self.time += $0
                    self.waits += 1
                })
        }
    }

    private static let unknown = GroupFailure.rendezvous("rank-0: name not known")

    /// Asks for a name that is known from the try `first` on; how often it was asked for, and what came of it.
    private func ask(
        _ hand: Hand, knownFrom first: Int, for patience: Duration
    ) -> (tries: Int, result: Result<Address, GroupFailure>) {
        var tries = 0
        let result = Result { () throws(GroupFailure) in
            try Address.found(until: hand.time + patience, hand.clock) { () throws(GroupFailure) in
                tries += 1
                guard tries >= first else { throw Self.unknown }
                return try Address(host: "127.0.0.1", port: 7000 + tries, passive: false)
            }
        }
        return (tries, result)
    }

    @Test(arguments: [1, 3]) func aNameIsAskedForUntilItIsKnown(_ first: Int) throws {
        let hand = Hand(), start = hand.time
        let (tries, result) = ask(hand, knownFrom: first, for: .seconds(60))
        #expect(tries == first && hand.waits == first - 1, "no wait before the first or after the last")
        #expect(hand.time - start <= .seconds(first))
        // The port, in the order of the network, tells which answer it is.
        let port = try result.get().with { address, _ in
            UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 2, as: UInt16.self).bigEndian
        }
        #expect(port == UInt16(7000 + first))
    }

    /// The last answer is the error, and nobody waits in earnest.
    @Test func aNameThatIsNeverKnownIsAnErrorAfterTheLimit() {
        let hand = Hand(), start = hand.time, real = ContinuousClock.now
        let (tries, result) = ask(hand, knownFrom: .max, for: .seconds(60))
        #expect(throws: Self.unknown) { try result.get() }
        #expect(tries > 10 && tries == hand.waits + 1)
        #expect((.seconds(60)...(.seconds(61))).contains(hand.time - start))
        #expect(ContinuousClock.now - real < .seconds(30))
    }

    /// No patience is one try.
    @Test func withoutPatienceThereIsOneTry() {
        let (tries, result) = ask(Hand(), knownFrom: 2, for: .zero)
        #expect(tries == 1)
        #expect(throws: Self.unknown) { try result.get() }
    }

    /// An error says which host is not known; this one is no name at all, so no server is asked.
    @Test func theHostIsNamed() {
        let host = String(repeating: "h", count: 300)
        let error = #expect(throws: GroupFailure.self) { try Address(host: host, port: 1, passive: false) }
        #expect(error.map { "\($0)".contains(host + ": ") } == true)
    }
}
