import CUDARuntime
import Foundation

/// Algorithms that were chosen by time on such a device with such a version of the library. They are kept on disk, so that
/// every start takes the same, which adds up in the same order.
struct ProductChoices: Sendable {
    private let file: URL

    private struct Step: Codable {
        let rows: Int
        let algorithm: [UInt64]
        let milliseconds: Double
    }

    private struct Entry: Codable {
        let steps: [Step]
        let found: Int
        let whole: Int
    }

    init(folder: URL, _ device: Device, libraryVersion: Int) {
        let name = device.name.map { $0.isLetter || $0.isNumber ? String($0) : "-" }.joined()
        file = folder.appendingPathComponent("products.\(name).\(device.architecture).\(libraryVersion).json")
    }

    /// Nil for a shape without a choice, or with one that cannot be read.
    func choice(for shape: LibraryProducts.Shape) -> LibraryProducts.Choice? {
        guard let entry = entries()[shape.name] else { return nil }
        let steps = entry.steps.compactMap { step in
            CublasLt.Algorithm(words: step.algorithm).map { (step.rows, $0, step.milliseconds) }
        }
        guard steps.count == entry.steps.count else { return nil }
        return LibraryProducts.Choice(steps: steps, classes: (entry.found, entry.whole))
    }

    /// A file that cannot be written is none; the next start chooses again.
    func keep(_ choice: LibraryProducts.Choice, for shape: LibraryProducts.Shape) {
        var entries = entries()
        entries[shape.name] = Entry(
            steps: choice.steps.map {
                Step(rows: $0.rows, algorithm: $0.algorithm.words, milliseconds: $0.milliseconds)
            }, found: choice.classes.found, whole: choice.classes.whole)
        try? FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try? encoder.encode(entries).write(to: file, options: .atomic)
    }

    private func entries() -> [String: Entry] {
        guard let data = FileManager.default.contents(atPath: file.path) else { return [:] }
        return (try? JSONDecoder().decode([String: Entry].self, from: data)) ?? [:]
    }
}

extension LibraryProducts.Shape {
    fileprivate var name: String { "\(outputs) x \(inputs) \(isBfloat16 ? "bfloat16" : "float16")" }
}
