/// Reads that stay inside the file: nil where it ends before.
extension [UInt8] {
    func byte(at offset: Int) -> Int? {
        offset >= 0 && offset < count ? Int(self[offset]) : nil
    }

    func bigEndian16(at offset: Int) -> Int? {
        guard let bytes = slice(offset, 2) else { return nil }
        return bytes.reduce(0) { $0 << 8 | Int($1) }
    }

    func bigEndian32(at offset: Int) -> Int? {
        guard let bytes = slice(offset, 4) else { return nil }
        return bytes.reduce(0) { $0 << 8 | Int($1) }
    }

    func littleEndian16(at offset: Int) -> Int? {
        guard let bytes = slice(offset, 2) else { return nil }
        return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    func littleEndian24(at offset: Int) -> Int? {
        guard let bytes = slice(offset, 3) else { return nil }
        return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    func littleEndian32(at offset: Int) -> Int? {
        guard let bytes = slice(offset, 4) else { return nil }
        return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    func holds(_ text: StaticString, at offset: Int) -> Bool {
        guard let bytes = slice(offset, text.utf8CodeUnitCount) else { return false }
        // The text is a constant of the program.
        return bytes.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The bytes from an offset on, as many as are there of `length`.
    func clamped(_ offset: Int, _ length: Int) -> ArraySlice<UInt8> {
        let start = Swift.min(Swift.max(offset, 0), count)
        return self[start..<start + Swift.min(Swift.max(length, 0), count - start)]
    }

    private func slice(_ offset: Int, _ length: Int) -> ArraySlice<UInt8>? {
        offset >= 0 && offset <= count - length ? self[offset..<offset + length] : nil
    }
}
