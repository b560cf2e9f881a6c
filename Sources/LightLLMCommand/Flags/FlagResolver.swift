import ArgumentParser
import Foundation

/// A flag of ours, by the name that the parser knows.
struct ResolvedFlag: Equatable {
    let name: String
    var values: [String]
    /// As it was written.
    let spelling: String
    let rank: Int
}

/// Turns flags as people write them into flags of ours, and into notes about those that do nothing.
struct FlagResolver {
    private let dictionary: FlagDictionary
    /// Whether flags that are refused are only noted.
    private let isLenient: Bool
    private(set) var flags: [ResolvedFlag] = []
    private(set) var notes: [String] = []

    init(_ dictionary: FlagDictionary, isLenient: Bool) {
        (self.dictionary, self.isLenient) = (dictionary, isLenient)
    }

    /// Adds all flags of one place: a command line, a file, an environment.
    mutating func add(_ uses: [FlagUse]) throws {
        let isTGI = uses.contains { $0.name == "model_id" }
        for use in uses { try add(use, isTGI: isTGI) }
        try shareContext(uses)
    }

    private mutating func add(_ use: FlagUse, isTGI: Bool) throws {
        guard let entry = dictionary[use.name] else { throw use.error("is unknown") }
        if isTGI, use.name == "max_total_tokens" {
            return try set("max_req_total_len", use.values, use)
        }
        // A switch that is off asks for its opposite, if there is one.
        if case .none = entry.values, let value = use.values.first {
            guard let isOn = Self.bool(value) else {
                throw use.error("takes no value, or true or false, found '\(value)'")
            }
            guard !isOn else { return try apply(entry, FlagUse(use, values: [])) }
            guard let opposite = opposite(of: use.name), let entry = dictionary[opposite] else { return }
            return try apply(entry, FlagUse(use, values: []), opposite: opposite)
        }
        try apply(entry, use)
    }

    private mutating func apply(
        _ entry: FlagDictionary.Entry, _ use: FlagUse, opposite: String? = nil
    ) throws {
        guard case .rule(let rule) = entry else { return try set(opposite ?? use.name, use.values, use) }
        switch rule.meaning {
        case .alias(let target, let rank, let renamed):
            guard dictionary.declared[target] != nil else {
                return try refuse(rule, "it is not supported yet", use)
            }
            let values = use.values.flatMap { Self.items($0, of: rule.values) }.map { renamed[$0] ?? $0 }
            guard values.isEmpty || values.contains(where: { !$0.isEmpty }) else {
                return note(use, "\(use.values.joined(separator: " ")) is what happens without it")
            }
            try set(target, values, use, rank: rank)
        case .sets(let target, let value): try set(target, [value], use, rank: 1)
        case .noted(let reason): note(use, reason)
        case .choices(let choices, let others):
            switch choices[use.values.first ?? ""] {
            case .nothing(let reason)?: note(use, reason)
            case .flag(let target, let value)?:
                guard dictionary.declared[target] != nil else {
                    return try refuse(rule, "--\(target) is not supported yet", use)
                }
                try set(target, value.map { [$0] } ?? [], use)
            case nil:
                switch others {
                case .refused(let reason): try refuse(rule, reason, use)
                case .noted(let reason): note(use, reason)
                }
            }
        case .sharedContext, .parallel: break
        case .refused(let reason): try refuse(rule, reason, use)
        }
    }

    private mutating func refuse(_ rule: FlagRule, _ reason: String, _ use: FlagUse) throws {
        let value = use.values.isEmpty ? "" : " (found \(use.values.joined(separator: " ")))"
        guard isLenient else {
            throw use.error(
                "is a flag of \(rule.origin.rawValue) that isn't supported: \(reason)\(value). With --lenient_flags it does nothing"
            )
        }
        note(use, "not supported: \(reason)\(value)")
    }

    private mutating func note(_ use: FlagUse, _ reason: String) {
        let note = "\(use.spelling): \(reason)"
        if !notes.contains(note) { notes.append(note) }
    }

    /// Sets a flag of ours, which may be set already.
    private mutating func set(_ name: String, _ values: [String], _ use: FlagUse, rank: Int = 0) throws {
        guard let flag = dictionary.declared[name] else {
            throw use.error("needs --\(name), which is unknown")
        }
        var new = ResolvedFlag(name: flag.name, values: values, spelling: use.spelling, rank: rank)
        if case .one = flag.values, values.count > 1 {
            guard use.name == "served_model_name" else {
                throw use.error("takes one value, found \(values.joined(separator: " "))")
            }
            new.values = [values[0]]
            note(use, "answers name \(values[0]), and requests may name anything")
        }
        guard let index = flags.firstIndex(where: { $0.name == new.name }) else { return flags.append(new) }
        let old = flags[index]
        if case .several = flag.values {
            flags[index].values += new.values
        } else if old.rank == new.rank, old.spelling != new.spelling, old.values != new.values {
            throw use.error(
                "and \(old.spelling) both set --\(name), to \(new.values.joined(separator: " ")) and \(old.values.joined(separator: " "))"
            )
        } else if old.rank < new.rank {
            note(use, "\(old.spelling) has the say")
        } else {
            if new.rank < old.rank { notes.append("\(old.spelling): \(new.spelling) has the say") }
            flags[index] = new
        }
    }

    /// llama.cpp's context is the whole cache, which parallel requests share evenly.
    private mutating func shareContext(_ uses: [FlagUse]) throws {
        func number(_ isMeant: (FlagRow.Meaning) -> Bool) throws -> (use: FlagUse, value: Int)? {
            let found = uses.last { use in
                if case .rule(let rule)? = dictionary[use.name] { isMeant(rule.meaning) } else { false }
            }
            guard let found else { return nil }
            guard let value = found.values.first.flatMap({ Int($0) }) else {
                throw found.error("must be a number, found '\(found.values.joined(separator: " "))'")
            }
            return value > 0 ? (found, value) : nil
        }
        let parallel = try number { if case .parallel = $0 { true } else { false } }
        let context = try number { if case .sharedContext = $0 { true } else { false } }
        if let parallel { try set("running_max_req_size", ["\(parallel.value)"], parallel.use, rank: 1) }
        guard let context else { return }
        let isWhole = uses.contains { ["-kvu", "kv_unified"].contains($0.name) }
        let share = isWhole ? context.value : context.value / (parallel?.value ?? 1)
        try set("max_total_token_num", ["\(context.value)"], context.use, rank: 1)
        try set("max_req_total_len", ["\(share)"], context.use, rank: 1)
        note(context.use, "the cache has \(context.value) tokens, of which a request may have \(share)")
    }

    /// The flag that says the opposite of a switch.
    private func opposite(of name: String) -> String? {
        let candidates = [
            name == "use_dynamic_prompt_cache" ? "disable_dynamic_prompt_cache" : "no_" + name,
            name.hasPrefix("no_") ? String(name.dropFirst(3)) : "",
        ]
        return candidates.first { dictionary[$0] != nil }
    }

    /// vLLM gives lists as JSON too.
    private static func items(_ value: String, of values: FlagValues) -> [String] {
        guard case .several = values, value.hasPrefix("["), value.hasSuffix("]") else { return [value] }
        return value.dropFirst().dropLast().split(separator: ",").map {
            $0.trimmingCharacters(in: .whitespaces.union(["\"", "'"]))
        }
    }

    private static func bool(_ value: String) -> Bool? {
        switch value.lowercased() {
        case "true", "yes", "on", "1": true
        case "false", "no", "off", "0": false
        default: nil
        }
    }
}

extension FlagUse {
    fileprivate init(_ use: FlagUse, values: [String]) {
        self.init(spelling: use.spelling, name: use.name, values: values, place: use.place)
    }
}
