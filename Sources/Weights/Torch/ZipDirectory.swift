import Tensors

/// The entries of a ZIP archive whose members are stored, not compressed, as torch writes them.
struct ZipDirectory {
    /// Where each member's bytes lie in the file.
    let members: [String: Range<Int>]

    init(_ bytes: HostBytes, file: String) throws(CheckpointError) {
        let (count, start) = try Self.locate(bytes, file: file)
        var reader = ByteReader(bytes, file: file)
        try reader.skip(start)
        var members: [String: Range<Int>] = [:]
        for _ in 0..<count {
            let (name, range) = try Self.member(&reader, bytes, file: file)
            members[name] = range
        }
        self.members = members
    }

    /// The number of members and where the central directory begins.
    private static func locate(_ bytes: HostBytes, file: String) throws(CheckpointError) -> (Int, Int) {
        let (endSignature, endCount) = (UInt32(0x0605_4B50), 22)
        var position = bytes.count - endCount
        let lowest = max(0, position - 0xFFFF)
        while position >= lowest {
            if bytes.bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self) == endSignature { break }
            position -= 1
        }
        guard position >= lowest else { throw .malformed(file: file, "expected a ZIP archive of tensors") }
        var reader = ByteReader(bytes, at: position + 10, file: file)
        let count = Int(try reader.integer(UInt16.self))
        try reader.skip(4)
        let start = Int(try reader.integer(UInt32.self))
        guard count == 0xFFFF || start == 0xFFFF_FFFF else { return (count, start) }
        guard position >= 20 else { throw .malformed(file: file, "the ZIP64 locator is missing") }
        var locator = ByteReader(bytes, at: position - 20, file: file)
        guard try locator.integer(UInt32.self) == 0x0706_4B50 else {
            throw .malformed(file: file, "the ZIP64 locator is missing")
        }
        try locator.skip(4)
        var record = ByteReader(bytes, file: file)
        try record.skip(try locator.count())
        try record.skip(32)
        let wideCount = try record.count()
        try record.skip(8)
        guard wideCount <= bytes.count / 46 else { throw .malformed(file: file, "\(wideCount) ZIP members") }
        return (wideCount, try record.count())
    }

    private static func member(
        _ reader: inout ByteReader, _ bytes: HostBytes, file: String
    ) throws(CheckpointError) -> (String, Range<Int>) {
        guard try reader.integer(UInt32.self) == 0x0201_4B50 else {
            throw .malformed(file: file, "the ZIP directory is damaged")
        }
        try reader.skip(6)
        let method: UInt16 = try reader.integer()
        try reader.skip(8)
        var stored = Int(try reader.integer(UInt32.self))
        var size = Int(try reader.integer(UInt32.self))
        let nameCount = Int(try reader.integer(UInt16.self))
        let extraCount = Int(try reader.integer(UInt16.self))
        let commentCount = Int(try reader.integer(UInt16.self))
        try reader.skip(8)
        var offset = Int(try reader.integer(UInt32.self))
        let name = try reader.string(nameCount)
        var extra = ByteReader(try reader.take(extraCount), file: file)
        try reader.skip(commentCount)
        while extra.remaining >= 4 {
            let (id, length): (UInt16, UInt16) = (try extra.integer(), try extra.integer())
            var field = ByteReader(try extra.take(Int(length)), file: file)
            guard id == 1 else { continue }
            if size == 0xFFFF_FFFF { size = try field.count() }
            if stored == 0xFFFF_FFFF { stored = try field.count() }
            if offset == 0xFFFF_FFFF { offset = try field.count() }
        }
        guard method == 0, stored == size else {
            throw .malformed(file: file, "member \(name) is compressed; expected it stored")
        }
        // The local header repeats the name and has extra fields of its own.
        var local = ByteReader(bytes, file: file)
        try local.skip(offset)
        try local.skip(26)
        let (localName, localExtra): (UInt16, UInt16) = (try local.integer(), try local.integer())
        try local.skip(Int(localName) + Int(localExtra))
        let start = local.position
        try local.skip(size)
        return (name, start..<start + size)
    }
}
