import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import NIOCore
import Synchronization
import Testing
import TextGeneration

@testable import HTTPAPI

/// Images from elsewhere, and those who would have the server fetch what is none of theirs (attack items 32, 33, 35).
@Suite struct MediaFetchTests {
    private static func loader(
        _ names: FakeNames = FakeNames(), domains: [String] = ["images.test", "*.cdn.test"],
        _ change: (inout MediaPolicy) -> Void = { _ in }
    ) -> MediaLoader {
        var policy = MediaPolicy()
        policy.domains = domains.compactMap { MediaDomain($0) }
        // Long enough on a machine that is busy.
        policy.timeout = .seconds(120)
        change(&policy)
        return MediaLoader(policy, network: names.network)
    }

    /// What becomes of an image as the one of a request.
    private static func outcome(_ loader: MediaLoader, _ url: String) async -> Result<[UInt8], APIError> {
        do {
            let source = try MediaSource(url: url, field: "the field", parameter: "messages")
            let reference = MediaReference(source: source, field: "the field", parameter: "messages")
            return .success(try await loader.images([reference])[0])
        } catch let error as APIError {
            return .failure(error)
        } catch {
            return .failure(APIError(status: .internalServerError, message: "\(error)"))
        }
    }

    private static func error(_ loader: MediaLoader, _ url: String) async -> APIError? {
        guard case .failure(let error) = await outcome(loader, url) else { return nil }
        return error
    }

    @Test func fetchesWhatIsAllowed() async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames()
            let loader = Self.loader(names)
            for path in [
                "image", "again?q=1", "again?q=3", "redirect?q=/image",
                "redirect?q=//a.cdn.test:\(port)/image",
            ] {
                let outcome = await Self.outcome(loader, "http://images.test:\(port)/\(path)")
                let bytes = try outcome.get()
                #expect(bytes == ImageServer.image, "\(path)")
            }
            // Once for each address that is connected to.
            #expect(names.asked.count == 1 + 2 + 4 + 2 + 2 && names.asked.last == "a.cdn.test")
            #expect(
                server.seen.allSatisfy { $0.headers[.cookie] == nil && $0.headers[.authorization] == nil })
        }
    }

    @Test func fetchesNothingUnlessToldTo() async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames()
            let error = await Self.error(Self.loader(names, domains: []), "http://images.test:\(port)/image")
            #expect(
                error?.message.contains("this server fetches no images") == true
                    && error?.status == .badRequest)
            #expect(names.asked.isEmpty && server.seen.isEmpty)
        }
    }

    /// Attack item 32: addresses of this machine and of its network, however they are written.
    @Test(arguments: [
        "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:PORT/image", "http://[::1]:PORT/image",
        "http://[::ffff:127.0.0.1]:PORT/image", "http://0x7f000001:PORT/image",
        "http://2130706433:PORT/image",
        "http://0177.0.0.1:PORT/image", "http://127.1:PORT/image", "http://localhost:PORT/image",
        "http://localhost:PORT\\@images.test/", "http://images.test\\@localhost:PORT/image",
        "http://images.test@localhost:PORT/image", "http://localhost:PORT/image#@images.test",
        "http://localhost:PORT/image?images.test", "http://images.test.evil:PORT/image",
        "http://notimages.test:PORT/image", "http://cdn.test:PORT/image",
        "http://images.test%2eevil:PORT/image",
        "http://images.test:PORT@localhost:PORT/image", "http://images.test:PORT\t@localhost:PORT/image",
        "file:///etc/passwd", "gopher://images.test:PORT/image", "ftp://images.test/",
        "//images.test:PORT/image",
        "javascript:alert(1)", "unix:///var/run/docker.sock", "http+unix://images.test/image", "",
    ])
    func othersAreNotAsked(_ url: String) async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames()
            let error = await Self.error(Self.loader(names), url.replacing("PORT", with: "\(port)"))
            #expect(error?.status == .badRequest, "\(error?.message ?? "it was fetched")")
            #expect(server.seen.isEmpty && names.asked.isEmpty)
        }
    }

    /// A name whose addresses are not the internet's, all or one of them.
    @Test(arguments: [
        ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["fd00::1"],
        ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"], [], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1", "fe80::1"],
    ])
    func namesOfInnerNetworksAreRefused(_ addresses: [String]) async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames { _, _ in addresses }
            let error = await Self.error(Self.loader(names), "http://images.test:\(port)/image")
            #expect(error?.message == "the field: its host has no address that images are fetched from")
            #expect(names.asked == ["images.test"] && server.seen.isEmpty)
        }
    }

    /// A name that means another address when it is asked for again.
    @Test func namesAreAskedForOnce() async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames { _, times in times == 0 ? ["127.0.0.1"] : ["10.0.0.1"] }
            let loader = Self.loader(names)
            let bytes = try await Self.outcome(loader, "http://images.test:\(port)/image").get()
            #expect(bytes == ImageServer.image)
            #expect(names.asked.count == 1)
            // What it means now is found out for every connection.
            let error = await Self.error(loader, "http://images.test:\(port)/image")
            #expect(error?.message.contains("no address") == true)
            let flipping = FakeNames { _, times in times == 0 ? ["127.0.0.1"] : ["10.0.0.1"] }
            let redirected = await Self.error(
                Self.loader(flipping), "http://images.test:\(port)/redirect?q=/image")
            #expect(redirected?.message.contains("no address") == true && flipping.asked.count == 2)
        }
    }

    @Test(arguments: [
        "http://169.254.169.254/latest", "http://127.0.0.1:PORT/image", "http://localhost:PORT/image",
        "//localhost:PORT/image", "http://images.test@localhost/", "file:///etc/passwd",
        "gopher://images.test/",
        "data:image/png;base64,AAAA", "http://0x7f.1:PORT/image", "/\\localhost:PORT/image",
    ])
    func redirectionsPassTheSameChecks(_ location: String) async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames()
            let target = location.replacing("PORT", with: "\(port)").replacing("\\", with: "%5C")
            let error = await Self.error(
                Self.loader(names), "http://images.test:\(port)/redirect?q=\(target)")
            #expect(error?.message == "the field: its server redirects to where no images are fetched from")
            #expect(names.asked == ["images.test"] && server.seen.count == 1)
        }
    }

    @Test func redirectionsEnd() async throws {
        let server = ImageServer()
        try await server.run { port in
            let error = await Self.error(Self.loader(), "http://images.test:\(port)/again?q=4")
            #expect(error?.message.contains("more than 3 times") == true && server.seen.count == 4)
        }
    }

    @Test func imagesMayNotBeTooLarge() async throws {
        let server = ImageServer()
        try await server.run { port in
            let loader = Self.loader { ($0.largestImage, $0.largestRequest) = (5000, 12) }
            for path in ["large?q=5001", "large?q=9000000000000", "endless"] {
                let error = await Self.error(loader, "http://images.test:\(port)/\(path)")
                #expect(error?.message.contains("an image may have 5000 bytes at most") == true, "\(path)")
                #expect(error?.status == .badRequest)
            }
            let reference = MediaReference(
                source: try MediaSource(url: "http://images.test:\(port)/image", field: "f", parameter: "p"),
                field: "f", parameter: "p")
            #expect(try await loader.images([reference]) == [ImageServer.image])
            await #expect(throws: APIError.self) { try await loader.images([reference, reference]) }
        }
    }

    @Test func imagesMayNotTakeTooLong() async throws {
        let server = ImageServer()
        try await server.run { port in
            let loader = Self.loader { $0.timeout = .milliseconds(300) }
            // Without a limit the one would come after all, and the other never end.
            for path in ["slow?q=6000", "endless?q=50"] {
                let error = await Self.error(loader, "http://images.test:\(port)/\(path)")
                let isLate = error?.message == "the field: it did not come within 0.3 s"
                #expect(isLate || error?.message == "the field: it could not be fetched", "\(path)")
            }
            // A name that nobody ever answers for.
            var network = FakeNames().network
            network.addresses = { _ in
                try? await Task.sleep(for: .seconds(1000))
                return []
            }
            var policy = loader.policy
            policy.timeout = .milliseconds(100)
            let error = await Self.error(
                MediaLoader(policy, network: network), "http://images.test:\(port)/image")
            #expect(error?.status == .badRequest)
        }
    }

    /// Attack item 35: what others sent, and from where, stays out of errors.
    @Test func errorsTellNothing() async throws {
        let server = ImageServer()
        try await server.run { port in
            for path in ["status?q=500", "status?q=404", "none"] {
                let message =
                    await Self.error(Self.loader(), "http://images.test:\(port)/\(path)")?.message ?? ""
                #expect(
                    message.hasPrefix("the field: it could not be fetched: its server answered with status"))
                #expect(
                    !message.contains("secret") && !message.contains("10.0.0.9") && !message.contains("127.0")
                )
            }
        }
        // Nobody listens there any more.
        let closed = Mutex(0)
        try await server.run { port in closed.withLock { $0 = port } }
        let message = await Self.error(Self.loader(), "http://images.test:\(closed.withLock { $0 })/image")?
            .message
        #expect(message == "the field: it could not be fetched")
    }

    @Test func fetchesAreFewAtATime() async throws {
        let server = ImageServer()
        try await server.run { port in
            let loader = Self.loader { ($0.loads, $0.mostImages) = (2, 12) }
            let reference = MediaReference(
                source: try MediaSource(
                    url: "http://images.test:\(port)/slow?q=30", field: "f", parameter: "p"),
                field: "f", parameter: "p")
            #expect(try await loader.images(Array(repeating: reference, count: 12)).count == 12)
            #expect(server.mostAtOnce <= 2 && server.seen.count == 12)
            do {
                _ = try await loader.images(Array(repeating: reference, count: 13))
                Issue.record("13 images were fetched")
            } catch let error as APIError {
                #expect(error.message == "too many images! expected 12 at most, found 13")
            }
            #expect(server.seen.count == 12)
        }
    }

    /// Who leaves while waiting gives up its place, and nobody else's.
    @Test func waitingCanBeGivenUp() async throws {
        let turnstile = Turnstile(1)
        let (isIn, enter) = AsyncStream<Void>.makeStream()
        let (isOver, end) = AsyncStream<Void>.makeStream()
        let holder = Task {
            try await turnstile.pass {
                enter.finish()
                for await _ in isOver {}
            }
        }
        for await _ in isIn {}
        let waiter = Task { try await turnstile.pass {} }
        let other = Task { try await turnstile.pass { 5 } }
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        end.finish()
        try await holder.value
        #expect(try await other.value == 5)
    }

    /// Attack item 33: an address in a text is text.
    @Test func addressesInTextsAreNotFetched() async throws {
        let server = ImageServer()
        try await server.run { port in
            let names = FakeNames()
            var configuration = Server.Configuration()
            (configuration.port, configuration.modelName) = (0, "tiny")
            configuration.media = Self.loader(names).policy
            let text = JSONValue.string(
                "![](http://images.test:\(port)/image) <img>http://images.test:\(port)/image</img>")
            let running = Server(
                try TestServer().generator, configuration: configuration, logger: TestServer.quietLogger,
                network: names.network)
            try await running.application(onRunning: { _ in }).test(.live) { client in
                for (path, body) in [
                    ("/generate", ["inputs": text, "parameters": ["max_new_tokens": 1]]),
                    (
                        "/v1/chat/completions",
                        ["messages": [["role": "user", "content": text]], "max_tokens": 1]
                    ),
                    (
                        "/v1/chat/completions",
                        [
                            "messages": [["role": "user", "content": [["type": "text", "text": text]]]],
                            "max_tokens": 1,
                        ]
                    ), ("/v1/messages", ["messages": [["role": "user", "content": text]], "max_tokens": 1]),
                    ("/v1/completions", ["prompt": text, "max_tokens": 1]),
                ] as [(String, JSONValue)] {
                    let (status, json) = try await client.post(path, body)
                    #expect(status == .ok, "\(path) \(json.serialized)")
                }
            }
            #expect(names.asked.isEmpty && server.seen.isEmpty)
        }
    }
}
