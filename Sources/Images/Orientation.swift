/// How an image is to be turned before it is shown: EXIF's tag 274.
enum Orientation: Int {
    case upright = 1
    case mirrored = 2
    case turnedHalf = 3
    case flipped = 4
    case transposed = 5
    case turnedRight = 6
    case transversed = 7
    case turnedLeft = 8

    var swapsSides: Bool { rawValue >= Orientation.transposed.rawValue }

    /// The turned image.
    func applied(to image: PixelImage) -> PixelImage {
        if self == .upright { return image }
        let (width, height) = (image.width, image.height)
        let last = width * height - 1
        // The pixel that becomes the first, and how far the next to the right and below are from it.
        let (start, right, down) =
            switch self {
            case .upright: (0, 1, width)
            case .mirrored: (width - 1, -1, width)
            case .turnedHalf: (last, -1, -width)
            case .flipped: (last - width + 1, 1, -width)
            case .transposed: (0, width, 1)
            case .turnedRight: (last - width + 1, -width, 1)
            case .transversed: (last, -width, -1)
            case .turnedLeft: (width - 1, width, -1)
            }
        let (columns, rows) = swapsSides ? (height, width) : (width, height)
        // Plain pointers: one check for each of millions of bytes would be most of the time.
        let pixels = [UInt8](unsafeUninitializedCapacity: image.pixels.count) { result, count in
            image.pixels.withUnsafeBufferPointer { source in
                var to = 0
                for row in 0..<rows {
                    var from = 3 * (start + row * down)
                    for _ in 0..<columns {
                        result[to] = source[from]
                        result[to + 1] = source[from + 1]
                        result[to + 2] = source[from + 2]
                        to += 3
                        from += 3 * right
                    }
                }
            }
            count = image.pixels.count
        }
        return PixelImage(width: columns, height: rows, pixels: pixels)
    }
}

/// What a file says about its orientation. EXIF goes first; XMP is asked where EXIF has no such tag.
struct OrientationNotes {
    private var exif: Int?
    private var xmp: Int?
    private var hasPacket = false

    var orientation: Orientation { (exif ?? xmp).flatMap(Orientation.init) ?? .upright }

    /// Takes EXIF's data: a TIFF header and its first directory, with or without the name before.
    mutating func read(exif data: ArraySlice<UInt8>) {
        guard exif == nil else { return }
        let bytes = [UInt8](data)
        var start = 0
        while bytes.holds("Exif\0\0", at: start) { start += 6 }
        let isLittle = bytes.holds("II*\0", at: start)
        guard isLittle || bytes.holds("MM\0*", at: start) else { return }
        let number16 = { (at: Int) in
            isLittle ? bytes.littleEndian16(at: start + at) : bytes.bigEndian16(at: start + at)
        }
        let number32 = { (at: Int) in
            isLittle ? bytes.littleEndian32(at: start + at) : bytes.bigEndian32(at: start + at)
        }
        guard let directory = number32(4), let entries = number16(directory) else { return }
        for entry in 0..<entries {
            let at = directory + 2 + 12 * entry
            guard let tag = number16(at) else { return }
            guard tag == 274 else { continue }
            guard let kind = number16(at + 2), number32(at + 4) == 1 else { return }
            switch kind {
            case 1: exif = bytes.byte(at: start + at + 8)
            case 3: exif = number16(at + 8)
            case 4: exif = number32(at + 8)
            default: return
            }
            return
        }
    }

    /// Takes the first packet of XMP, in which the tag stands as an attribute or an element.
    mutating func read(xmp packet: ArraySlice<UInt8>) {
        if hasPacket { return }
        hasPacket = true
        // No real packet is as long; the search must not take seconds.
        let packet = packet.prefix(1 << 20)
        let name = Array("tiff:Orientation".utf8)
        var at = packet.startIndex
        while let found = packet[at...].firstIndex(of: name[0]) {
            at = found + 1
            let rest = packet[found...]
            guard rest.starts(with: name) else { continue }
            var value = rest.dropFirst(name.count)
            if value.starts(with: "=\"".utf8) {
                value = value.dropFirst(2)
            } else if value.first == UInt8(ascii: ">") {
                value = value.dropFirst()
            } else {
                continue
            }
            if let digit = value.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) {
                xmp = Int(digit - UInt8(ascii: "0"))
                return
            }
        }
    }
}
