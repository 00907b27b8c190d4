"""What JavaScript and TypeScript are given and give back."""

from __future__ import annotations

import pytest

from forge_evaluator.sandbox import Answer, Job, Language

pytestmark = pytest.mark.integration

SHAPES = {
    "function": "function add(a, b) { return a + b }",
    "constant": "const add = (a, b) => a + b;",
    "async": "const add = async (a, b) => { await null; return a + b };",
    "exports": "exports.add = (a, b) => a + b;",
    "module.exports": "module.exports = { add(a, b) { return a + b } };",
    "export": "export function add(a, b) { return a + b }",
    "export default": "export default (a, b) => a + b;",
    "module with imports": "import assert from 'node:assert';\nassert(true);\nconst add = (a, b) => a + b;\nexport { add };",
    "module with an import of another form": "import * as os from 'os';\nconst add = (a, b) => a + b;",
    "top-level await": "const zero = await Promise.resolve(0);\nfunction add(a, b) { return zero + a + b }",
    "require": "const { strict } = require('assert');\nfunction add(a, b) { strict.ok(true); return a + b }",
}
TYPED = {
    "annotations": "function add(a: number, b: number): number { return a + b }",
    "interfaces and generics": "interface P<T> { readonly a: T }\ntype N = P<number>;\n"
    "const add = <T extends number>(a: T, b: T): number => { const p: N = { a }; return p.a + (b as number) };",
    "export": "export const add = (a: number, b: number) => a! + b;",
    "enum": "enum Zero { A = 0 }\nexport function add(a: number, b: number) { return Zero.A + a + b }",
    "parameter properties": "class S { constructor(private a: number, public b: number) {}\n sum(): number { return this.a + this.b } }\n"
    "function add(a: number, b: number) { return new S(a, b).sum() }",
    "namespace": "namespace M { export const zero = 0 }\nfunction add(a: number, b: number) { return a + b + M.zero }",
}


@pytest.fixture(scope="module")
def node(pool):
    if not pool.tier.node:
        pytest.skip(f"no Node behind these walls: {pool.tier.description}")
    return pool


def call(node, code, entry_point, *arguments, language=Language.JAVASCRIPT):
    execution = node.run(Job(code, entry_point, (arguments,), language))
    assert len(execution.replies) == 1, execution
    return execution.replies[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_however_a_function_is_defined_it_is_found(node, shape):
    assert call(node, SHAPES[shape], "add", 2, 3).value == 5


@pytest.mark.parametrize("shape", TYPED)
def test_types_are_taken_off(node, shape):
    assert call(node, TYPED[shape], "add", 2, 3, language=Language.TYPESCRIPT).value == 5


@pytest.mark.parametrize(
    "value",
    [
        None, True, -3, 1.5, "é\n\0", "\U0001f600", [], [1, [2]], {"a": {"b": []}}, {"$undefined": True},
        {"$number": "NaN"}, {"$number": "-Infinity"}, {"$int": "0x1fffffffffffffffff"}, {"$int": "-0x5"},
        {"$dict": [[1, "one"], ["$x", 2]]}, {"$set": [1, "a"]}, {"$bytes": "00ff"},
        {"$date": "2026-03-01T00:00:00.000Z"},
    ],
)  # fmt: skip
def test_values_travel_whole(node, value):
    assert call(node, "const same = (x) => x;", "same", value).value == value


def test_values_become_javascripts_own(node):
    code = "const kinds = (...xs) => xs.map((x) => x?.constructor?.name ?? String(x));"
    given = [
        {"$dict": []},
        {"$set": []},
        {"$int": "0x1"},
        {"$undefined": True},
        {"$tuple": [1]},
        {"$bytes": ""},
        None,
    ]

    told = call(node, code, "kinds", *given, float("inf")).value

    assert told == ["Map", "Set", "BigInt", "undefined", "Array", "Uint8Array", "null", "Number"]


@pytest.mark.parametrize(
    ("code", "text", "line"),
    [
        ("\nfunction f() {\n  null.x;\n}", "TypeError: Cannot read properties of null (reading 'x')", 3),
        (
            "\nexport function f() {\n  null.x;\n}",
            "TypeError: Cannot read properties of null (reading 'x')",
            3,
        ),
        ("function f() { throw 'words' }", "thrown: words", None),
        ("class Own extends Error {}\nfunction f() { throw new Own('mine') }", "Own: mine", 2),
        ("async function f() { await null; throw new RangeError('late') }", "RangeError: late", 1),
        ("function g() {}", "ReferenceError: f is not defined", None),
    ],
)
def test_errors_are_told_with_their_line(node, code, text, line):
    reply = call(node, code, "f")

    assert (reply.kind, reply.text, reply.line) == (Answer.RAISED, text, line)


@pytest.mark.parametrize("language", [Language.JAVASCRIPT, Language.TYPESCRIPT])
def test_what_does_not_parse_is_told_at_loading(node, language):
    execution = node.run(Job("function f( {", "f", ((),), language))

    assert execution.loaded.kind is Answer.RAISED
    assert "SyntaxError" in execution.loaded.text
    assert execution.replies == ()


def test_calls_of_one_job_share_their_module_as_in_python(node):
    execution = node.run(Job("let n = 0;\nconst next = () => ++n;", "next", ((), ()), Language.JAVASCRIPT))

    assert [reply.value for reply in execution.replies] == [1, 2]
