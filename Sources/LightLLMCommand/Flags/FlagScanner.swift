import ArgumentParser

/// A flag as somebody wrote it.
struct FlagUse: Sendable, Equatable {
    let spelling: String
    /// As tables have it.
    let name: String
    let values: [String]
    /// Where in a file, if there.
    var place: String?

    /// An error about it, which says where it is.
    func error(_ text: String) -> ValidationError {
        ValidationError((place.map { $0 + ": " } ?? "") + spelling + " " + text)
    }
}

/// All flags that mean something, a command's own and those of the tables.
struct FlagDictionary: Sendable {
    enum Entry: Sendable {
        case declared(DeclaredFlags.Flag)
        case rule(FlagRule)

        var values: FlagValues {
            switch self {
            case .declared(let flag): flag.values
            case .rule(let rule): rule.values
            }
        }
    }

    let declared: DeclaredFlags

    /// What a flag means by its whole name: where both know it, the command's own has the say.
    subscript(name: String) -> Entry? {
        declared[name].map { .declared($0) } ?? FlagTable.byName[name].map { .rule($0) }
    }

    /// The name that a spelling stands for. As with LightLLM's parser the beginning of a long one is enough where no
    /// other flag of ours or of LightLLM begins so. Nil when none does.
    func name(of spelling: String) throws -> String? {
        guard spelling.hasPrefix("--") else {
            let name = "-" + flagName(spelling)
            return self[name] == nil ? nil : name
        }
        let name = flagName(spelling)
        if self[name] != nil { return name }
        let ofLightLLM = FlagTable.rules.filter { $0.origin == .lightLLM }.map(\.name)
        let candidates = Set(declared.names + ofLightLLM).filter { $0.hasPrefix(name) }.sorted()
        guard candidates.count > 1 else { return candidates.first }
        throw ValidationError(
            "\(spelling) may mean \(candidates.map { "--" + $0 }.joined(separator: ", ")); give more of it")
    }
}

/// A command line taken apart.
struct ScannedArguments {
    private(set) var uses: [FlagUse] = []
    /// What no flag takes: the parser will say what to do about it.
    private(set) var others: [String] = []

    init(_ arguments: [String], _ dictionary: FlagDictionary) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                others += [argument] + rest
                return
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                .map(String.init)
            guard !Self.isValue(argument), let name = try dictionary.name(of: parts[0]) else {
                others.append(argument)
                continue
            }
            var values = Array(parts.dropFirst())
            switch dictionary[name]?.values {
            case .one? where values.isEmpty:
                if let next = rest.first, Self.isValue(next) { values.append(rest.removeFirst()) }
            case .several?:
                while let next = rest.first, Self.isValue(next) { values.append(rest.removeFirst()) }
            case .optional? where values.isEmpty:
                if let next = rest.first, ["on", "off", "auto", "0", "1"].contains(next) {
                    rest.removeFirst()
                }
            default: break
            }
            uses.append(FlagUse(spelling: parts[0], name: name, values: values))
        }
    }

    /// Takes the first of what no flag takes for the model, unless a flag names it.
    mutating func takeModel() {
        guard let index = others.firstIndex(where: Self.isValue) else { return }
        uses.append(FlagUse(spelling: "MODEL", name: "model_dir", values: [others.remove(at: index)]))
    }

    /// Negative numbers look like flags and are none.
    private static func isValue(_ argument: String) -> Bool {
        !argument.hasPrefix("-") || argument == "-" || Double(argument) != nil
    }
}
