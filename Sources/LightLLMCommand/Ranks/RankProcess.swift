import ArgumentParser
import Foundation
import LightLLM
import Ranks

/// This process as one of those that share out a model.
struct RankProcess: Sendable {
    let group: RankGroup
    private let leaveInOrder: @Sendable () -> Void

    /// The group that `arguments` ask for; nil when a model is computed here alone. Unless mpirun has started this
    /// process, mpirun takes its place and starts as many like it. For ranks on several machines without mpirun, or
    /// where the program knows no MPI, this process starts those of this machine.
    static func join(_ arguments: RankArguments) throws -> RankProcess? {
        let environment = ProcessInfo.processInfo.environment
        let started = try MPILaunch.size(environment)
        if arguments.size > 1,
            arguments.nodes > 1 || (started == nil && !MPILaunch.isBuilt)
                || environment[NodeLaunch.rankVariable] != nil
        {
            guard started == nil else {
                throw ValidationError("--nnodes is \(arguments.nodes), but mpirun started this process")
            }
            return try RankProcess(arguments, NodeLaunch(arguments, environment))
        }
        guard arguments.size > 1 else {
            guard started ?? 1 == 1 else {
                throw ValidationError("--tp is 1, but mpirun started \(started ?? 1) processes")
            }
            return nil
        }
        guard let started else { try MPILaunch.replaceThisProcess(ranks: arguments.size) }
        guard started == arguments.size else {
            throw ValidationError("--tp is \(arguments.size), but mpirun started \(started) processes")
        }
        return try RankProcess(arguments)
    }

    /// One of those that find each other by themselves.
    private init(_ arguments: RankArguments, _ launch: NodeLaunch) throws {
        let health = GroupHealth()
        let (rank, size) = (launch.rank, arguments.size)
        let channel =
            rank == 0
            ? try RendezvousHost(launch.rendezvous).meet(size: size, health)
            : try launch.rendezvous.join(rank: rank, size: size, health)
        let communicator = try SocketCommunicator.connect(
            channel, size: size, launch.rendezvous, health)
        group = RankGroup(
            communicator: communicator, channel: channel, health: health,
            ranksOfHost: arguments.sizeOfNode)
        launch.watchParent { health.fail(.exchange("the process that started this rank is gone")) }
        leaveInOrder = {}
    }

    #if MPI
        private init(_ arguments: RankArguments) throws {
            let health = GroupHealth()
            let mpi = try MPICommunicator(health)
            guard mpi.ranksOfHost == mpi.size || arguments.host != "127.0.0.1" else {
                throw ValidationError(
                    "the ranks are on several machines; --nccl_host must be the address of rank 0's")
            }
            let channel = try Self.meet(mpi, arguments, health)
            group = RankGroup(
                communicator: mpi, channel: channel, health: health, ranksOfHost: mpi.ranksOfHost)
            leaveInOrder = { mpi.leave() }
        }

        /// Rank 0 says by MPI where it listens, and what those say who belong to it.
        private static func meet(
            _ mpi: MPICommunicator, _ arguments: RankArguments, _ health: GroupHealth
        ) throws -> ControlChannel {
            if mpi.rank == 0 {
                let secret = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
                let host = try RendezvousHost(
                    Rendezvous(host: arguments.host, port: arguments.port, secret: secret))
                let digits = secret.map { String(format: "%02x", $0) }.joined()
                _ = try mpi.broadcast("\(host.port) \(digits)")
                return try host.meet(size: mpi.size, health)
            }
            let words = try mpi.broadcast("").split(separator: " ")
            guard words.count == 2, let port = Int(words[0]) else {
                throw GroupFailure.misunderstood(rank: 0, "where it listens")
            }
            let digits = Array(words[1])
            let secret = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
                UInt8(String(digits[$0...$0 + 1]), radix: 16)
            }
            guard secret.count == 16 else { throw GroupFailure.misunderstood(rank: 0, "its secret") }
            return try Rendezvous(host: arguments.host, port: port, secret: secret)
                .join(rank: mpi.rank, size: mpi.size, health)
        }
    #else
        private init(_ arguments: RankArguments) throws {
            throw ValidationError("mpirun started this program, which was built without MPI")
        }
    #endif

    /// Whether another process schedules.
    var isFollower: Bool { !group.isLeader }

    /// Threads for this rank: those of the machine, shared out.
    var threads: Int { max(1, ProcessInfo.processInfo.activeProcessorCount / group.ranksOfHost) }

    /// Ends this process soon after the group has failed, whatever it still waits for. `body` is called at once.
    func endWithGroup(_ body: @escaping @Sendable (GroupFailure) -> Void = { _ in }) {
        group.health.onFailure { failure in
            write("error: \(failure)\n", to: .standardError)
            body(failure)
            DispatchQueue.global().asyncAfter(deadline: .now() + 3) { _exit(1) }
        }
    }

    /// Ends the group in order; throws when it has failed.
    func leave(_ engine: Engine) async throws {
        engine.stop()
        while !engine.hasEnded { try await Task.sleep(for: .milliseconds(10)) }
        if let failure = group.health.failure { throw failure }
        leaveInOrder()
    }

    /// Loads this rank's part of the model at `path` and computes what rank 0 tells, until it ends the group.
    func follow(_ path: String, _ options: EngineOptions) throws {
        // mpirun asks all to end; rank 0 ends what runs first, and then the group.
        signal(SIGTERM, SIG_IGN)
        signal(SIGINT, SIG_IGN)
        let model = try LoadedModel(
            path: path, device: options.device, threads: options.threads, graphs: options.graphs,
            weightFormat: options.weightFormat, head: options.head, group: group)
        try model.follow(group, options)
        leaveInOrder()
    }
}
