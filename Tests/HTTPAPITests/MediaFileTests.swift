import Foundation
import HTTPTypes
import Testing

@testable import HTTPAPI

/// Images from files and from requests themselves.
@Suite struct MediaFileTests {
    /// A folder with an image, and one beside it that is nobody's business.
    private struct Folders: ~Copyable {
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("media-\(UUID().uuidString)")
        var open: URL { base.appendingPathComponent("open") }

        init() throws {
            let files = FileManager.default
            for name in ["open/inner", "open-not", "secret"] {
                try files.createDirectory(
                    at: base.appendingPathComponent(name), withIntermediateDirectories: true)
            }
            for name in ["open/a.png", "open/inner/b c.png", "open-not/a.png", "secret/a.png"] {
                try Data(name.utf8).write(to: base.appendingPathComponent(name))
            }
            for (link, target) in [
                ("open/out", "../secret"), ("open/out.png", "../secret/a.png"), ("open/in", "inner"),
                ("open/in.png", "inner/b c.png"), ("open/loop", "loop"), ("open/etc", "/etc"),
                ("open/inner/up", "../../secret"),
            ] {
                try files.createSymbolicLink(
                    atPath: base.appendingPathComponent(link).path, withDestinationPath: target)
            }
            guard mkfifo(open.appendingPathComponent("pipe").path, 0o600) == 0 else {
                throw TestFailure(message: "no pipe")
            }
        }

        deinit { try? FileManager.default.removeItem(at: base) }
    }

    private static func loader(_ folder: String?, largest: Int = 1000) throws -> MediaLoader {
        var policy = MediaPolicy()
        policy.largestImage = largest
        if let folder {
            let opened: MediaFolder = try #require(MediaFolder(path: folder))
            policy.folder = opened
        }
        return MediaLoader(policy)
    }

    private static func text(_ loader: MediaLoader, _ path: String) async throws -> String {
        let source = try MediaSource(url: "file://" + path, field: "f", parameter: "p")
        let images = try await loader.images([MediaReference(source: source, field: "f", parameter: "p")])
        return String(decoding: images[0], as: UTF8.self)
    }

    private static func error(_ loader: MediaLoader, _ path: String) async -> APIError? {
        do {
            Issue.record("\(path) was read: \(try await text(loader, path))")
            return nil
        } catch { return error as? APIError }
    }

    @Test func filesOfTheFolderAreRead() async throws {
        let folders = try Folders()
        let open = folders.open.path
        let loader = try Self.loader(open)
        #expect(try await Self.text(loader, "\(open)/a.png") == "open/a.png")
        #expect(try await Self.text(loader, "localhost\(open)/inner/b%20c.png") == "open/inner/b c.png")
        // Links that stay within are followed.
        #expect(try await Self.text(loader, "\(open)/in/b%20c.png") == "open/inner/b c.png")
        #expect(try await Self.text(loader, "\(open)/in.png") == "open/inner/b c.png")
        #expect(try await Self.text(try Self.loader("/"), "\(open)/a.png") == "open/a.png")
        #expect(
            try await Self.text(try Self.loader("\(open)/in"), "\(open)/inner/b%20c.png")
                == "open/inner/b c.png")
    }

    @Test func nothingElseIs() async throws {
        let folders = try Folders()
        let (base, open) = (folders.base.path, folders.open.path)
        let loader = try Self.loader(open)
        for path in [
            "\(base)/secret/a.png", "\(open)/../secret/a.png", "\(open)/inner/../../secret/a.png",
            "\(open)/%2e%2e/secret/a.png", "\(open)/inner/../a.png", "\(open)/out/a.png", "\(open)/out.png",
            "\(open)/inner/up/a.png", "\(open)/etc/passwd", "\(open)-not/a.png", "/etc/passwd", "/dev/zero",
            "\(open)/pipe", "\(open)/loop", open, "\(open)/", "\(open)/inner", "\(open)/none.png",
            "\(open)/a.png/b", "/", "\(open)/\(String(repeating: "x", count: 300))",
        ] {
            let error = await Self.error(loader, path)
            #expect(error?.message == "f: there is no such file among those that may be read", "\(path)")
            #expect(error?.status == .badRequest)
        }
        let closed = await Self.error(try Self.loader(nil), "\(open)/a.png")
        #expect(closed?.message.contains("no images from files") == true)
        let large = await Self.error(try Self.loader(open, largest: 9), "\(open)/a.png")
        #expect(large?.message == "f: an image may have 9 bytes at most, found 10")
        let all = try Self.loader("/")
        for path in ["/dev/zero", "/proc/self/mem"] {
            let error = await Self.error(all, path)
            #expect(error?.status == .badRequest, "\(path)")
        }
        #expect(MediaFolder(path: "\(open)/none") == nil && MediaFolder(path: "\(open)/a.png") == nil)
    }

    /// A folder that is exchanged for a link again and again while files are read through it.
    @Test func exchangesDoNotLeadOut() async throws {
        let folders = try Folders()
        let (base, open) = (folders.base.path, folders.open.path)
        let folder = try #require(MediaFolder(path: open))
        try Data("open/inner/a.png".utf8).write(to: folders.open.appendingPathComponent("inner/a.png"))
        let exchange = Task.detached {
            for _ in 0..<3000 {
                rename("\(open)/inner", "\(base)/away")
                symlink("../secret", "\(open)/inner")
                unlink("\(open)/inner")
                rename("\(base)/away", "\(open)/inner")
            }
        }
        var reads = 0
        for _ in 0..<3000 {
            guard let bytes = try? folder.bytes(of: "\(open)/inner/a.png", most: 100) else { continue }
            reads += 1
            #expect(String(decoding: bytes, as: UTF8.self) == "open/inner/a.png")
        }
        await exchange.value
        #expect(reads > 0)
    }

    @Test func requestsBringImagesThemselves() async throws {
        let loader = try Self.loader(nil, largest: 6)
        func load(_ texts: String...) async throws -> [[UInt8]] {
            try await loader.images(
                texts.map {
                    MediaReference(
                        source: try MediaSource(base64: $0, field: "f", parameter: "p"), field: "f",
                        parameter: "p")
                })
        }
        #expect(
            try await load("YWJj", "data:image/png;base64,YQ", "YW\nJj ZA==") == [
                Array("abc".utf8), Array("a".utf8), Array("abcd".utf8),
            ])
        func error(_ text: String) async -> APIError? {
            do {
                _ = try await load(text)
                return nil
            } catch { return error as? APIError }
        }
        for text in ["YWJ%", "=", " ", "Y", "YW=J", "http://a.b/c"] {
            #expect(await error(text)?.message == "f: expected base64, found something else", "\(text)")
        }
        // Measured before it is decoded, and the client's own to make smaller.
        let large = await error("data:image/png;base64," + String(repeating: "AAAA", count: 1 << 20))
        #expect(large?.status == .contentTooLarge)
        #expect(large?.message == "f: an image may have 6 bytes at most, found 3145728")
    }
}
