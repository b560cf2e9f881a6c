public import JSON

/// The rules that all JSON shares, beside those of one schema.
struct JSONRules {
    private(set) var rules = RuleSet()
    let space: Expression
    /// One character of a string as it is written, and a whole string.
    let character: Int
    let string: Int
    let integer: Int
    let number: Int
    /// Any value.
    let value: Int

    let spelling: JSONSpelling

    init(whitespace: JSONWhitespace, spelling: JSONSpelling = .json) {
        space = whitespace.expression
        self.spelling = spelling
        let characterBody = Self.characterBody(spelling)
        character = rules.add("character", characterBody)
        string = rules.add("string", .sequence([.text("\""), .many(characterBody), .text("\"")]))
        integer = rules.add("integer", .sequence([.optional(.text("-")), Self.wholeNumber]))
        let digit = Expression.scalars(.digits)
        number = rules.add(
            "number",
            .sequence([
                .optional(.text("-")), Self.wholeNumber,
                .optional(.sequence([.text("."), .repetition(digit, minimum: 1, maximum: 17)])),
                .optional(
                    .sequence([
                        .scalars(ScalarSet("eE")), .optional(.scalars(ScalarSet("+-"))),
                        .repetition(digit, minimum: 1, maximum: 2),
                    ])),
            ]))
        value = rules.reserve("value")
        let pair = Expression.sequence([.rule(string), .text(":"), space, .rule(value)])
        rules.rules[value].body = .choice([
            .rule(string), .rule(number),
            .literals([JSONValue.bool(true), .bool(false), .null].map { Array(spelling.text($0).utf8) }),
            list(of: pair, open: "{", close: "}"), list(of: .rule(value), open: "[", close: "]"),
        ])
    }

    /// Up to 18 digits, which fit an integer.
    private static let wholeNumber = Expression.choice([
        .text("0"),
        .sequence([
            .scalars(ScalarSet([0x31...0x39])), .repetition(.scalars(.digits), minimum: 0, maximum: 17),
        ]),
    ])

    /// As it is, or escaped; halves of surrogate pairs only in pairs.
    private static func characterBody(_ spelling: JSONSpelling) -> Expression {
        let hexadecimal = Expression.scalars(ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66]))
        let notD = Expression.scalars(
            ScalarSet([0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66]))
        let d = Expression.scalars(ScalarSet("dD"))
        let unit = Expression.choice([
            .sequence([notD, .times(3, hexadecimal)]),
            .sequence([d, .scalars(ScalarSet([0x30...0x37])), .times(2, hexadecimal)]),
            .sequence([
                d, .scalars(ScalarSet("89abAB")), .times(2, hexadecimal), .text("\\u"), d,
                .scalars(ScalarSet("cdefCDEF")), .times(2, hexadecimal),
            ]),
        ])
        return .choice([
            .scalars(ScalarSet([0x20...0x10FFFF]).subtracting(ScalarSet("\"\\" + spelling.escaped))),
            .sequence([
                .text("\\"), .choice([.scalars(ScalarSet("\"\\/bfnrt")), .sequence([.text("u"), unit])]),
            ]),
        ])
    }

    /// Any number of items between brackets, with commas between them.
    func list(of item: Expression, open: String, close: String) -> Expression {
        .sequence([
            .text(open), space,
            .optional(.sequence([item, .many(.sequence([.text(","), space, item])), space])), .text(close),
        ])
    }

    /// How many of the rules do not depend on the schema.
    static let commonCount = 5

    mutating func add(_ name: String, _ body: Expression) -> Int { rules.add(name, body) }

    mutating func reserve(_ name: String) -> Int { rules.reserve(name) }

    mutating func define(_ rule: Int, _ body: Expression) { rules.rules[rule].body = body }

    /// The rules, to begin with that of `root` after optional space.
    func finished(root: Expression) -> RuleSet {
        var rules = rules
        rules.root = rules.add("document", .sequence([space, root]))
        return rules
    }
}

extension Grammar {
    /// Any JSON object.
    public static func jsonObject(
        whitespace: JSONWhitespace = .singleSpace, limits: GrammarLimits = GrammarLimits()
    ) -> Grammar {
        let json = JSONRules(whitespace: whitespace)
        let pair = Expression.sequence([.rule(json.string), .text(":"), json.space, .rule(json.value)])
        return Grammar(
            rules: json.finished(root: json.list(of: pair, open: "{", close: "}")), limits: limits)
    }

    /// JSON documents that satisfy a schema: members in the schema's order, those it does not require
    /// optional.
    ///
    /// An object whose schema names members has those alone, unless `additionalProperties` says otherwise.
    /// See `docs/structured-output.md` for what is refused.
    ///
    /// Errors: `invalid`, `unsupported`, `unsatisfiable`, `tooComplex`.
    public init(
        jsonSchema: JSONValue, whitespace: JSONWhitespace = .singleSpace,
        limits: GrammarLimits = GrammarLimits()
    ) throws(StructuredOutputError) {
        var compiler = try SchemaCompiler(jsonSchema, whitespace: whitespace, limits: limits)
        self.init(rules: try compiler.compile(), limits: limits)
    }
}
