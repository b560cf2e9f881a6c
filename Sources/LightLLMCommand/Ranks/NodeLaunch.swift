import Foundation
import Hashing
import Ranks

/// A rank of a machine whose ranks are started without mpirun: the program starts them itself, and they find those of
/// other machines at an address that all are told.
struct NodeLaunch {
    /// Tells a process which of its machine's ranks it is.
    static let rankVariable = "LIGHTLLM_LOCAL_RANK"
    /// What all ranks must know, in the environment: any text.
    static let secretVariable = "LIGHTLLM_GROUP_SECRET"
    /// Where rank 0 listens, in the environment of those that one process starts.
    static let portVariable = "LIGHTLLM_GROUP_PORT"
    /// Where rank 0 listens unless told otherwise, as LightLLM does.
    private static let usualPort = 28_765

    let rank: Int
    let rendezvous: Rendezvous
    private let isStartedByOther: Bool

    /// Does not return in the process that starts the others, which ends when they have.
    init(_ arguments: RankArguments, _ environment: [String: String]) throws {
        if environment[Self.rankVariable] == nil {
            let secret = environment[Self.secretVariable] ?? ""
            if secret.isEmpty, arguments.nodes > 1 {
                write(
                    "--nnodes without \(Self.secretVariable): whoever reaches \(arguments.host) can join\n",
                    to: .standardError)
            }
            if arguments.sizeOfNode > 1 {
                var environment = environment
                // Those of one machine need not be told by anybody else.
                if arguments.nodes == 1 {
                    if secret.isEmpty {
                        environment[Self.secretVariable] = "\(UInt64.random(in: 0 ... .max))"
                    }
                    if arguments.port == 0 {
                        environment[Self.portVariable] = "\(try Self.freePort(arguments.host))"
                    }
                }
                try Self.startRanks(arguments.sizeOfNode, environment)
            }
        }
        let number = environment[Self.rankVariable]
        let local = number.map { Int($0) ?? -1 } ?? 0
        guard (0..<arguments.sizeOfNode).contains(local) else {
            throw GroupFailure.rendezvous(
                "\(Self.rankVariable) is '\(number ?? "")', expected a number below \(arguments.sizeOfNode)")
        }
        isStartedByOther = number != nil
        rank = arguments.node * arguments.sizeOfNode + local
        rendezvous = Rendezvous(
            host: arguments.host, port: try Self.port(arguments.port, environment),
            secret: Self.secret(environment[Self.secretVariable] ?? ""))
    }

    /// Where rank 0 listens: at the port that is `asked` for, unless that is 0; or else where the process that started this
    /// one says.
    static func port(_ asked: Int, _ environment: [String: String]) throws(GroupFailure) -> Int {
        guard asked == 0, let text = environment[portVariable] else { return asked == 0 ? usualPort : asked }
        guard let port = Int(text), (1...65_535).contains(port) else {
            throw .rendezvous("\(portVariable) is '\(text)', expected a port")
        }
        return port
    }

    /// A port that nobody listens at, so that groups which start at the same time do not meet.
    private static func freePort(_ host: String) throws(GroupFailure) -> Int {
        try RendezvousHost(Rendezvous(host: host, port: 0, secret: secret(""))).port
    }

    /// Sixteen bytes that stand for a text: FNV-1a from two beginnings.
    static func secret(_ text: String) -> [UInt8] {
        [0xCBF2_9CE4_8422_2325, 0x9E37_79B9_7F4A_7C15].flatMap { (start: UInt64) -> [UInt8] in
            let hash = fnv1a(text.utf8, basis: start)
            return (0..<8).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt64($0))) }
        }
    }

    /// Calls `body` when the process that started this one has ended.
    func watchParent(_ body: @escaping @Sendable () -> Void) {
        guard isStartedByOther else { return }
        let parent = getppid()
        let thread = Thread {
            while getppid() == parent { usleep(500_000) }
            body()
        }
        thread.name = "lightllm-parent"
        thread.start()
    }

    /// Starts this program `count` times and ends as they do: with the first code that is not 0, when the others have
    /// had five seconds to notice.
    private static func startRanks(_ count: Int, _ environment: [String: String]) throws -> Never {
        var children: [Process] = []
        for local in 0..<count {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: MPILaunch.program)
            process.arguments = Array(CommandLine.arguments.dropFirst())
            process.environment = environment.merging([rankVariable: "\(local)"]) { $1 }
            do { try process.run() } catch {
                for child in children { kill(child.processIdentifier, SIGKILL) }
                throw error
            }
            children.append(process)
        }
        let signals = forward([SIGTERM, SIGINT], to: children.map(\.processIdentifier))
        var code: Int32 = 0
        var end: ContinuousClock.Instant?
        while children.contains(where: \.isRunning) {
            usleep(20_000)
            let failed = children.first { !$0.isRunning && $0.terminationStatus != 0 }
            if code == 0, let failed {
                code = failed.terminationStatus
                end = .now + .seconds(5)
            }
            if let end, end < .now { for child in children { kill(child.processIdentifier, SIGKILL) } }
        }
        withExtendedLifetime(signals) {}
        code = code != 0 ? code : children.first { $0.terminationStatus != 0 }?.terminationStatus ?? 0
        exit(code)
    }

    private static func forward(_ signals: [Int32], to processes: [pid_t]) -> [any DispatchSourceSignal] {
        signals.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { for process in processes { kill(process, number) } }
            source.activate()
            return source
        }
    }
}
