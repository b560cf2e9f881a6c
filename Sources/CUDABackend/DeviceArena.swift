import CUDARuntime
import Synchronization
import Tensors

/// Activation memory: regions of the device's memory that are handed out in pieces and taken back.
///
/// A piece may be handed out again while the device still works on what was in it, as all work is enqueued to one stream
/// in the order in which pieces are used.
final class DeviceArena: Sendable {
    fileprivate struct Piece: @unchecked Sendable {
        // Unsafe: an address that is never read on the host.
        var start: DeviceAddress
        var bytes: Int
    }

    fileprivate struct State {
        var regions: [Piece] = []
        /// By address; neighbours are always one piece.
        var free: [Piece] = []
    }

    private let device: Device
    private let state = Mutex(State())
    /// Pieces begin at multiples of this many bytes.
    private static let alignment = 256
    /// The least bytes of a region after the first.
    private static let growth = 64 << 20

    /// `bytes` are taken at once; more only when they are needed together.
    init(_ device: Device, bytes: Int) throws(CUDAError) {
        self.device = device
        try grow(bytes)
    }

    deinit {
        state.withLock { state in
            for region in state.regions { device.free(region.start) }
        }
    }

    /// Bytes of all regions.
    var capacity: Int { state.withLock { $0.regions.reduce(0) { $0 + $1.bytes } } }

    /// Bytes that are not handed out.
    var available: Int { state.withLock { $0.free.reduce(0) { $0 + $1.bytes } } }

    /// What stands for memory that could not be had. Nothing may be written to it.
    var placeholder: DeviceBuffer {
        let start = state.withLock { $0.regions[0] }.start
        return DeviceBuffer(start, bytes: 0, arena: nil)
    }

    func allocate(bytes: Int) throws(CUDAError) -> DeviceBuffer {
        let size = (max(bytes, 1) + Self.alignment - 1) / Self.alignment * Self.alignment
        if let address = take(size) { return DeviceBuffer(address, bytes: size, arena: self) }
        try grow(max(size, Self.growth))
        guard let address = take(size) else { preconditionFailure("a new region holds what it was made for") }
        return DeviceBuffer(address, bytes: size, arena: self)
    }

    /// Gives back regions of which nothing is handed out, but for the first. Nothing may be waiting to be enqueued that
    /// writes there.
    func releaseIdleRegions() {
        let idle = state.withLock { state -> [Piece] in
            let idle = state.regions.dropFirst().filter { region in
                state.free.contains { $0.start == region.start && $0.bytes == region.bytes }
            }
            let starts = Set(idle.map(\.start))
            state.regions.removeAll { starts.contains($0.start) }
            state.free.removeAll { starts.contains($0.start) }
            return idle
        }
        for region in idle { device.free(region.start) }
    }

    private func grow(_ bytes: Int) throws(CUDAError) {
        let region = Piece(start: try device.allocate(bytes: bytes), bytes: bytes)
        state.withLock { state in
            state.regions.append(region)
            state.insert(region)
        }
    }

    /// From the first piece that is large enough.
    private func take(_ size: Int) -> DeviceAddress? {
        let piece = state.withLock { state -> Piece? in
            guard let index = state.free.firstIndex(where: { $0.bytes >= size }) else { return nil }
            let piece = state.free[index]
            if piece.bytes == size {
                state.free.remove(at: index)
            } else {
                state.free[index] = Piece(start: piece.start + size, bytes: piece.bytes - size)
            }
            return piece
        }
        return piece?.start
    }

    fileprivate func reclaim(_ start: DeviceAddress, _ bytes: Int) {
        let piece = Piece(start: start, bytes: bytes)
        state.withLock { $0.insert(piece) }
    }
}

extension DeviceArena.State {
    fileprivate mutating func insert(_ piece: DeviceArena.Piece) {
        let index = free.firstIndex { $0.start > piece.start } ?? free.count
        free.insert(piece, at: index)
        if index + 1 < free.count, joins(free[index], free[index + 1]) {
            free[index].bytes += free.remove(at: index + 1).bytes
        }
        if index > 0, joins(free[index - 1], free[index]) {
            free[index - 1].bytes += free.remove(at: index).bytes
        }
    }

    /// Whether `b` begins where `a` ends, in the same region.
    private func joins(_ a: DeviceArena.Piece, _ b: DeviceArena.Piece) -> Bool {
        a.start + a.bytes == b.start && !regions.contains { $0.start == b.start }
    }
}

/// A piece of an arena.
final class DeviceBuffer: Buffer, @unchecked Sendable {
    // Unsafe: as its superclass says; `packed` changes on the thread that runs the forward pass.
    private let bytes: Int
    /// Nil for what was never taken from one.
    private let arena: DeviceArena?
    private let owner: AnyObject?
    /// A copy, in the form that products take, of the matrix that the buffer holds; nil when it was written since.
    var packed: PackedRows?

    /// `owner` lives as long as the buffer.
    init(_ address: DeviceAddress, bytes: Int, arena: DeviceArena?, holding owner: AnyObject? = nil) {
        (self.bytes, self.arena, self.owner) = (bytes, arena, owner)
        super.init(address: address)
    }

    deinit { arena?.reclaim(address, bytes) }
}

/// Rows of 16-bit numbers, padded with zeros to whole tiles.
struct PackedRows {
    let buffer: DeviceBuffer
    let element: ProductElement
    let rows: Int
    let columns: Int
}
