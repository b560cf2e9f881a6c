import Foundation
import Hub

/// What `--model_dir` names: a path of this machine or, where there is none, a model of a hub.
enum ModelSource: Equatable {
    case path(String)
    case hub(ModelReference)

    init(_ argument: String) {
        // A word alone is a path that does not exist: a mistyped folder must not become a download.
        guard !FileManager.default.fileExists(atPath: argument), let reference = ModelReference(argument),
            reference.repository.owner != nil
        else {
            self = .path(argument)
            return
        }
        self = .hub(reference)
    }

    /// What the model is called where nothing else is said: as its file, or as the hub calls it.
    var modelName: String {
        switch self {
        case .path(let path): URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        case .hub(let reference): reference.repository.id
        }
    }
}

/// The folder or file that `--model_dir` means; a model of a hub is fetched unless the cache has it.
func localModel(_ argument: String) async throws -> String {
    switch ModelSource(argument) {
    case .path(let path): path
    case .hub(let reference):
        try await pullModel(
            reference.repository, reference.variant.map { .variant($0) } ?? .model
        ).path
    }
}

/// Fetches from the hub that the environment names, with a bar on a terminal.
func pullModel(_ name: RepositoryName, _ selection: FileSelection) async throws -> PulledModel {
    let report = PullReport(name)
    defer { report.finish() }
    let settings = try HubSettings(environment: ProcessInfo.processInfo.environment)
    return try await ModelHub(settings) { report.note($0) }.pull(name, selection)
}
