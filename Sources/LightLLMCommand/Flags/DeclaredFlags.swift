import ArgumentParser
import JSON
import OrderedCollections

/// How many values a flag takes.
enum FlagValues: Sendable {
    case none, one, several
    /// One if it looks like a switch's: on, off, auto.
    case optional
}

/// The flags that a command's own parser knows, as it says itself.
struct DeclaredFlags: Sendable {
    struct Flag: Sendable {
        /// Without dashes, as the command declares it.
        let name: String
        let values: FlagValues
        let help: String
        let standard: String?
    }

    /// By name, with `_` for `-`; a flag with several names is there several times.
    private let flags: [String: Flag]
    /// As the command declares them, each once.
    let all: [Flag]

    init(_ command: any ParsableCommand.Type) {
        let dump = (try? JSONValue(parsing: command._dumpHelp())) ?? .null
        let arguments = dump["command"]?["arguments"]?.array ?? []
        var (flags, all): ([String: Flag], [Flag]) = ([:], [])
        for argument in arguments {
            let names = Self.names(of: argument)
            guard let first = names.first else { continue }
            let flag = Flag(
                name: first, values: Self.values(of: argument),
                help: argument["abstract"]?.string ?? "", standard: argument["defaultValue"]?.string)
            for name in names { flags[flagName(name)] = flag }
            all.append(flag)
        }
        (self.flags, self.all) = (flags, all)
    }

    private static func names(of argument: JSONValue) -> [String] {
        (argument["names"]?.array ?? []).filter { $0["kind"]?.string == "long" }.compactMap {
            $0["name"]?.string
        }
    }

    private static func values(of argument: JSONValue) -> FlagValues {
        guard argument["kind"]?.string == "option" else { return .none }
        return argument["parsingStrategy"]?.string == "upToNextOption" ? .several : .one
    }

    subscript(name: String) -> Flag? { flags[name] }

    var names: [String] { Array(flags.keys) }

    /// Those of both.
    func with(_ other: DeclaredFlags) -> DeclaredFlags {
        DeclaredFlags(
            flags: flags.merging(other.flags) { own, _ in own },
            all: all + other.all.filter { flags[flagName($0.name)] == nil })
    }

    private init(flags: [String: Flag], all: [Flag]) { (self.flags, self.all) = (flags, all) }

    static let serve = DeclaredFlags(Serve.self)
    static let plan = DeclaredFlags(Plan.self)
}

/// A flag's name as tables have it: without dashes before it, and `_` for those in it.
func flagName(_ spelling: some StringProtocol) -> String {
    String(spelling.drop { $0 == "-" }).replacing("-", with: "_")
}
