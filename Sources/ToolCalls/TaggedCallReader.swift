import JSON

/// The tags of a call whose arguments stand each between its own.
struct TagSyntax: Sendable, Equatable {
    /// Before the name, and the byte that ends it; a tag may follow it at once where `namesEndAtTags`.
    let head: [UInt8]
    let nameEnd: UInt8
    let namesEndAtTags: Bool
    let beforeKey: [UInt8]
    let afterKey: [UInt8]
    /// Empty where the value follows the key's tag.
    let beforeValue: [UInt8]
    let afterValue: [UInt8]
    let end: [UInt8]
    /// Whether values have a line end before and after them that is not theirs.
    let hasLines: Bool

    /// `<function=name><parameter=key>value</parameter></function>`
    static let functions = TagSyntax(
        head: Array("<function=".utf8), nameEnd: UInt8(ascii: ">"), namesEndAtTags: false,
        beforeKey: Array("<parameter=".utf8), afterKey: Array(">".utf8), beforeValue: [],
        afterValue: Array("</parameter>".utf8), end: Array("</function>".utf8), hasLines: true)

    /// `name <arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`
    static let arguments = TagSyntax(
        head: [], nameEnd: UInt8(ascii: "\n"), namesEndAtTags: true,
        beforeKey: Array("<arg_key>".utf8), afterKey: Array("</arg_key>".utf8),
        beforeValue: Array("<arg_value>".utf8), afterValue: Array("</arg_value>".utf8),
        end: Array("</tool_call>".utf8), hasLines: false)
}

/// Reads a call written between tags. Strings are told as they come; other values when they end: as JSON if
/// they are, else as strings.
struct TaggedCallReader: CallReader {
    private enum Place { case head, name, between, key, beforeValue, value }

    private static let longestName = 256

    private let syntax: TagSyntax
    /// Of each tool, the parameters that are strings.
    private let texts: [String: Set<String>]
    private(set) var source: [UInt8] = []
    private(set) var name: String?
    private var place: Place
    /// A tag or a name as far as it has come.
    private var word: [UInt8] = []
    private var value: [UInt8] = []
    private var isText = false
    private var isAtValueStart = false
    private var arguments = JSONText()

    init(_ syntax: TagSyntax, texts: [String: Set<String>]) {
        (self.syntax, self.texts) = (syntax, texts)
        place = syntax.head.isEmpty ? .name : .head
    }

    var hasArguments: Bool { !arguments.bytes.isEmpty }
    var isTelling: Bool { hasArguments }

    func argumentBytes(after count: Int) -> ArraySlice<UInt8> { arguments.bytes[count...] }

    mutating func consume(_ byte: UInt8) -> CallOutcome {
        source.append(byte)
        return advance(byte)
    }

    private mutating func advance(_ byte: UInt8) -> CallOutcome {
        switch place {
        case .head: return readTag([(syntax.head, .name)], byte)
        case .name: return readName(byte)
        case .between:
            if word.isEmpty, AnswerSplitter.isSpace(byte) { return .more }
            return readTag([(syntax.beforeKey, .key), (syntax.end, nil)], byte)
        case .key: return readKey(byte)
        case .beforeValue:
            if word.isEmpty, AnswerSplitter.isSpace(byte) { return .more }
            return readTag([(syntax.beforeValue, .value)], byte)
        case .value:
            readValue(byte)
            return .more
        }
    }

    /// Takes a byte of one of the tags; nothing is next after the call's last one.
    private mutating func readTag(_ tags: [(text: [UInt8], next: Place?)], _ byte: UInt8) -> CallOutcome {
        word.append(byte)
        guard let tag = tags.first(where: { $0.text.starts(with: word) }) else { return .malformed }
        guard tag.text == word else { return .more }
        guard let next = tag.next else {
            arguments.append(hasArguments ? "}" : "{}")
            return .done
        }
        (word, place) = ([], next)
        return .more
    }

    private mutating func readName(_ byte: UInt8) -> CallOutcome {
        let isTag = syntax.namesEndAtTags && byte == UInt8(ascii: "<")
        guard byte == syntax.nameEnd || isTag else {
            word.append(byte)
            return word.count <= Self.longestName ? .more : .malformed
        }
        let text = word.drop(while: AnswerSplitter.isSpace)
        let end = text.lastIndex { !AnswerSplitter.isSpace($0) }
        guard let end else { return .malformed }
        name = String(decoding: text[...end], as: UTF8.self)
        (word, place) = ([], .between)
        return isTag ? advance(byte) : .more
    }

    private mutating func readKey(_ byte: UInt8) -> CallOutcome {
        word.append(byte)
        guard word.suffix(syntax.afterKey.count).elementsEqual(syntax.afterKey) else {
            return word.count <= Self.longestName + syntax.afterKey.count ? .more : .malformed
        }
        let key = word.dropLast(syntax.afterKey.count)
        arguments.append(hasArguments ? ", " : "{")
        arguments.append(string: key)
        arguments.append(": ")
        isText = name.flatMap { texts[$0] }?.contains(String(decoding: key, as: UTF8.self)) == true
        if isText { arguments.append("\"") }
        (word, value, isAtValueStart) = ([], [], true)
        place = syntax.beforeValue.isEmpty ? .value : .beforeValue
        return .more
    }

    /// The tag that ends a value has its first byte nowhere else, so that one place is looked at.
    private mutating func readValue(_ byte: UInt8) {
        word.append(byte)
        if syntax.afterValue.starts(with: word) {
            if word.count == syntax.afterValue.count { endValue() }
            return
        }
        let bytes = word
        word = []
        for byte in bytes.dropLast() { take(byte) }
        if byte == syntax.afterValue[0] { word = [byte] } else { take(byte) }
    }

    /// Takes a byte of a value; a line end when something follows it.
    private mutating func take(_ byte: UInt8) {
        defer { isAtValueStart = false }
        if syntax.hasLines, isAtValueStart, byte == 0x0A { return }
        guard isText else {
            value.append(byte)
            return
        }
        for held in value { arguments.append(escaping: held) }
        value = []
        if syntax.hasLines, byte == 0x0A { value = [byte] } else { arguments.append(escaping: byte) }
    }

    private mutating func endValue() {
        if isText {
            arguments.append("\"")
        } else {
            if syntax.hasLines, value.last == 0x0A { value.removeLast() }
            let isJSON = (try? JSONValue(parsing: value)) != nil
            if isJSON { arguments.append(raw: value) } else { arguments.append(string: value) }
        }
        (word, value, place) = ([], [], .between)
    }
}
