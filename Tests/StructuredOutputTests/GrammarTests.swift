import Testing

@testable import StructuredOutput

@Suite struct GrammarTests {
    static let arithmetic = """
        # sums and products
        root ::= sum
        sum ::= product (("+" | "-") product)*
        product ::= atom ("*" atom)*
        atom ::= [0-9]+ | "(" sum ")"
        """

    @Test(arguments: [
        (arithmetic, ["1", "1+2*3", "((1))-(2*(3+4))"], ["", "1+", "(1", "1)"]),
        ("root ::= \"a\" root \"b\" | \"\"", ["", "ab", "aaabbb"], ["aab", "abb", "ba"]),
        (
            "root ::= item (\",\" item){2}\nitem ::= 'x' | \"\\\"\" [^\"]{1,3} \"\\\"\"", ["x,x,\"é日😀\""],
            ["x,x"]
        ),
        (
            "root ::= \"yes\"\n  | \"no\"\n  | other\nother ::= . . .", ["yes", "no", "xyz", "日本語"],
            ["x", "yess"]
        ),
        ("root ::= ws \"x\" ws\nws ::= [ \\t\\n] ws | \"\"", ["x", "  x\n\t"], ["", "y"]),
        ("root ::= a? b+ \"\\x41\\u0042\"\na ::= \"a\" b ::= \"b\"", ["abbAB", "bAB"], ["aAB"]),
        (
            "root ::= s\ns ::= p \"+\" s | p\np ::= \"(\" s \")\" | \"1\"", ["((((1))))+1", "1+1+(1+1)"],
            ["((1)"]
        ),
        ("root ::= x{2,} \"!\"\nx ::= \"ab\"", ["abab!", "ababab!"], ["ab!"]),
    ])
    func matches(_ text: String, _ matches: [String], _ others: [String]) throws {
        let grammar = try CompiledGrammar(Grammar(grammar: text), tokens: Vocabularies.small)
        for match in matches { #expect(isAccepted(match, by: grammar), "\(match)") }
        for other in others { #expect(!isAccepted(other, by: grammar), "\(other)") }
    }

    @Test(arguments: [
        ("root ::= root \"a\"", StructuredOutputError.Code.invalid),
        ("root ::= a \"x\"\na ::= b?  root", .invalid), ("root ::= x\nx ::= \"\" y | z\ny ::= x", .invalid),
        ("root ::= missing", .invalid), ("other ::= \"a\"", .invalid), ("", .invalid),
        ("root ::= [a", .invalid),
        ("root ::= \"a", .invalid), ("root ::= (\"a\"", .invalid), ("root = \"a\"", .invalid),
        ("root ::= \"a\" root", .unsatisfiable), ("root ::= a\na ::= \"x\" b\nb ::= \"y\" a", .unsatisfiable),
        ("root ::= \"a\" (= \"b\")", .unsupported), ("root ::= \"a\"{1000000000}", .tooComplex),
        ("root ::= \"a\"{100000000}", .tooComplex), ("root ::= \"a\"\nroot ::= \"b\"", .invalid),
        ("root ::= " + String(repeating: "(", count: 100_000), .tooComplex),
    ])
    func refusesByName(_ text: String, _ expected: StructuredOutputError.Code) {
        let time = ContinuousClock().measure {
            #expect(
                code { _ = try CompiledGrammar(Grammar(grammar: text), tokens: Vocabularies.small) }
                    == expected,
                "\(text.prefix(60))")
        }
        #expect(time < patience, "\(text.prefix(60)) took \(time)")
    }

    /// Deep texts stop being allowed before they cost too much, and all that was begun can be finished.
    @Test func nestsToALimit() throws {
        var limits = GrammarLimits()
        limits.nesting = 10
        let grammar = try CompiledGrammar(
            Grammar(grammar: "root ::= \"[[\" root \"]]\" | \"x\"", limits: limits),
            tokens: Vocabularies.small)
        let open = String(repeating: "[[", count: 10), close = String(repeating: "]]", count: 10)
        #expect(isAccepted(open + "x" + close, by: grammar))
        var matcher = grammar.matcher()
        let (isOpened, isDeeper) = (matcher.advance(bytes: Array(open.utf8)), matcher.advance(bytes: [0x5B]))
        #expect(isOpened && !isDeeper)
        #expect(matcher.forcedBytes() == Array(("x" + close).utf8))
    }

    @Test func choicesAreWhole() throws {
        let grammar = try CompiledGrammar(
            Grammar(choices: ["yes", "yesterday", "no", "日"]), tokens: Vocabularies.small)
        for text in ["yes", "yesterday", "no", "日"] { #expect(isAccepted(text, by: grammar)) }
        for text in ["", "ye", "yesn", "n"] { #expect(!isAccepted(text, by: grammar)) }
        #expect(code { _ = try Grammar(choices: []) } == .invalid)
        #expect(code { _ = try Grammar(choices: ["a", ""]) } == .invalid)
        #expect(code { _ = try Grammar(choices: Array(repeating: "a", count: 1_000_000)) } == .tooComplex)
    }
}
