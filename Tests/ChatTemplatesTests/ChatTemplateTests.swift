import ChatTemplates
import JSON
import OrderedCollections
import Testing

@Suite struct ChatTemplateTests {
    private func render(_ source: String, _ variables: JSONValue.Members = [:]) throws -> String {
        try ChatTemplate(source).render(variables)
    }

    @Test(arguments: [
        ("{{ 1 + 2 * 3 }}", "7"), ("{{ 'a' ~ 1 ~ none }}", "a1None"), ("{{ [1, 2][-1] }}", "2"),
        ("{{ 'héllo'[1] }}", "é"),
        ("{% for i in range(3) %}{{ loop.index }}{% if not loop.last %},{% endif %}{% endfor %}", "1,2,3"),
        ("{% for i in [] %}x{% else %}none{% endfor %}", "none"), ("{{ x is defined }}", "False"),
        ("{%- set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1"),
        ("{% set ns = namespace(x=1) %}{% for i in [1] %}{% set ns.x = 2 %}{% endfor %}{{ ns.x }}", "2"),
        ("{% macro m(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, b=2) }}", "1d12"),
        ("{{ {'a': {'b': 3}}.a['b'] }}", "3"), ("{{ 'a' in 'cat' and 2 not in [1] }}", "True"),
        ("{% if true -%}  \n x  {%- endif %} y", "x y"), ("{# c #}z\n", "z"),
        ("{{ 'x' if false else 'y' }}", "y"),
        ("{{ ' a b '.split() | join('-') }}", "a-b"), ("{{ -7 // 2 }} {{ -7 % 3 }}", "-4 2"),
        ("{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}", "a2b1"),
        ("{% for x in [1,2,3] if x != 2 %}{{ x }}{{ loop.length }}{% endfor %}", "1232"),
        ("{% set a, b = [1, 2] %}{{ b }}{{ a }}", "21"), ("{{ 'é' == 'e\u{301}' }}", "False"),
    ])
    func renders(_ source: String, _ expected: String) throws { #expect(try render(source) == expected) }

    @Test(arguments: [
        "{% if %}", "{% for x %}{% endfor %}", "{{ 1 + }}", "{% endif %}", "{{ 'a }}", "{% include 'x' %}",
        "{{ (1 }}", "{% if 1 %}",
        "{{ a b }}", "{# open", "{% raw %}x", "{{ 99999999999999999999 }}", "{% set x %}", "{{ f(*a) }}",
        "{{ $ }}",
    ])
    func refusesWhatItDoesNotUnderstand(_ source: String) {
        #expect(throws: ChatTemplateError.self) { try ChatTemplate(source) }
    }

    @Test(arguments: [
        ("{{ x.y }}", "'x' is undefined"), ("{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str"),
        ("{% for x in none %}{% endfor %}", "'NoneType' object is not iterable"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ [].append(1) }}", "not safely callable"), ("{{ raise_exception('no') }}", "no"),
        ("{{ 'a' | nope }}", "nope"),
        ("{{ 1 is nope }}", "nope"), ("{{ 'a' < 1 }}", "not supported"),
        ("{{ 9223372036854775807 + 1 }}", "too large"),
        ("{{ messages() }}", "is undefined"), ("{{ range(1, 2, 0) }}", "must not be zero"),
        ("{{ 'a'.split('') }}", "empty separator"),
    ])
    func failsWithAMessage(_ source: String, _ message: String) {
        #expect { try render(source) } throws: { "\($0)".contains(message) }
    }

    /// No template reaches the interpreter's insides.
    @Test(arguments: [
        "{{ ''.__class__ }}", "{{ ''['__class__'] }}", "{{ [].__init__ }}", "{{ {}.__dict__ }}",
        "{{ x.__globals__ }}",
    ])
    func hasNoReachThrough(_ source: String) {
        #expect((try? render(source, ["x": [:]])) ?? "" == "")
    }

    /// Every way to run for ever, or to use all memory or the whole stack, ends in an error.
    @Test(arguments: [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'x' * 999999999999 }}",
        "{{ range(999999999) }}",
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x].index %}{% endfor %}",
        "{{ ('\\n' * 4000000) | indent(1000) | length }}", "{{ ([1] * 9000) | join('x' * 9000) | length }}",
        "{{ ([('x' * 7000000)] * 9000) | tojson }}", "{{ ([('x' * 7000000)] * 9000) | string | length }}",
        "{% set x = [1] * 100000 %}{% for i in range(99999) %}{% set y = x %}{% endfor %}",
        "{% set x = [1] * 100000 %}{% for i in range(99999) %}{{ x == x }}{% endfor %}",
    ])
    func limitsWork(_ source: String) {
        let time = ContinuousClock().measure {
            #expect { try render(source) } throws: { error in
                if case .limitReached? = error as? ChatTemplateError { true } else { false }
            }
        }
        #expect(time < .seconds(20), "\(source)")
    }

    @Test(arguments: [
        "{% set ns = namespace(a=1) %}{% set ns.a = ns %}",
        "{% set ns = namespace(a=1) %}{% set ns.a = [{'b': ns}] %}",
        "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = namespace(x=ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(9) %}{% set ns = namespace(x=ns) %}{% endfor %}",
    ])
    func namespacesHoldNoNamespaces(_ source: String) {
        #expect { try render(source) } throws: { "\($0)".contains("cannot hold a namespace") }
    }

    @Test func nestingIsLimited() {
        for (open, close) in [
            ("(", ")"), ("[", "]"), ("{% if 1 %}", "{% endif %}"), ("not ", ""), ("-", ""), ("x.y", ""),
            ("1+", "1"),
        ] {
            let core = String(repeating: open, count: 20_000) + "1" + String(repeating: close, count: 20_000)
            let source = open.hasPrefix("{%") ? core : "{{ " + core + " }}"
            #expect(throws: ChatTemplateError.self, "\(open)") { _ = try ChatTemplate(source).render([:]) }
        }
    }

    /// No damage to a real template does worse than throw.
    @Test func survivesDamage() {
        let source = """
            {%- for m in messages if m.role != 'system' -%}{{ m['role'] | upper ~ "\\n" + m.content[1:-1] }}
            {%- set ns = namespace(a=[1, {'k': 2.5e3}]) %}{% macro f(a, b=none) %}{{ a is defined }}{% endmacro %}{{ f(1) }}
            {%- endfor %}{% if tools %}{{ tools | tojson(indent=2) }}{% elif not x %}{# c #}{% else %}{% endif %}
            """
        let bytes = Array(source.utf8)
        let variables: JSONValue.Members = [
            "messages": [["role": "user", "content": "hello"]], "tools": [1],
        ]
        for index in bytes.indices {
            _ = try? ChatTemplate(String(decoding: bytes[..<index], as: UTF8.self)).render(variables)
            for byte in Array("{}%'\"([|.- \n".utf8) {
                var damaged = bytes
                damaged[index] = byte
                _ = try? ChatTemplate(String(decoding: damaged, as: UTF8.self)).render(variables)
            }
        }
    }
}
