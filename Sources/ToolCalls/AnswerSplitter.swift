/// Splits a model's text, as it comes, into content, reasoning and calls of tools.
///
/// However the text is cut into pieces, the parts are the same. Time is linear in the text, which is never
/// executed and never searched with regular expressions. What looks like a call and is none stays content.
public struct AnswerSplitter: Sendable {
    enum State {
        /// Space, before content or calls.
        case leading(isAfterReasoning: Bool)
        case content
        case reasoning
        /// Between the markers of calls.
        case calls
        /// In a name that stands before its arguments.
        case name
        /// Between a name and its arguments.
        case named(String)
        case object(isBare: Bool)
    }

    let tools: ToolCallFormat?
    let toolNames: Set<String>?
    private let texts: [String: Set<String>]
    private let reasoning: (opening: [UInt8], closing: [UInt8])?
    var state: State
    /// Text not yet told of, from `position` on.
    var buffer: [UInt8] = []
    var position = 0
    /// Markers of calls that may turn out to be content.
    var held: [UInt8] = []
    var name: [UInt8] = []
    var isInList = false
    /// Whether no marker opened the calls, so that they must be of tools that were offered.
    var isBare = false
    /// Whether a call has ended since the last marker that opens calls.
    var hasCalls = false
    var scanner: any CallReader = CallScanner()
    /// Calls that have ended.
    var callCount = 0
    var hasStarted = false
    /// Bytes of the call's arguments that have been told.
    var toldArguments = 0
    var events: [AnswerEvent] = []

    /// - Parameters:
    ///   - tools: Nil when the request offers no tools.
    ///   - toolNames: The tools offered. A bare object is a call only of one of these, where they are given.
    ///   - parameters: Of each tool, the schema of its arguments: it tells strings from other values where a
    ///     format writes both without quotes.
    ///   - startsInReasoning: Whether the prompt ended with the marker that opens reasoning.
    public init(
        tools: ToolCallFormat?, toolNames: Set<String>? = nil, parameters: [String: ToolParameters] = [:],
        reasoning: ReasoningFormat? = nil, startsInReasoning: Bool = false
    ) {
        (self.tools, self.toolNames, texts) = (tools, toolNames, parameters.mapValues(\.texts))
        self.reasoning = reasoning.map { (Array($0.opening.utf8), Array($0.closing.utf8)) }
        state = startsInReasoning && reasoning != nil ? .reasoning : .leading(isAfterReasoning: false)
    }

    /// Takes the next piece of the answer; what can be told by now.
    public mutating func feed(_ text: String) -> [AnswerEvent] {
        buffer.removeFirst(position)
        position = 0
        buffer.append(contentsOf: text.utf8)
        while position < buffer.count, advance() {}
        return take()
    }

    /// The answer has ended; the rest of it.
    public mutating func finish() -> [AnswerEvent] {
        let rest = Array(buffer[position...])
        position = buffer.count
        switch state {
        case .leading(let isAfterReasoning):
            let isSpace = rest.allSatisfy(Self.isSpace)
            emit(
                rest,
                isSpace && (isAfterReasoning || callCount > 0) ? AnswerEvent.markup : AnswerEvent.content)
        case .content: emit(rest, AnswerEvent.content)
        case .reasoning: emit(rest, AnswerEvent.reasoning)
        case .calls, .name, .named: giveUp(rest)
        case .object: abandon()
        }
        state = .content
        return take()
    }

    private mutating func take() -> [AnswerEvent] {
        defer { events.removeAll() }
        return events
    }

    mutating func emit(_ bytes: some Collection<UInt8>, _ event: (String) -> AnswerEvent) {
        if !bytes.isEmpty { events.append(event(String(decoding: bytes, as: UTF8.self))) }
    }

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// One step; false when more text is needed.
    private mutating func advance() -> Bool {
        switch state {
        case .leading(let isAfterReasoning): lead(isAfterReasoning)
        case .content: content()
        case .reasoning: think()
        case .calls: call()
        case .name: readName()
        case .named(let name): expectArguments(of: name)
        case .object(let isBare): readObject(isBare)
        }
    }

    enum Match { case whole(Int), partial, none }

    /// Whether one of the markers is next, the longest first, or may become so.
    func match(_ markers: [[UInt8]], at place: Int) -> Match {
        var (found, isPartial) = (0, false)
        for marker in markers {
            let rest = buffer[place...].prefix(marker.count)
            guard rest.elementsEqual(marker.prefix(rest.count)) else { continue }
            if rest.count == marker.count { found = max(found, marker.count) } else { isPartial = true }
        }
        return isPartial ? .partial : found > 0 ? .whole(found) : .none
    }

    private var openings: [[UInt8]] {
        (tools?.opening ?? []) + (tools?.starts ?? []) + [reasoning?.opening].compactMap(\.self)
    }

    /// A reader of what a format writes between its markers.
    func makeReader(_ format: ToolCallFormat) -> any CallReader {
        switch format.syntax {
        case .json: CallScanner()
        case .tagged(let syntax): TaggedCallReader(syntax, texts: texts)
        case .python: PythonCallReader()
        }
    }

    /// Enters what the marker of `count` bytes at `position` opens.
    private mutating func enter(_ count: Int) {
        let marker = buffer[position..<position + count]
        if let tools, tools.starts.contains(where: marker.elementsEqual) {
            // It is the call's own first bytes.
            (isInList, hasCalls, isBare) = (false, false, false)
            scanner = makeReader(tools)
            state = .object(isBare: false)
            return
        }
        position += count
        if let reasoning, marker.elementsEqual(reasoning.opening) {
            emit(marker, AnswerEvent.markup)
            state = .reasoning
        } else {
            held += marker
            (isInList, hasCalls, isBare) = (false, false, false)
            state = .calls
        }
    }

    private mutating func lead(_ isAfterReasoning: Bool) -> Bool {
        guard let end = buffer[position...].firstIndex(where: { !Self.isSpace($0) }) else { return false }
        let isMarkup: Bool
        let marker = match(openings, at: end)
        switch marker {
        case .partial: return false
        case .whole: isMarkup = true
        case .none: isMarkup = isAfterReasoning
        }
        let isBare = callCount == 0 && tools?.bareStart == buffer[end]
        if isBare, !isMarkup {
            held += buffer[position..<end]
        } else {
            emit(buffer[position..<end], isMarkup ? AnswerEvent.markup : AnswerEvent.content)
        }
        position = end
        if case .whole(let count) = marker {
            enter(count)
        } else if isBare, let tools {
            (isInList, hasCalls, self.isBare) = (false, false, true)
            scanner = makeReader(tools)
            state = buffer[end] == UInt8(ascii: "{") ? .object(isBare: true) : .calls
        } else {
            state = .content
        }
        return true
    }

    private mutating func content() -> Bool {
        let markers = openings
        let firsts = Set(markers.compactMap(\.first))
        var place = position
        while place < buffer.count {
            guard firsts.contains(buffer[place]) else {
                place += 1
                continue
            }
            switch match(markers, at: place) {
            case .none: place += 1
            case .partial:
                emit(buffer[position..<place], AnswerEvent.content)
                position = place
                return false
            case .whole(let count):
                emit(buffer[position..<place], AnswerEvent.content)
                position = place
                enter(count)
                return true
            }
        }
        emit(buffer[position...], AnswerEvent.content)
        position = buffer.count
        return true
    }

    private mutating func think() -> Bool {
        guard let closing = reasoning?.closing else { preconditionFailure("reasoning has its markers") }
        for place in position..<buffer.count {
            switch match([closing], at: place) {
            case .none: continue
            case .partial:
                emit(buffer[position..<place], AnswerEvent.reasoning)
                position = place
                return false
            case .whole(let count):
                emit(buffer[position..<place], AnswerEvent.reasoning)
                emit(buffer[place..<place + count], AnswerEvent.markup)
                position = place + count
                state = .leading(isAfterReasoning: true)
                return true
            }
        }
        emit(buffer[position...], AnswerEvent.reasoning)
        position = buffer.count
        return true
    }
}
