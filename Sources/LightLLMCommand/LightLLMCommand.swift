import ArgumentParser
import Foundation

@main
struct LightLLMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lightllm",
        abstract: "Runs large language models and serves them over HTTP.",
        version: "0.1.0",
        subcommands: [
            Serve.self, Generate.self, Chat.self, Score.self, Tokenize.self, Render.self, Plan.self,
            Pull.self, Bench.self, Simulate.self, FlagListing.self, DoctorCommand.self, CubinsCommand.self,
            GPUCheckCommand.self,
        ],
        defaultSubcommand: Serve.self)

    static func main() async {
        do {
            let line = try NormalizedArguments(
                Array(CommandLine.arguments.dropFirst()), environment: ProcessInfo.processInfo.environment)
            var command = try parseAsRoot(line.arguments)
            for note in line.notes { write("note: \(note)\n", to: .standardError) }
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }
}
