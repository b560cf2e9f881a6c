import Foundation

/// Which files of a repository are wanted.
public enum FileSelection: Sendable, Equatable {
    /// One model and all that is needed to run it: safetensors, or else torch archives, with configuration and
    /// vocabulary; or else a GGUF file.
    case model
    /// The GGUF file with these numbers (`Q4_K_M`), or of this name.
    case variant(String)
    /// Every file whose path one of the shell patterns matches, and nothing else.
    case matching([String])

    /// What is chosen of the files at `paths`; `name` is for errors.
    func choose(from paths: [String], of name: String) throws(HubError) -> ChosenFiles {
        switch self {
        case .matching(let patterns): return try Self.matching(patterns, paths, name)
        case .variant(let variant): return try Self.variant(variant, paths, name)
        case .model:
            let root = paths.filter { !$0.contains("/") }
            for weights in [Self.safetensors(root), Self.archives(root)] where !weights.isEmpty {
                return ChosenFiles(paths: (weights + root.filter(Self.isCompanion)).sorted(), main: nil)
            }
            return try Self.variant(nil, paths, name)
        }
    }

    private static func matching(
        _ patterns: [String], _ paths: [String], _ name: String
    ) throws(HubError) -> ChosenFiles {
        for pattern in patterns where !paths.contains(where: { fnmatch(pattern, $0, 0) == 0 }) {
            throw .noFiles(name, wanted: "a file that matches '\(pattern)'", found: paths)
        }
        let chosen = paths.filter { path in patterns.contains { fnmatch($0, path, 0) == 0 } }
        let models = GGUFModel.all(chosen)
        let main = models.count == 1 && !chosen.contains("config.json") ? models[0].parts[0] : nil
        return ChosenFiles(paths: chosen, main: main)
    }

    private static func variant(
        _ variant: String?, _ paths: [String], _ name: String
    ) throws(HubError) -> ChosenFiles {
        let models = GGUFModel.all(paths)
        guard !models.isEmpty else {
            throw .noFiles(
                name,
                wanted: variant.map { "a GGUF file '\($0)'" } ?? "safetensors, torch or GGUF weights",
                found: paths)
        }
        let found: [GGUFModel]
        if let variant {
            found = models.filter { $0.isNamed(variant) }
            guard !found.isEmpty else {
                throw .noFiles(name, wanted: "a GGUF file '\(variant)'", found: models.map(\.name))
            }
        } else {
            // What llama.cpp takes unless told otherwise.
            let usual = models.filter { $0.isNamed("Q4_K_M") }
            found = models.count > 1 && usual.count == 1 ? usual : models
        }
        guard found.count == 1 else { throw .ambiguous(name, choices: found.map(\.name)) }
        return ChosenFiles(paths: found[0].parts, main: found[0].parts[0])
    }

    /// Weights under the names that everybody loads; if there are none, all but a second copy of them.
    private static func safetensors(_ root: [String]) -> [String] {
        let all = root.filter { $0.hasSuffix(".safetensors") }
        let usual = all.filter { isUsual($0, stem: "model", suffix: ".safetensors") }
        if !usual.isEmpty { return usual }
        let plain = all.filter { !$0.hasPrefix("consolidated") && !$0.hasPrefix("adapter_") }
        return plain.isEmpty ? all : plain
    }

    private static func archives(_ root: [String]) -> [String] {
        root.filter { isUsual($0, stem: "pytorch_model", suffix: ".bin") }
    }

    /// Whether the name is `STEM.SUFFIX` or `STEM-00001-of-00002.SUFFIX`.
    private static func isUsual(_ name: String, stem: String, suffix: String) -> Bool {
        guard name.hasPrefix(stem), name.hasSuffix(suffix) else { return false }
        let middle = name.dropFirst(stem.count).dropLast(suffix.count)
        let words = middle.split(separator: "-", omittingEmptySubsequences: false)
        return middle.isEmpty
            || words.count == 4 && words[0].isEmpty && words[2] == "of" && Int(words[1]) != nil
                && Int(words[3]) != nil
    }

    /// Configuration, vocabulary, chat template.
    private static func isCompanion(_ name: String) -> Bool {
        if name.hasSuffix(".index.json") {
            return name.hasPrefix("model.safetensors") || name.hasPrefix("pytorch_model.bin")
        }
        let suffixes = [".json", ".jinja", ".model", ".tiktoken"]
        return suffixes.contains { name.hasSuffix($0) } || ["merges.txt", "vocab.txt"].contains(name)
    }

    /// The programs among `paths`: no architecture here runs one.
    static func programs(_ paths: [String]) -> [String] { paths.filter { $0.hasSuffix(".py") } }
}

/// The files that make up what was asked for.
struct ChosenFiles: Sendable, Equatable {
    let paths: [String]
    /// The file that is the model; nil where that is the folder.
    let main: String?
}

/// A model in one GGUF file, or in several that belong together.
private struct GGUFModel {
    /// The path without the extension and the number of the part.
    let name: String
    private(set) var parts: [String]

    /// Those among `paths`, but no projectors of images and no tables of importance.
    static func all(_ paths: [String]) -> [GGUFModel] {
        var models: [GGUFModel] = []
        for path in paths.sorted() where path.hasSuffix(".gguf") {
            let file = path.split(separator: "/").last ?? ""
            if file.lowercased().hasPrefix("mmproj") || file.lowercased().contains("imatrix") { continue }
            let name = String(path.dropLast(5))
            let words = name.split(separator: "-", omittingEmptySubsequences: false)
            let isPart =
                words.count > 3 && words[words.count - 2] == "of" && Int(words[words.count - 1]) != nil
                && Int(words[words.count - 3]) != nil
            let stem = isPart ? words.dropLast(3).joined(separator: "-") : name
            if let index = models.firstIndex(where: { $0.name == stem }) {
                models[index].parts.append(path)
            } else {
                models.append(GGUFModel(name: stem, parts: [path]))
            }
        }
        return models
    }

    /// Whether `variant` is its path, or a word of its name in capital or small letters: `Q4_K` is no word of
    /// `Q4_K_M`, nor `Q4_0` of `IQ4_0`.
    func isNamed(_ variant: String) -> Bool {
        if name == variant || parts.contains(where: { $0 == variant || $0.hasSuffix("/" + variant) }) {
            return true
        }
        let (text, word) = (Array(name.uppercased().utf8), Array(variant.uppercased().utf8))
        guard !word.isEmpty, word.count <= text.count else { return false }
        func isLetterOrDigit(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        }
        return (0...text.count - word.count).contains { start in
            let end = start + word.count
            return text[start..<end].elementsEqual(word)
                && (start == 0 || !isLetterOrDigit(text[start - 1]))
                && (end == text.count || !isLetterOrDigit(text[end]) && text[end] != UInt8(ascii: "_"))
        }
    }
}
