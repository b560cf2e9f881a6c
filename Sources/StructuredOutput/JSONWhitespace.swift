/// Where generated JSON may have space between its tokens. Always bounded, so that no model can go on with
/// space for ever.
public enum JSONWhitespace: Sendable, Hashable {
    /// Nowhere.
    case compact
    /// At most one space after `{`, `[`, `,` and `:`, before `}` and `]`, and before the document.
    case singleSpace
    /// As `singleSpace`, or a line end and up to 32 spaces or tabs instead of a space.
    case indented

    var expression: Expression {
        switch self {
        case .compact: .empty
        case .singleSpace: .optional(.text(" "))
        case .indented:
            .optional(
                .choice([
                    .text(" "),
                    .sequence([
                        .text("\n"), .repetition(.scalars(ScalarSet(" \t")), minimum: 0, maximum: 32),
                    ]),
                ]))
        }
    }
}
