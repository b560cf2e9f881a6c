/// A piece of template source.
enum Token: Equatable {
    case text(String)
    case beginOutput, endOutput
    case beginBlock, endBlock
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    case symbol(String)
}

struct LocatedToken {
    let token: Token
    let line: Int
}

/// Cuts a template into tokens, with `trim_blocks` and `lstrip_blocks` as transformers sets them.
struct Lexer {
    private let source: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var tokens: [LocatedToken] = []
    /// Whether what was read last ended a line.
    private var isLineStart = true

    init(_ text: String) {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(text.utf8.count)
        var wasReturn = false
        for scalar in text.unicodeScalars {
            if scalar == "\n" && wasReturn {
                wasReturn = false
                continue
            }
            wasReturn = scalar == "\r"
            scalars.append(wasReturn ? "\n" : scalar)
        }
        if scalars.last == "\n" { scalars.removeLast() }
        source = scalars
    }

    static func tokens(_ text: String) throws(ChatTemplateError) -> [LocatedToken] {
        var lexer = Lexer(text)
        while lexer.position < lexer.source.count { try lexer.next() }
        return lexer.tokens
    }

    private func error(_ reason: String) -> ChatTemplateError { .syntax(line: line, reason) }

    private func starts(_ text: String, at index: Int) -> Bool {
        var index = index
        for scalar in text.unicodeScalars {
            guard index < source.count, source[index] == scalar else { return false }
            index += 1
        }
        return true
    }

    private mutating func advance(to end: Int) {
        for scalar in source[position..<end] where scalar == "\n" { line += 1 }
        if end > position { isLineStart = source[end - 1] == "\n" }
        position = end
    }

    private mutating func add(_ token: Token) { tokens.append(LocatedToken(token: token, line: line)) }

    /// Text up to the next tag, and the tag.
    private mutating func next() throws(ChatTemplateError) {
        var end = position
        while end < source.count, !(source[end] == "{" && isTag(at: end)) { end += 1 }
        guard end < source.count else {
            addText(position..<end)
            advance(to: end)
            return
        }
        let kind = source[end + 1]
        let sign = end + 2 < source.count ? source[end + 2] : " "
        var text = position..<end
        if sign == "-" {
            while let last = text.last, source[last].properties.isWhitespace { text = text.dropLast() }
        } else if sign != "+", kind != "{" {
            text = withoutIndentation(text)
        }
        addText(text)
        let hasSign = sign == "-" || (sign == "+" && kind != "{")
        advance(to: end + (hasSign ? 3 : 2))
        switch kind {
        case "#": try skipComment()
        case "%": try block()
        default:
            add(.beginOutput)
            try expression(until: "}}")
            add(.endOutput)
        }
    }

    private func isTag(at index: Int) -> Bool {
        starts("{{", at: index) || starts("{%", at: index) || starts("{#", at: index)
    }

    /// Without the spaces before a block tag that stands first on its line.
    private func withoutIndentation(_ text: Range<Int>) -> Range<Int> {
        let lineStart = text.last { source[$0] == "\n" }.map { $0 + 1 }
        guard let start = lineStart ?? (isLineStart ? text.lowerBound : nil) else { return text }
        let isBlank = source[start..<text.upperBound].allSatisfy { $0.properties.isWhitespace }
        return isBlank ? text.lowerBound..<start : text
    }

    private mutating func addText(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: source[range])
        add(.text(String(text)))
    }

    /// Moves past a tag's end of `width`, whatever `-` or `trim_blocks` take along.
    private mutating func close(at end: Int, width: Int, isOutput: Bool) {
        let isStripping = end > 0 && source[end - 1] == "-" && end - 1 >= position
        let keepsLine = end > 0 && source[end - 1] == "+" && end - 1 >= position
        advance(to: end + width)
        if isStripping {
            var next = position
            while next < source.count, source[next].properties.isWhitespace { next += 1 }
            advance(to: next)
        } else if !isOutput, !keepsLine, position < source.count, source[position] == "\n" {
            advance(to: position + 1)
        }
    }

    private mutating func skipComment() throws(ChatTemplateError) {
        var end = position
        while end < source.count, !starts("#}", at: end) { end += 1 }
        guard end < source.count else { throw error("a comment does not end") }
        close(at: end, width: 2, isOutput: false)
    }

    private mutating func block() throws(ChatTemplateError) {
        var start = position
        while start < source.count, source[start].properties.isWhitespace { start += 1 }
        if starts("raw", at: start), let end = tagEnd(from: start + 3) {
            close(at: end, width: 2, isOutput: false)
            return try raw()
        }
        add(.beginBlock)
        try expression(until: "%}")
        add(.endBlock)
    }

    /// Where `%}` is, if only spaces and a sign come before it.
    private func tagEnd(from start: Int) -> Int? {
        var index = start
        while index < source.count, source[index].properties.isWhitespace || source[index] == "-" {
            index += 1
        }
        return starts("%}", at: index) ? index : nil
    }

    private mutating func raw() throws(ChatTemplateError) {
        var start = position
        while start < source.count {
            defer { start += 1 }
            guard starts("{%", at: start) else { continue }
            var name = start + 2
            while name < source.count, source[name].properties.isWhitespace || source[name] == "-" {
                name += 1
            }
            guard starts("endraw", at: name), let end = tagEnd(from: name + 6) else { continue }
            addText(source[start + 2] == "-" ? position..<start : withoutIndentation(position..<start))
            advance(to: start + 2)
            close(at: end, width: 2, isOutput: false)
            return
        }
        throw error("a raw block does not end")
    }

    /// The tokens of an expression up to `terminator`, which a bracket may not contain.
    private mutating func expression(until terminator: String) throws(ChatTemplateError) {
        var depth = 0
        while true {
            while position < source.count, source[position].properties.isWhitespace {
                advance(to: position + 1)
            }
            guard position < source.count else { throw error("expected '\(terminator)'") }
            if depth == 0 {
                for sign in ["", "-", "+"] where starts(sign + terminator, at: position) {
                    if sign == "+" && terminator == "}}" { continue }
                    let end = position + sign.unicodeScalars.count
                    return close(at: end, width: 2, isOutput: terminator == "}}")
                }
            }
            let scalar = source[position]
            if scalar.properties.isXIDStart || scalar == "_" {
                name()
            } else if ("0"..."9").contains(scalar) {
                try number()
            } else if scalar == "'" || scalar == "\"" {
                try string(scalar)
            } else {
                try symbol(&depth)
            }
        }
    }

    private func text(_ range: Range<Int>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: source[range])
        return String(view)
    }

    private mutating func name() {
        var end = position
        while end < source.count, source[end].properties.isXIDContinue || source[end] == "_" { end += 1 }
        add(.name(text(position..<end)))
        advance(to: end)
    }

    private mutating func number() throws(ChatTemplateError) {
        func isDigit(_ index: Int) -> Bool { index < source.count && ("0"..."9").contains(source[index]) }
        var (end, isFloat) = (position, false)
        while isDigit(end) || (end < source.count && source[end] == "_") { end += 1 }
        if end < source.count, source[end] == ".", isDigit(end + 1) {
            isFloat = true
            end += 1
            while isDigit(end) { end += 1 }
        }
        if end < source.count, source[end] == "e" || source[end] == "E" {
            var exponent = end + 1
            if exponent < source.count, source[exponent] == "+" || source[exponent] == "-" { exponent += 1 }
            if isDigit(exponent) {
                isFloat = true
                end = exponent
                while isDigit(end) { end += 1 }
            }
        }
        let digits = text(position..<end).replacing("_", with: "")
        if !isFloat, let value = Int(digits) {
            add(.integer(value))
        } else if isFloat, let value = Double(digits) {
            add(.float(value))
        } else {
            throw error("the number \(digits) is too large")
        }
        advance(to: end)
    }

    private mutating func string(_ quote: Unicode.Scalar) throws(ChatTemplateError) {
        var (value, end) = (String.UnicodeScalarView(), position + 1)
        while end < source.count, source[end] != quote {
            if source[end] == "\\", end + 1 < source.count {
                end += 1
                value.append(contentsOf: escape(&end))
            } else {
                value.append(source[end])
                end += 1
            }
        }
        guard end < source.count else { throw error("a string does not end") }
        add(.string(String(value)))
        advance(to: end + 1)
    }

    /// What the escape whose letter is at `index` stands for; moves past it.
    private func escape(_ index: inout Int) -> [Unicode.Scalar] {
        let letter = source[index]
        index += 1
        let digits: [Unicode.Scalar: Int] = ["x": 2, "u": 4, "U": 8]
        if let count = digits[letter], index + count <= source.count,
            let value = UInt32(text(index..<index + count), radix: 16), let scalar = Unicode.Scalar(value)
        {
            index += count
            return [scalar]
        }
        switch letter {
        case "n": return ["\n"]
        case "t": return ["\t"]
        case "r": return ["\r"]
        case "0": return ["\0"]
        case "a": return ["\u{7}"]
        case "b": return ["\u{8}"]
        case "f": return ["\u{C}"]
        case "v": return ["\u{B}"]
        case "\\", "'", "\"": return [letter]
        case "\n": return []
        default: return ["\\", letter]
        }
    }

    private mutating func symbol(_ depth: inout Int) throws(ChatTemplateError) {
        for symbol in ["**", "//", "==", "!=", "<=", ">="] where starts(symbol, at: position) {
            add(.symbol(symbol))
            return advance(to: position + 2)
        }
        let scalar = source[position]
        guard "+-*/%~|.,:()[]{}<>=".unicodeScalars.contains(scalar) else {
            throw error("unexpected '\(scalar)'")
        }
        if "([{".unicodeScalars.contains(scalar) { depth += 1 }
        if ")]}".unicodeScalars.contains(scalar) { depth = max(0, depth - 1) }
        add(.symbol(String(scalar)))
        advance(to: position + 1)
    }
}
