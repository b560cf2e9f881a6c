/// Bytes that no edge tells apart share a class, so that tables of transitions have a column for each class.
struct ByteClasses: Sendable {
    /// For each byte, its class.
    private(set) var classes = [UInt8](repeating: 0, count: 256)
    /// For each class, one of its bytes.
    private(set) var representatives: [UInt8] = [0]

    var count: Int { representatives.count }

    init(separating sets: some Sequence<ByteSet>) {
        for set in Set(sets) where count < 256 { split(by: set) }
    }

    private mutating func split(by set: ByteSet) {
        var renamed: [Int: UInt8] = [:]
        var next: [UInt8] = []
        for byte in UInt8.min...UInt8.max {
            let key = Int(classes[Int(byte)]) << 1 | (set.contains(byte) ? 1 : 0)
            if let name = renamed[key] {
                classes[Int(byte)] = name
            } else {
                let name = UInt8(next.count)
                renamed[key] = name
                next.append(byte)
                classes[Int(byte)] = name
            }
        }
        representatives = next
    }
}
