/// The hash FNV-1a with 64 bits of bytes (Fowler, Noll and Vo; draft-eastlake-fnv): the same on every machine and in
/// every run, unlike `Hasher`. It withstands accidents, and nobody who looks for two texts with the same hash.
///
/// `basis` is what the hash of no bytes is; other numbers than the usual one give other hashes of the same bytes.
public func fnv1a(_ bytes: some Sequence<UInt8>, basis: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
    bytes.reduce(basis) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}
