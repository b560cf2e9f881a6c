import Foundation
import Hub
import JSON
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct PullTests {
    private let name = RepositoryName("owner/model")!
    private let weights = String(repeating: "weights of a model. ", count: 20_000)

    private func makeHub() -> LocalHub {
        LocalHub(
            [
                "config.json": "{}", "tokenizer.json": "{\"a\":1}", "model.safetensors": weights,
                "code.py": "1/0",
                "sub/x.gguf": "gguf", "README.md": "read",
            ], large: ["model.safetensors", "sub/x.gguf"])
    }

    private func content(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    private func entries(_ path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    @Test func everythingIsLaidOutAsOtherToolsDo() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        hub.change { $0.pageSize = 2 }
        let events = Mutex<[PullEvent]>([])
        let model = try await hub.run { port in
            try await ModelHub(scratch.settings(port: port, token: "secret")) { event in
                events.withLock { $0.append(event) }
            }.pull(name)
        }
        let root = scratch.path + "/models--owner--model"
        #expect(model.folder == root + "/snapshots/" + LocalHub.commit && model.path == model.folder)
        #expect(model.commit == LocalHub.commit)
        #expect(content(root + "/refs/main") == LocalHub.commit)
        #expect(entries(model.folder) == ["config.json", "model.safetensors", "tokenizer.json"])
        #expect(content(model.folder + "/model.safetensors") == weights)
        let blob = LocalHub.sha256(Data(weights.utf8))
        let link = try FileManager.default.destinationOfSymbolicLink(
            atPath: model.folder + "/model.safetensors")
        #expect(link == "../../blobs/" + blob)
        #expect(
            entries(root + "/blobs")
                == [blob, LocalHub.gitBlob(Data("{}".utf8)), LocalHub.gitBlob(Data("{\"a\":1}".utf8))]
                .sorted())
        let size = weights.utf8.count + 2 + 7
        let all = events.withLock { $0 }
        #expect(all.contains(.planned(files: 3, bytes: size, present: 0)))
        #expect(all.contains(.leftOut(programs: ["code.py"])))
        #expect(all.reduce(0) { if case .received(let count) = $1 { $0 + count } else { $0 } } == size)
        #expect(hub.seen.allSatisfy { $0.authorization == "Bearer secret" })
    }

    @Test func whatIsThereIsNotFetchedAgain() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        try await hub.run { port in
            let models = ModelHub(try scratch.settings(port: port))
            let first = try await models.pull(name)
            let before = hub.seen.count
            #expect(try await models.pull(name) == first)
            #expect(hub.seen.dropFirst(before).allSatisfy { $0.path.hasPrefix("/api/") })
            let file = try await models.pull(name, .variant("x.gguf"))
            #expect(file.path == first.folder + "/sub/x.gguf" && content(file.path) == "gguf")
            let link = try FileManager.default.destinationOfSymbolicLink(atPath: file.path)
            #expect(link.hasPrefix("../../../blobs/"))
        }
    }

    @Test func aCutConnectionGoesOnWhereItWas() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let path = LocalHub.address("model.safetensors")
        hub.change { $0.faults[path] = [.cut(after: 1000), .status(503, [:]), .cut(after: 500)] }
        let model = try await hub.run { port in
            try await ModelHub(scratch.settings(port: port)).pull(name)
        }
        #expect(content(model.folder + "/model.safetensors") == weights)
        let ranges = hub.seen.filter { $0.path == path }.map(\.range)
        #expect(ranges == [nil, "bytes=1000-", "bytes=1000-", "bytes=1500-"])
    }

    @Test func aLaterPullGoesOnWhereAnEarlierOneStopped() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let path = LocalHub.address("model.safetensors")
        hub.change { $0.faults[path] = [.cut(after: 2000)] }
        try await hub.run { port in
            var settings = try scratch.settings(port: port)
            settings.retries.attempts = 1
            await #expect(throws: HubError.self) { try await ModelHub(settings).pull(name) }
            let blob = scratch.path + "/models--owner--model/blobs/" + LocalHub.sha256(Data(weights.utf8))
            #expect(content(blob) == nil && content(blob + ".incomplete")?.count == 2000)
            // No revision leads to a part of a model.
            #expect(content(scratch.path + "/models--owner--model/refs/main") == nil)
            let model = try await ModelHub(settings).pull(name)
            #expect(content(model.folder + "/model.safetensors") == weights)
            #expect(content(blob + ".incomplete") == nil)
        }
        #expect(hub.seen.filter { $0.path == path }.map(\.range) == [nil, "bytes=2000-"])
    }

    @Test func aSpoiledRestIsFetchedAgain() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let path = LocalHub.address("model.safetensors")
        let blobs = scratch.path + "/models--owner--model/blobs"
        try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
        let partial = blobs + "/" + LocalHub.sha256(Data(weights.utf8)) + ".incomplete"
        try Data("not at all".utf8).write(to: URL(fileURLWithPath: partial))
        // And a server that knows no ranges begins anew by itself.
        let small = blobs + "/" + LocalHub.gitBlob(Data("{\"a\":1}".utf8)) + ".incomplete"
        try Data("{".utf8).write(to: URL(fileURLWithPath: small))
        hub.change { $0.faults[LocalHub.address("tokenizer.json")] = [.ignoresRanges] }
        let model = try await hub.run { port in
            try await ModelHub(scratch.settings(port: port)).pull(name)
        }
        #expect(content(model.folder + "/model.safetensors") == weights)
        #expect(content(model.folder + "/tokenizer.json") == "{\"a\":1}")
        #expect(hub.seen.filter { $0.path == path }.map(\.range) == ["bytes=10-", nil])
    }

    @Test(arguments: ["model.safetensors", "config.json"])
    func otherContentIsRefused(_ file: String) async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let size = file == "config.json" ? 2 : weights.utf8.count
        let wrong = Data(repeating: 0x20, count: size)
        hub.change { $0.faults[LocalHub.address(file)] = [.content(wrong)] }
        try await hub.run { port in
            let models = ModelHub(try scratch.settings(port: port))
            await #expect {
                try await models.pull(name)
            } throws: { error in
                guard case HubError.checksum(file, _, let found)? = error as? HubError else { return false }
                return [LocalHub.sha256(wrong), LocalHub.gitBlob(wrong)].contains(found)
            }
            let blobs = entries(scratch.path + "/models--owner--model/blobs")
            let right =
                file == "config.json"
                ? LocalHub.gitBlob(Data("{}".utf8)) : LocalHub.sha256(Data(weights.utf8))
            #expect(!blobs.contains(right) && !blobs.contains(right + ".incomplete"))
            #expect(!blobs.contains(LocalHub.sha256(wrong)) && !blobs.contains(LocalHub.gitBlob(wrong)))
            // The next pull gets the right one.
            let model = try await models.pull(name)
            #expect(content(model.folder + "/model.safetensors") == weights)
        }
    }

    @Test func sizesAreThoseOfTheList() async throws {
        for extra in [-1, 1, 100_000] {
            let (hub, scratch) = (makeHub(), try ScratchFolder())
            let wrong = Data(repeating: 0x20, count: weights.utf8.count + extra)
            hub.change { $0.faults[LocalHub.address("model.safetensors")] = [.content(wrong)] }
            try await hub.run { port in
                let models = ModelHub(try scratch.settings(port: port))
                await #expect(
                    throws: HubError.size(
                        file: "model.safetensors", expected: weights.utf8.count, found: wrong.count)
                ) { try await models.pull(name) }
            }
        }
    }

    @Test func filesComeAtTheSameTime() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        hub.change { script in
            for file in ["model.safetensors", "config.json", "tokenizer.json"] {
                script.faults[LocalHub.address(file)] = [.delay(.milliseconds(300))]
            }
        }
        try await hub.run { port in
            var settings = try scratch.settings(port: port)
            settings.filesAtOnce = 2
            _ = try await ModelHub(settings).pull(name)
        }
        #expect(hub.mostAtOnce == 2)
    }

    @Test func twoPullsFetchOnce() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let path = LocalHub.address("model.safetensors")
        hub.change { $0.faults[path] = [.delay(.milliseconds(300))] }
        try await hub.run { port in
            let models = ModelHub(try scratch.settings(port: port))
            async let first = models.pull(name)
            async let second = models.pull(name)
            #expect(try await first == second)
        }
        #expect(hub.seen.filter { $0.path == path }.count == 1)
    }

    @Test func offlineTheCacheIsAllThereIs() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let (pulled, offline) = try await hub.run { port in
            let settings = try scratch.settings(port: port)
            var offline = settings
            offline.isOffline = true
            await #expect(throws: HubError.notCached("owner/model@main", folder: scratch.path)) {
                try await ModelHub(offline).pull(name)
            }
            #expect(hub.seen.isEmpty)
            return (try await ModelHub(settings).pull(name), offline)
        }
        let count = hub.seen.count
        #expect(try await ModelHub(offline).pull(name) == pulled)
        #expect(try await ModelHub(offline).pull(RepositoryName("owner/model@" + LocalHub.commit)!) == pulled)
        await #expect(throws: HubError.self) { try await ModelHub(offline).pull(name, .variant("Q4_0")) }
        await #expect(throws: HubError.self) {
            try await ModelHub(offline).pull(RepositoryName("owner/model@v2")!)
        }
        #expect(hub.seen.count == count)
        // Nobody listens any more: what was pulled must do, and is said to.
        var unreachable = offline
        (unreachable.isOffline, unreachable.retries.attempts) = (false, 2)
        let events = Mutex<[PullEvent]>([])
        let again = try await ModelHub(unreachable) { event in events.withLock { $0.append(event) } }.pull(
            name)
        #expect(again == pulled)
        #expect(
            events.withLock { $0 }.contains { if case .usesCache = $0 { true } else { false } })
    }
}
