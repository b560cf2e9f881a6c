import Foundation
import Images
import Layers
import Serving
import Synchronization
import Tensors
import Testing

@Suite struct ImageStageTests {
    @Test func looksAtEachImageOnce() async throws {
        let encoder = CountingEncoder()
        let stage = makeStage(encoder, images: 60, tokens: 1000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    let images = try [number % 50, (number * 7 + 1) % 50].map { try testImage($0) }
                    let ready = try await stage.ready(images)
                    #expect(ready.map(\.tokens.count) == images.map { $0.width * $0.height })
                    let same = ready[0].tokens == ready[1].tokens
                    #expect(same == (images[0].bytes == images[1].bytes))
                }
            }
            try await group.waitForAll()
        }
        #expect(encoder.encoded == 50)
        #expect(stage.statistics.encoded == 50 && stage.statistics.kept == 50)
        #expect(stage.statistics.waiting == 0)
    }

    @Test func keepsWhatIsHeldAndDropsWhatIsNot() async throws {
        let encoder = CountingEncoder()
        let stage = makeStage(encoder, images: 3, tokens: 1000, reserved: 0)
        let held = try await stage.ready([testImage(1)])
        for number in 2..<10 { _ = try await stage.ready([testImage(number)]) }
        #expect(stage.statistics.kept <= 3 && encoder.encoded == 9)
        #expect(try await stage.ready([testImage(1)])[0].tokens == held[0].tokens)
        #expect(encoder.encoded == 9)
        _ = try await stage.ready([testImage(2)])
        #expect(encoder.encoded == 10)
    }

    @Test func whoFindsNoRoomWaitsForItInTurn() async throws {
        let stage = makeStage(CountingEncoder(), images: 2, tokens: 1000)
        var held: [ReadyImage]? = try await stage.ready([testImage(1), testImage(2)])
        let order = Mutex<[Int]>([])
        let tasks = await waiting(
            on: stage, (3...5).map { number in { try await stage.ready([testImage(number)]) } }
        ) {
            index in order.withLock { $0.append(index) }
        }
        #expect(order.withLock { $0 } == [] && stage.statistics.waiting == 3)
        tasks[1].cancel()
        await #expect(throws: CancellationError.self) { try await tasks[1].value }
        #expect(held?.count == 2)
        held = nil
        try await tasks[0].value
        try await tasks[2].value
        #expect(order.withLock { Set($0) } == [0, 2] && stage.statistics.waiting == 0)
    }

    /// Starts requests one after the other, each when those before wait.
    private func waiting(
        on stage: ImageStage, _ requests: [@Sendable () async throws -> [ReadyImage]],
        _ done: @escaping @Sendable (Int) -> Void
    ) async -> [Task<Void, any Error>] {
        var tasks: [Task<Void, any Error>] = []
        for (index, request) in requests.enumerated() {
            tasks.append(
                Task {
                    _ = try await request()
                    done(index)
                })
            while stage.statistics.waiting <= index { await Task.yield() }
        }
        return tasks
    }

    @Test func refusesWhatCanNeverFit() async throws {
        let stage = makeStage(CountingEncoder(), images: 2, tokens: 10)
        await #expect(throws: ImageStageError.tooManyImages(3, most: 2)) {
            try await stage.ready((1...3).map { try testImage($0) })
        }
        await #expect(throws: ImageStageError.tooManyTokens(12, most: 10)) {
            try await stage.ready([testImage(1, width: 4, height: 3)])
        }
        // The same image twice is one.
        let ready = try await stage.ready(Array(repeating: testImage(1), count: 5))
        #expect(Set(ready.map(\.tokens)).count == 1)
        #expect(stage.statistics.kept == 1)
    }

    @Test func whatCannotBeDecodedFailsAndIsForgotten() async throws {
        let encoder = CountingEncoder()
        let stage = makeStage(encoder, images: 2, tokens: 100)
        let whole = try testImage(1)
        let broken = try EncodedImage(Array(whole.bytes.prefix(whole.bytes.count - 20)))
        for _ in 0..<3 {
            await #expect(throws: ImageError.self) { try await stage.ready([testImage(2), broken]) }
        }
        #expect(stage.statistics.kept == 1 && encoder.encoded == 1)
        _ = try await stage.ready([testImage(3), testImage(4)])
    }

    @Test func whatAFailedDeviceSawIsForgotten() async throws {
        let encoder = CountingEncoder()
        let stage = makeStage(encoder, images: 4, tokens: 100)
        _ = try await stage.ready([testImage(1)])
        #expect(stage.failure == nil)
        encoder.fail()
        for _ in 0..<2 {
            await #expect(throws: RequestError.engineFailed("gone")) { try await stage.ready([testImage(2)]) }
        }
        #expect(stage.failure == .engineFailed("gone"))
        #expect(stage.statistics.kept == 1 && stage.statistics.waiting == 0)
    }

    /// After the last number for tokens of images comes the first that nothing kept has.
    @Test func numbersForTokensComeAgain() async throws {
        let first = Int(Int32.max) - 8
        let stage = makeStage(CountingEncoder(), images: 2, tokens: 100, firstToken: first)
        let held = try await stage.ready([testImage(1, width: 3, height: 1)])
        var seen: Set<Int32> = []
        for number in 2..<20 {
            let ready = try await stage.ready([testImage(number, width: 2, height: 1)])
            #expect(!ready[0].tokens.overlaps(held[0].tokens))
            #expect(ready[0].tokens.lowerBound >= Int32(first))
            seen.insert(ready[0].tokens.lowerBound)
        }
        #expect(seen.count > 1)
    }

    private func makeStage(
        _ encoder: CountingEncoder, images: Int, tokens: Int, reserved: Double = 0.5, firstToken: Int = 100
    ) -> ImageStage {
        var limits = ImageStageLimits(tokens: tokens)
        (limits.images, limits.reservedRatio, limits.batch) = (images, reserved, 4)
        return ImageStage(encoder, limits, firstToken: firstToken)
    }
}

/// A token for each pixel, whose one number is its red.
private final class CountingEncoder: ImageEncoder {
    let marks = ImageMarks(.tag("<image>"), text: "<image>")
    let width = 1
    let mostTokens = 64
    let rehearsal: [PixelImage] = []
    private let count = Mutex(0)
    private let lost = Mutex<BackendFailure?>(nil)

    var encoded: Int { count.withLock { $0 } }
    var failure: BackendFailure? { lost.withLock { $0 } }

    func fail() { lost.withLock { $0 = BackendFailure("gone") } }

    func plan(width: Int, height: Int) -> ImagePlan { ImagePlan(tokens: width * height) }

    func encode(_ images: [PixelImage]) -> [ImageFeatures] {
        count.withLock { $0 += images.count }
        return images.map { image in
            let red = stride(from: 0, to: image.pixels.count, by: 3).map { Float(image.pixels[$0]) }
            return ImageFeatures(rows: red.count, columns: 1, values: red)
        }
    }
}

/// A PNG file whose pixels depend on `number`.
private func testImage(_ number: Int, width: Int = 2, height: Int = 2) throws -> EncodedImage {
    func bigEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
    func checksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
    }
    func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
        let content = Array(name.utf8) + body
        return bigEndian(UInt32(body.count)) + content + bigEndian(checksum(content))
    }
    var pixels: [UInt8] = []
    for row in 0..<height {
        pixels.append(0)
        for column in 0..<3 * width { pixels.append(UInt8((number * 31 + row * 7 + column) % 251)) }
    }
    let sums = pixels.reduce((UInt32(1), UInt32(0))) { sums, byte in
        let low = (sums.0 + UInt32(byte)) % 65_521
        return (low, (sums.1 + low) % 65_521)
    }
    let size = UInt16(pixels.count)
    let stored: [UInt8] =
        [0x78, 0x01, 1, UInt8(size & 255), UInt8(size >> 8), UInt8(~size & 255), UInt8(~size >> 8)] + pixels
        + bigEndian(sums.1 << 16 | sums.0)
    let header = bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
    let file =
        [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", header) + chunk("IDAT", stored)
        + chunk("IEND", [])
    return try EncodedImage(file)
}
