import Foundation
import Hub
import JSON
import Synchronization
import Testing

/// Hubs that refuse, and hubs that lie.
@Suite(.timeLimit(.minutes(1))) struct HubFaultTests {
    private let name = RepositoryName("owner/model")!
    private let revision = "/api/models/owner/model/revision/main"

    private func makeHub() -> LocalHub {
        LocalHub(["config.json": "{}", "model.safetensors": "weights"], large: ["model.safetensors"])
    }

    private func pull(_ hub: LocalHub, token: String? = nil) async throws -> PulledModel {
        let scratch = try ScratchFolder()
        return try await hub.run { port in
            try await ModelHub(scratch.settings(port: port, token: token)).pull(name)
        }
    }

    @Test(
        arguments: [
            (401, [:], HubError.unauthorized("owner/model", hasToken: false), "HF_TOKEN"),
            (
                401, ["X-Error-Code": "RepoNotFound"], .noSuchRepository("owner/model", hasToken: false),
                "private"
            ),
            (404, [:], .noSuchRepository("owner/model", hasToken: false), "no such repository"),
            (
                404, ["X-Error-Code": "RevisionNotFound"], .noSuchRevision("owner/model", revision: "main"),
                "main"
            ),
        ] as [(Int, [String: String], HubError, String)])
    func refusalsHaveNames(_ status: Int, _ headers: [String: String], _ error: HubError, _ word: String)
        async
    {
        let hub = makeHub()
        hub.change { $0.faults[revision] = [.status(status, headers)] }
        await #expect(throws: error) { try await pull(hub) }
        #expect(error.description.contains(word))
        #expect(hub.seen.count == 1)
    }

    @Test(arguments: [nil, "t"])
    func gatedRepositoriesSayWhatToDo(_ token: String?) async {
        let hub = makeHub()
        let headers = ["X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"]
        hub.change {
            $0.faults[LocalHub.address("config.json")] = [.status(token == nil ? 401 : 403, headers)]
        }
        await #expect {
            try await pull(hub, token: token)
        } throws: { error in
            guard case HubError.gated("owner/model", _, let hasToken)? = error as? HubError else {
                return false
            }
            let text = "\(error)"
            return hasToken == (token != nil) && text.contains("HF_TOKEN") && text.contains("/owner/model")
        }
    }

    @Test func aMissingFileIsNamed() async {
        let hub = makeHub()
        hub.change { $0.faults[LocalHub.address("config.json")] = [.status(404, [:])] }
        await #expect(throws: HubError.noSuchFile("owner/model", file: "config.json")) { try await pull(hub) }
    }

    @Test func busyServersAreAskedAgain() async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        let events = Mutex<[PullEvent]>([])
        hub.change {
            $0.faults[revision] = [.status(429, ["Retry-After": "1"]), .status(502, [:]), .status(500, [:])]
        }
        let start = ContinuousClock.now
        try await hub.run { port in
            _ = try await ModelHub(scratch.settings(port: port)) { event in
                events.withLock { $0.append(event) }
            }.pull(name)
        }
        #expect(ContinuousClock.now - start >= .seconds(1))
        let pauses = events.withLock { $0 }.compactMap { event -> Duration? in
            if case .retrying(_, let pause) = event { pause } else { nil }
        }
        #expect(pauses == [.seconds(1), .milliseconds(10), .milliseconds(20)])
    }

    @Test func oneGivesUpInTheEnd() async {
        let hub = makeHub()
        hub.change { $0.faults[revision] = Array(repeating: .status(503, [:]), count: 20) }
        await #expect {
            try await pull(hub)
        } throws: { error in
            guard case HubError.unreachable(_, let reason, 6)? = error as? HubError else { return false }
            return reason.contains("503")
        }
        #expect(hub.seen.count == 6)
    }

    /// Large files lie elsewhere: a port, or another name of this machine.
    @Test(arguments: ["127.0.0.1", "localhost"])
    func theTokenGoesToNobodyElse(_ host: String) async throws {
        let (hub, store, scratch) = (makeHub(), makeHub(), try ScratchFolder())
        let file = LocalHub.address("model.safetensors")
        try await store.run { storePort in
            hub.change {
                $0.faults[file] = [.redirect("http://\(host):\(storePort)\(file)?signed=1")]
                $0.faults[LocalHub.address("config.json")] = [.redirect(LocalHub.address("config.json"))]
            }
            try await hub.run { port in
                let model = try await ModelHub(scratch.settings(port: port, token: "secret")).pull(name)
                #expect(
                    FileManager.default.contents(atPath: model.path + "/model.safetensors")
                        == Data("weights".utf8))
            }
        }
        #expect(store.seen == [LocalHub.Seen(path: file)])
        // Within the hub it goes along.
        #expect(hub.seen.filter { $0.path.hasSuffix("config.json") }.count == 2)
        #expect(hub.seen.allSatisfy { $0.authorization == "Bearer secret" })
    }

    @Test(arguments: ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://u:p@127.0.0.1/x", "//"])
    func oddRedirectsAreNotFollowed(_ location: String) async {
        let hub = makeHub()
        hub.change { $0.faults[LocalHub.address("config.json")] = [.redirect(location)] }
        await #expect {
            try await pull(hub)
        } throws: { if case HubError.unsafeRedirect? = $0 as? HubError { true } else { false } }
    }

    @Test func circlesEnd() async {
        let hub = makeHub()
        hub.change { $0.faults[revision] = Array(repeating: .redirect(revision), count: 50) }
        await #expect(throws: HubError.self) { try await pull(hub) }
        #expect(hub.seen.count == 9)
    }

    @Test(arguments: ["../../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\b.json", "a\0.json", ""])
    func namesThatLeadElsewhereAreRefused(_ path: String) async throws {
        let (hub, scratch) = (makeHub(), try ScratchFolder())
        hub.change { $0.extraEntries = [LocalHub.small(path, Data("{}".utf8))] }
        await #expect(throws: HubError.unsafeName(path)) {
            try await hub.run { try await ModelHub(scratch.settings(port: $0)).pull(name) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
    }

    @Test(arguments: [
        "sha256:../../../etc/passwd", "../../../../etc/passwd", "", "abc", String(repeating: "A", count: 64),
        String(repeating: "a", count: 63) + "/", String(repeating: "a", count: 40),
    ])
    func checksumsAreDigits(_ digest: String) async {
        let hub = makeHub()
        hub.change {
            $0.extraEntries = [
                [
                    "type": "file", "path": "x.json", "size": 1, "oid": .string(LocalHub.gitBlob(Data())),
                    "lfs": ["oid": .string(digest), "size": 1],
                ]
            ]
        }
        await #expect {
            try await pull(hub)
        } throws: { if case HubError.malformed? = $0 as? HubError { true } else { false } }
    }

    @Test(arguments: [-1, Int.max] as [Int])
    func sizesAreBounded(_ size: Int) async {
        let hub = makeHub()
        hub.change {
            $0.extraEntries = [
                [
                    "type": "file", "path": "x.json", "size": .integer(size),
                    "oid": .string(LocalHub.gitBlob(Data())),
                ]
            ]
        }
        await #expect {
            try await pull(hub)
        } throws: { error in
            switch error as? HubError {
            case .malformed: size < 0
            case .diskFull(_, let needed, _): size > 0 && needed == Int.max
            default: false
            }
        }
    }

    /// A folder of the cache that somebody made a link to another place.
    @Test func linksThatLeadElsewhereAreNotFollowed() async throws {
        let (hub, scratch, outside) = (makeHub(), try ScratchFolder(), try ScratchFolder())
        hub.change {
            $0.files["sub/x.gguf"] = Data("gguf".utf8)
        }
        let snapshot = scratch.path + "/models--owner--model/snapshots/" + LocalHub.commit
        try FileManager.default.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: snapshot + "/sub", withDestinationPath: outside.path)
        await #expect(throws: HubError.unsafeName("sub/x.gguf")) {
            try await hub.run {
                try await ModelHub(scratch.settings(port: $0)).pull(name, .variant("sub/x.gguf"))
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside.path).isEmpty)
    }
}
