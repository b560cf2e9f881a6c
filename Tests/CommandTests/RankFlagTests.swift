import ArgumentParser
import Foundation
import LightLLM
import Ranks
import Tensors
import Testing

@testable import LightLLMCommand

@Suite struct RankFlagTests {
    @Test func launchersAreRecognised() throws {
        #expect(try MPILaunch.size([:]) == nil)
        #expect(try MPILaunch.size(["OMPI_COMM_WORLD_SIZE": "4"]) == 4)
        #expect(try MPILaunch.size(["PMI_SIZE": "2"]) == 2)
        // An allocation of Slurm's is no group; a step that it started with PMIx is one.
        #expect(try MPILaunch.size(["SLURM_STEP_NUM_TASKS": "3"]) == nil)
        #expect(try MPILaunch.size(["SLURM_STEP_NUM_TASKS": "3", "PMIX_RANK": "0"]) == 3)
        #expect(throws: (any Error).self) { try MPILaunch.size(["OMPI_COMM_WORLD_SIZE": "many"]) }
    }

    @Test func mpirunGetsTheSameArguments() {
        let words = MPILaunch.arguments(
            ranks: 2, program: "/bin/lightllm", ["serve", "--tp", "2"], isRoot: false)
        #expect(words.prefix(3) == ["mpirun", "-np", "2"])
        #expect(words.suffix(4) == ["/bin/lightllm", "serve", "--tp", "2"])
        #expect(!words.contains("--allow-run-as-root"))
        #expect(
            MPILaunch.arguments(ranks: 2, program: "p", [], isRoot: true).contains("--allow-run-as-root"))
    }

    @Test(arguments: [["--tp", "0"], ["--tp", "513"], ["--nccl_port", "65536"]])
    func nonsenseIsRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) {
            try ServeArguments.parse(["--model_dir", "m"] + arguments)
        }
    }

    @Test func flagsAreRead() throws {
        let arguments = try ServeArguments.parse([
            "--model_dir", "m", "--tp", "4", "--nccl_host", "10.0.0.1", "--nccl_port", "28765",
        ])
        #expect(
            arguments.ranks.size == 4 && arguments.ranks.host == "10.0.0.1" && arguments.ranks.port == 28_765)
        #expect(arguments.ranks.sizeOfNode == 4)
    }

    /// What is asked for, or what the process that starts ranks has found free, or the port that all know.
    @Test func ranksAreToldWhereToMeet() throws {
        let told = [NodeLaunch.portVariable: "40123"]
        #expect(try NodeLaunch.port(0, [:]) == 28_765)
        #expect(try NodeLaunch.port(0, told) == 40_123)
        #expect(try NodeLaunch.port(7000, told) == 7000 && NodeLaunch.port(7000, [:]) == 7000)
        for nonsense in ["", "many", "0", "65536"] {
            #expect(throws: GroupFailure.rendezvous("LIGHTLLM_GROUP_PORT is '\(nonsense)', expected a port"))
            {
                try NodeLaunch.port(0, [NodeLaunch.portVariable: nonsense])
            }
        }
    }
}
