import Foundation

/// The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded as Python and as NumPy's older functions do it,
/// so that a seed chooses the same here and there.
struct PythonRandom: RandomNumberGenerator {
    private var state: [UInt32]
    private var index = 624

    /// As `random.seed(seed)` of Python.
    init(seed: UInt64) {
        self.init(numpySeed: 19_650_218)
        let key = seed >> 32 == 0 ? [UInt32(seed)] : [UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32)]
        var (i, j) = (1, 0)
        func mixed(_ i: Int, _ factor: UInt32) -> UInt32 {
            state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) &* factor)
        }
        for _ in 0..<624 {
            state[i] = mixed(i, 1_664_525) &+ key[j] &+ UInt32(j)
            (i, j) = (i + 1, (j + 1) % key.count)
            if i >= 624 { (state[0], i) = (state[623], 1) }
        }
        for _ in 0..<623 {
            state[i] = mixed(i, 1_566_083_941) &- UInt32(i)
            i += 1
            if i >= 624 { (state[0], i) = (state[623], 1) }
        }
        state[0] = 0x8000_0000
    }

    /// As `numpy.random.seed(seed)`.
    init(numpySeed seed: UInt32) {
        state = [seed]
        for i in 1..<624 {
            let last = state[i - 1]
            state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(i))
        }
    }

    private mutating func nextWord() -> UInt32 {
        if index == 624 { twist() }
        var word = state[index]
        index += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9D2C_5680
        word ^= (word << 15) & 0xEFC6_0000
        return word ^ (word >> 18)
    }

    private mutating func twist() {
        for i in 0..<624 {
            let word = (state[i] & 0x8000_0000) | (state[(i + 1) % 624] & 0x7FFF_FFFF)
            state[i] = state[(i + 397) % 624] ^ (word >> 1) ^ (word & 1 == 0 ? 0 : 0x9908_B0DF)
        }
        index = 0
    }

    mutating func next() -> UInt64 { UInt64(nextWord()) | UInt64(nextWord()) << 32 }

    /// In [0, 1): `random.random()`.
    mutating func nextUnit() -> Double {
        let (high, low) = (Double(nextWord() >> 5), Double(nextWord() >> 6))
        return (high * 67_108_864 + low) / 9_007_199_254_740_992
    }

    /// With mean 1: `numpy.random.exponential()`.
    mutating func nextExponential() -> Double { -log(1 - nextUnit()) }

    /// Below `bound`, which is at most 2³².
    private mutating func next(below bound: Int) -> Int {
        let bits = Int.bitWidth - bound.leadingZeroBitCount
        while true {
            let number = Int(nextWord() >> UInt32(32 - bits))
            if number < bound { return number }
        }
    }

    /// `random.sample(population, count)`; `count` is at most the population.
    mutating func sample<Element>(_ population: [Element], _ count: Int) -> [Element] {
        // Python's way depends on which takes less memory.
        var most = 21
        if count > 5 { most += 1 << (2 * Int(ceil(log(Double(count * 3)) / log(4)))) }
        if population.count <= most {
            var pool = population
            return (0..<count).map { taken in
                let number = next(below: population.count - taken)
                defer { pool[number] = pool[population.count - taken - 1] }
                return pool[number]
            }
        }
        var chosen: Set<Int> = []
        return (0..<count).map { _ in
            var number = next(below: population.count)
            while !chosen.insert(number).inserted { number = next(below: population.count) }
            return population[number]
        }
    }
}
