import Images
import Layers
import Tensors

/// Which images' features are kept, who holds them, and who waits. Rows are counted when an image is admitted, so what is
/// kept never exceeds the limits.
struct ImageLedger {
    struct Wanted {
        let key: ImageKey
        let plan: ImagePlan
        let image: EncodedImage
    }

    typealias Answer = CheckedContinuation<ImageFeatures, any Error>

    private struct Entry {
        let plan: ImagePlan
        let firstToken: Int32
        var result: Result<ImageFeatures, any Error>?
        var waiting: [Answer] = []
        var holders = 0
        var lastUse: UInt64

        var tokens: Range<Int> { Int(firstToken)..<Int(firstToken) + plan.tokens }
    }

    private struct Request {
        let id: UInt64
        let wanted: [Wanted]
        let continuation: CheckedContinuation<Void, any Error>
    }

    private let limits: ImageStageLimits
    private let firstToken: Int
    private var nextToken: Int
    private var entries: [ImageKey: Entry] = [:]
    private var requests: [Request] = []
    private var clock: UInt64 = 0
    private var lastID: UInt64 = 0
    private var rows = 0
    private var counts = ImageStatistics()

    init(_ limits: ImageStageLimits, firstToken: Int) {
        (self.limits, self.firstToken, nextToken) = (limits, firstToken, firstToken)
    }

    var statistics: ImageStatistics {
        var result = counts
        (result.kept, result.keptTokens, result.waiting) = (entries.count, rows, requests.count)
        return result
    }

    mutating func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    mutating func queue(
        _ wanted: [Wanted], _ id: UInt64, _ continuation: CheckedContinuation<Void, any Error>
    ) {
        requests.append(Request(id: id, wanted: wanted, continuation: continuation))
    }

    /// Takes a request that waits out of the line.
    mutating func giveUp(_ id: UInt64) -> CheckedContinuation<Void, any Error>? {
        guard let index = requests.firstIndex(where: { $0.id == id }) else { return nil }
        return requests.remove(at: index).continuation
    }

    /// Admits those at the head of the line as far as there is room, and says what must be looked at for them.
    mutating func admit() -> (due: [CheckedContinuation<Void, any Error>], jobs: [Wanted]) {
        var (due, jobs): ([CheckedContinuation<Void, any Error>], [Wanted]) = ([], [])
        while let request = requests.first {
            var missing: [ImageKey: Wanted] = [:]
            for item in request.wanted where entries[item.key] == nil { missing[item.key] = item }
            let keys = Set(request.wanted.map(\.key))
            let count = missing.values.reduce(0) { $0 + $1.plan.tokens }
            guard makeRoom(images: missing.count, rows: count, keeping: keys) else { break }
            requests.removeFirst()
            // In the request's order, so that numbers do not depend on hashes.
            for item in request.wanted where entries[item.key] == nil {
                entries[item.key] = Entry(
                    plan: item.plan, firstToken: takeTokens(item.plan.tokens), lastUse: clock)
                rows += item.plan.tokens
                jobs.append(item)
            }
            counts.found += keys.count - missing.count
            clock += 1
            for key in keys {
                entries[key]?.holders += 1
                entries[key]?.lastUse = clock
            }
            due.append(request.continuation)
        }
        return (due, jobs)
    }

    /// Lets what nobody holds go, longest unused first, until there is room. Where something must go, so does all that
    /// is not reserved, for the next to find room at once.
    private mutating func makeRoom(images: Int, rows needed: Int, keeping keys: Set<ImageKey>) -> Bool {
        func fits() -> Bool {
            entries.count + images <= limits.images && rows + needed <= limits.tokens
        }
        guard !fits() else { return true }
        let idle = entries.filter { $0.value.holders == 0 && !keys.contains($0.key) }
            .sorted { $0.value.lastUse < $1.value.lastUse }.map(\.key)
        let reserved = Int(Double(limits.images) * limits.reservedRatio)
        for key in idle where !fits() || entries.count > reserved { forget(key) }
        return fits()
    }

    private mutating func forget(_ key: ImageKey) {
        if let entry = entries.removeValue(forKey: key) { rows -= entry.plan.tokens }
    }

    /// Numbers that nothing kept stands for. After the last comes the first again: whatever was computed of prompts
    /// with these long ago has gone for want of room since.
    private mutating func takeTokens(_ count: Int) -> Int32 {
        if nextToken + count > Int(Int32.max) { nextToken = firstToken }
        while let taken = entries.values.first(where: { $0.tokens.overlaps(nextToken..<nextToken + count) }) {
            nextToken = taken.tokens.upperBound
            if nextToken + count > Int(Int32.max) { nextToken = firstToken }
        }
        defer { nextToken += count }
        return Int32(nextToken)
    }

    func firstToken(of key: ImageKey) -> Int32 {
        guard let entry = entries[key] else { preconditionFailure("an image that nobody holds") }
        return entry.firstToken
    }

    /// The features of an image that the caller holds, or nil when `answer` is to have them later.
    mutating func features(of key: ImageKey, or answer: Answer) -> Result<ImageFeatures, any Error>? {
        guard let entry = entries[key] else { preconditionFailure("an image that nobody holds") }
        if let result = entry.result { return result }
        entries[key]?.waiting.append(answer)
        return nil
    }

    /// Notes what became of an image, and returns who waits for it.
    mutating func finish(_ key: ImageKey, _ result: Result<ImageFeatures, any Error>) -> [Answer] {
        if case .success = result { counts.encoded += 1 }
        guard let waiting = entries[key]?.waiting else { return [] }
        entries[key]?.result = result
        entries[key]?.waiting = []
        dropFailed(key)
        return waiting
    }

    mutating func release(_ keys: Set<ImageKey>) {
        for key in keys {
            entries[key]?.holders -= 1
            dropFailed(key)
        }
    }

    /// What could not be read is not remembered.
    private mutating func dropFailed(_ key: ImageKey) {
        guard let entry = entries[key], entry.holders == 0, case .failure? = entry.result else { return }
        forget(key)
    }
}
