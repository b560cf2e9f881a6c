import CPCRE2

/// A compiled regular expression over UTF-8.
final class Pattern: @unchecked Sendable {
    // Unsafe: compiled code is read-only; each call has match data of its own.
    private let code: OpaquePointer
    private let context: OpaquePointer

    init(_ source: String) throws(TokenizerError) {
        var (error, offset): (Int32, Int) = (0, 0)
        // In Ruby's dialect, which Oniguruma is used with, ^ and $ are about lines.
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE
        let bytes = Array(try Self.translated(source).utf8)
        guard let code = pcre2_compile_8(bytes, bytes.count, options, &error, &offset, nil),
            let context = pcre2_match_context_create_8(nil)
        else {
            throw .malformed("the pattern \(source) is wrong at byte \(offset)")
        }
        (self.code, self.context) = (code, context)
        // Slower, not wrong, where the processor has no compiler.
        _ = pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE)
        pcre2_set_match_limit_8(context, 10_000_000)
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_code_free_8(code)
    }

    /// The matches in each of `ranges` of `text`, which must be valid UTF-8, from left to right; empty ones
    /// are left out. What lies outside a range does not exist for the pattern.
    func matches(in text: [UInt8], _ ranges: [Range<Int>], _ found: (Int, Range<Int>) -> Void)
        throws(TokenizerError)
    {
        guard let data = pcre2_match_data_create_8(1, nil) else { throw .patternTooCostly }
        defer { pcre2_match_data_free_8(data) }
        let status = text.withUnsafeBufferPointer { buffer -> Int32 in
            guard let base = buffer.baseAddress else { return PCRE2_ERROR_NOMATCH }
            for (piece, range) in ranges.enumerated() {
                var start = 0
                while start < range.count {
                    let status = pcre2_match_8(
                        code, base + range.lowerBound, range.count, start,
                        PCRE2_NO_UTF_CHECK | UInt32(PCRE2_NOTEMPTY), data, context)
                    if status == PCRE2_ERROR_NOMATCH { break }
                    guard status >= 0, let bounds = pcre2_get_ovector_pointer_8(data) else { return status }
                    found(piece, range.lowerBound + bounds[0]..<range.lowerBound + bounds[1])
                    start = bounds[1]
                }
            }
            return PCRE2_ERROR_NOMATCH
        }
        guard status == PCRE2_ERROR_NOMATCH else { throw .patternTooCostly }
    }

    /// The matches in the whole of `text`.
    func matches(in text: [UInt8]) throws(TokenizerError) -> [Range<Int>] {
        var found: [Range<Int>] = []
        try matches(in: text, [0..<text.count]) { found.append($1) }
        return found
    }

    /// Rewrites what Oniguruma, which tokenizer.json means, reads otherwise: `\s` and `\S` are Unicode's
    /// White_Space (PCRE2 also counts U+180E), and a class within a class is part of it.
    private static func translated(_ source: String) throws(TokenizerError) -> String {
        let spaces =
            #"\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"#
        var (result, isEscaped, depth) = (String.UnicodeScalarView(), false, 0)
        for scalar in source.unicodeScalars {
            if isEscaped {
                isEscaped = false
                switch scalar {
                case "s": result += (depth > 0 ? spaces : "[\(spaces)]").unicodeScalars
                case "S" where depth == 0: result += "[^\(spaces)]".unicodeScalars
                default: result += ["\\", scalar]
                }
                continue
            }
            switch scalar {
            case "\\": isEscaped = true
            case "[":
                depth += 1
                if depth == 1 { result.append(scalar) }
            case "]" where depth > 0:
                depth -= 1
                if depth == 0 { result.append(scalar) }
            case "^" where depth > 1 && source.contains("[^"):
                throw .unsupported("the pattern \(source) with a negated class in a class")
            case "&" where depth > 0 && source.contains("&&"):
                throw .unsupported("the pattern \(source) with an intersection of classes")
            default: result.append(scalar)
            }
        }
        return String(result) + (isEscaped ? "\\" : "")
    }
}
