/// The formats of strings that are enforced, each as a regular expression for whole strings.
enum SchemaFormats {
    static let names = expressions.keys.sorted()

    /// Nil for a format that is not known.
    static func automaton(_ name: String, _ limits: GrammarLimits) throws(StructuredOutputError) -> Automaton?
    {
        guard let pattern = expressions[name] else { return nil }
        let place = "format \"\(name)\""
        return try Automaton(
            try RegexParser.parse(pattern, limits: limits, place: place), limits: limits, place: place)
    }

    /// RFC 3339, appendix A; weeks stand alone.
    private static let duration: String = {
        let time = "T(\\d{1,9}S|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?)"
        let date = "(\\d{1,9}D|\\d{1,9}M(\\d{1,9}D)?|\\d{1,9}Y(\\d{1,9}M(\\d{1,9}D)?)?)"
        return "P(\\d{1,9}W|\(date)(\(time))?|\(time))"
    }()

    /// RFC 3339, with the days that months have.
    private static let date =
        "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)"
        + "|02-(0[1-9]|1\\d|2[0-8]))|(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
    private static let time =
        "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d)"

    /// At most 251 characters: four labels.
    private static let hostname: String = {
        let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,60}[A-Za-z0-9])?"
        return "\(label)(\\.\(label)){0,3}"
    }()
    /// At most 62 characters before the @, without quotes.
    private static let email: String = {
        let atoms = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
        return "\(atoms)(\\.\(atoms)){0,2}@\(hostname)"
    }()

    private static let ipv4: String = {
        let octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
        return "\(octet)(\\.\(octet)){3}"
    }()
    /// RFC 4291: eight groups, or fewer around one "::"; the last two may be an IPv4 address.
    private static let ipv6: String = {
        let group = "[0-9A-Fa-f]{1,4}"
        let last = "(\(group):\(group)|\(ipv4))"
        var forms = ["(\(group):){6}\(last)"]
        for before in 0...7 {
            let head = before == 0 ? "" : "\(group)(:\(group)){\(before - 1)}"
            if before <= 5 { forms.append("\(head)::(\(group):){0,\(5 - before)}\(last)") }
            if before <= 6 { forms.append("\(head)::\(group)") }
            forms.append("\(head)::")
        }
        return forms.joined(separator: "|")
    }()

    /// RFC 3986, without addresses in brackets.
    private static let unreserved = "[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}"
    private static let hierarchy =
        "(//((\(unreserved)|:)*@)?(\(unreserved))*(:\\d{0,5})?(/(\(unreserved)|[:@])*)*"
        + "|/?((\(unreserved)|[:@])+(/(\(unreserved)|[:@])*)*)?)"
    private static let suffix = "(\\?(\(unreserved)|[:@/?])*)?(#(\(unreserved)|[:@/?])*)?"
    private static let relative =
        "(//((\(unreserved)|:)*@)?(\(unreserved))*(:\\d{0,5})?(/(\(unreserved)|[:@])*)*"
        + "|/?((\(unreserved)|@)+(/(\(unreserved)|[:@])*)*)?)"

    private static let expressions: [String: String] = [
        "date": date, "time": time, "date-time": date + "[Tt ]" + time, "duration": duration,
        "hostname": hostname, "email": email, "ipv4": ipv4, "ipv6": ipv6,
        "uuid": "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
        "uri": "[A-Za-z][A-Za-z0-9+.-]*:\(hierarchy)\(suffix)",
        "uri-reference": "([A-Za-z][A-Za-z0-9+.-]*:\(hierarchy)|\(relative))\(suffix)",
        "json-pointer": "(/([^/~]|~[01])*)*",
    ]
}
