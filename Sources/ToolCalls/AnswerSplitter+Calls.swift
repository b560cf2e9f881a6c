/// What stands between the markers of calls.
extension AnswerSplitter {
    private mutating func hold(_ count: Int) {
        held += buffer[position..<position + count]
        position += count
    }

    /// Leaves the calls; markers since the last of them are its own.
    private mutating func leave() {
        emit(held, AnswerEvent.markup)
        held = []
        state = .leading(isAfterReasoning: false)
    }

    /// No call, or no other, after all.
    mutating func giveUp(_ rest: some Collection<UInt8>) {
        if hasCalls {
            let text = name + rest
            emit(held, AnswerEvent.markup)
            emit(text, text.allSatisfy(Self.isSpace) ? AnswerEvent.markup : AnswerEvent.content)
        } else {
            emit(held + name + rest, AnswerEvent.content)
        }
        (held, name) = ([], [])
        state = .content
    }

    mutating func call() -> Bool {
        guard let tools else { preconditionFailure("calls have their format") }
        let byte = buffer[position]
        if Self.isSpace(byte) || byte == UInt8(ascii: ",") && isInList {
            hold(1)
            return true
        }
        switch match(tools.closing + tools.inner + tools.opening, at: position) {
        case .partial: return false
        case .whole(let count):
            let marker = buffer[position..<position + count]
            let isEnd = tools.closing.contains { $0.elementsEqual(marker) }
            // A call between tags may end with the marker that ends calls.
            let isNew = tools.opening.contains { $0.elementsEqual(marker) }
            if isNew, case .tagged = tools.syntax { hasCalls = false }
            hold(count)
            if isEnd, hasCalls { leave() } else if isEnd { giveUp([]) }
            return true
        case .none: break
        }
        switch byte {
        case UInt8(ascii: "{") where tools.takesObjects:
            scanner = CallScanner()
            state = .object(isBare: false)
        case UInt8(ascii: "[") where !isInList && tools.takesLists:
            isInList = true
            hold(1)
        case UInt8(ascii: "]") where isInList:
            isInList = false
            hold(1)
            if tools.closing.isEmpty, hasCalls { leave() }
        default:
            if tools.syntax == .python ? isInList : tools.syntax != .json && !hasCalls {
                scanner = makeReader(tools)
                state = .object(isBare: isBare)
            } else if !tools.afterName.isEmpty, !isInList {
                state = .name
            } else if hasCalls, tools.closing.isEmpty {
                leave()
            } else {
                giveUp([])
            }
        }
        return true
    }

    /// A name of at most 256 bytes up to its separator; after `function` and a separator, up to a line end.
    mutating func readName() -> Bool {
        guard let tools else { preconditionFailure("calls have their format") }
        switch match(tools.afterName, at: position) {
        case .partial: return false
        case .whole(let count):
            let text = String(decoding: name, as: UTF8.self)
            held += name
            name = []
            hold(count)
            state = text == "function" ? .calls : .named(text)
            return true
        case .none: break
        }
        let byte = buffer[position]
        if byte == UInt8(ascii: "\n") {
            state = .named(String(decoding: name, as: UTF8.self))
            held += name
            name = []
        } else if name.count < 256 {
            name.append(byte)
            position += 1
        } else {
            giveUp([])
        }
        return true
    }

    mutating func expectArguments(of name: String) -> Bool {
        guard let tools else { preconditionFailure("calls have their format") }
        if Self.isSpace(buffer[position]) {
            hold(1)
            return true
        }
        switch match(tools.inner, at: position) {
        case .partial: return false
        case .whole(let count):
            hold(count)
            return true
        case .none: break
        }
        if buffer[position] == UInt8(ascii: "{"), !name.isEmpty {
            scanner = CallScanner(argumentsOf: name)
            state = .object(isBare: false)
        } else {
            giveUp([])
        }
        return true
    }
}

/// A call's object.
extension AnswerSplitter {
    mutating func readObject(_ isBare: Bool) -> Bool {
        while position < buffer.count {
            let outcome = scanner.consume(buffer[position])
            position += 1
            switch outcome {
            case .more:
                // At the byte, not at the end of the piece: what a call is must not depend on cuts.
                if !hasStarted, scanner.isTelling, isOffered(isBare) { start() }
                continue
            case .done: finishCall(isBare)
            case .malformed: abandon(takingBack: unread())
            }
            return true
        }
        if hasStarted { tell() }
        return false
    }

    /// Whether the call is one of a tool that was offered, as far as that matters.
    private func isOffered(_ isBare: Bool) -> Bool {
        guard isBare, let toolNames, let name = scanner.name else { return true }
        return toolNames.contains(name)
    }

    private mutating func start() {
        guard !hasStarted, let name = scanner.name else { return }
        emit(held, AnswerEvent.markup)
        held = []
        hasStarted = true
        events.append(.callStarted(index: callCount, name: name))
    }

    /// Tells what has come of the call's arguments.
    private mutating func tell() {
        let bytes = scanner.argumentBytes(after: toldArguments)
        toldArguments += bytes.count
        let index = callCount
        emit(bytes) { .callArguments(index: index, $0) }
    }

    private mutating func finishCall(_ isBare: Bool) {
        let isCall = scanner.name != nil && isOffered(isBare) && (!isBare || scanner.hasArguments)
        guard isCall else {
            abandon()
            return
        }
        start()
        tell()
        if toldArguments == 0 { events.append(.callArguments(index: callCount, "{}")) }
        endCall(isComplete: true)
        state = .calls
    }

    private mutating func endCall(isComplete: Bool, takingBack count: Int = 0) {
        let source = String(decoding: scanner.source.dropLast(count), as: UTF8.self)
        events.append(.callEnded(index: callCount, source: source, isComplete: isComplete))
        callCount += 1
        hasCalls = true
        (scanner, hasStarted, toldArguments) = (CallScanner(), false, 0)
    }

    /// The character that went wrong may begin something else: its bytes are taken back. Pieces are of whole
    /// characters, so that all of them are in the buffer.
    private mutating func unread() -> Int {
        var count = 1
        while count < 4, buffer[position - count] & 0xC0 == 0x80 { count += 1 }
        position -= count
        return count
    }

    /// The object went wrong, or the answer ended within it.
    ///
    /// - Parameter count: How many of its bytes are none of its own.
    mutating func abandon(takingBack count: Int = 0) {
        if hasStarted {
            tell()
            endCall(isComplete: false, takingBack: count)
        } else {
            let source = scanner.source.dropLast(count)
            scanner = CallScanner()
            emit(held + source, AnswerEvent.content)
            held = []
        }
        state = .content
    }
}
