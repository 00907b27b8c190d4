"""What is asked of a program, in each language that answers come in."""

from __future__ import annotations

import pytest

from forge_evaluator.scorers.similarity import similarity
from forge_evaluator.syntax import Arity, knows, parse


@pytest.mark.parametrize(
    ("language", "code", "arity"),
    [
        ("python", "def f(a, b=1): pass", Arity(1, 2)),
        ("python", "async def f(*a): pass", Arity(0, None)),
        ("python", "class f: pass", None),
        ("javascript", "function f(a, b = 1, ...c) {}", Arity(1, None)),
        ("javascript", "const f = x => x", Arity(1, 1)),
        ("javascript", "exports.f = async (a, b) => a", Arity(2, 2)),
        ("javascript", "class f { constructor(a) {} }", None),
        ("typescript", "export function f(a: number, b?: string, c = 1): void {}", Arity(1, 3)),
        ("typescript", "export default function f(a: number) { return a }", Arity(1, 1)),
    ],
)
def test_a_function_takes_as_many_arguments_as_it_says(language, code, arity):
    program = parse(code, language)

    assert program.defines("f")
    assert program.arity("f") == arity


@pytest.mark.parametrize(
    ("language", "code", "is_stub"),
    [
        ("python", "def f(x):\n    '''Why.'''\n    return []", True),
        ("python", "def f(x):\n    raise NotImplementedError", True),
        ("python", "class f:\n    def g(self): pass", True),
        ("python", "def f(x):\n    return x", False),
        ("javascript", "function f(x) { return null; }", True),
        ("javascript", "const f = (x) => { throw new Error('no'); }", True),
        ("javascript", "function f(x) { return [x]; }", False),
        ("javascript", "const f = (x) => x + 1", False),
        ("sql", "SELECT NULL;", True),
        ("sql", "SELECT a FROM t", False),
        ("bash", "#!/bin/bash\nexit 0", True),
        ("bash", "helper() { grep x y; }", True),
        ("bash", "helper() { grep x y; }\nhelper", False),
        ("bash", "echo $1", False),
    ],
)
def test_a_program_that_works_nothing_out_is_a_stub(language, code, is_stub):
    assert parse(code, language).is_stub("f") is is_stub


@pytest.mark.parametrize(
    ("language", "code", "what"),
    [
        ("python", "import os.path\nos.path.join(eval('1'))", ["call:eval", "call:os.path.join", "call:join", "import:os", "Call", "call"]),
        ("python", "def f():\n    while True:\n        pass", ["While", "while_statement"]),
        ("javascript", "const fs = require('node:fs'); for (const a of b) a.sort();", ["import:fs", "call:sort", "for_in_statement"]),
        ("typescript", "import { x } from 'y'; eval('1')", ["import:y", "call:eval"]),
    ],
)  # fmt: skip
def test_a_rule_names_calls_imports_and_node_types(language, code, what):
    program = parse(code, language)

    assert [item for item in what if not program.uses(item)] == []
    assert [
        item for item in ("call:nothing", "import:nothing", "class_definition") if program.uses(item)
    ] == []


def test_a_rule_that_no_grammar_knows_is_noticed():
    assert all(knows(name, "python") for name in ("While", "while_statement", "call:eval", "import:re"))
    assert knows("for_in_statement", "javascript")
    assert not any(knows(name, "python") for name in ("whilst", "call:", "ForLoop"))


def test_the_longest_function_is_counted_without_its_docstring():
    code = 'def f(a,\n      b):\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n'

    assert parse(code, "python").longest_function() == 4
    assert parse("function f() {\n  return 1;\n}", "javascript").longest_function() == 3


SAME = {
    "python": ("def f(a):\n    t = 0\n    for x in a:\n        t += x\n    return t", "def f(values):\n    total = 0  # so far\n    for value in values:\n        total += value\n    return total"),
    "javascript": ("function f(a) { let t = 0; for (const x of a) t += x; return t; }", "function f(vs) {\n  let sum = 0; // so far\n  for (const v of vs) sum += v;\n  return sum;\n}"),
    "typescript": ("function f(a: number[]) { return a.map((x) => x * 2); }", "function f(vs: Array<number>): number[] { return vs.map((v) => v * 2); }"),
    "sql": ("SELECT c.name, SUM(o.x) AS s FROM c JOIN o ON o.c = c.id GROUP BY c.name", "select k.name, sum(p.x) as total from c as k join o as p on p.c = k.id group by k.name -- why"),
    "bash": ('n=$(wc -l < "$1")\necho "$n"', '# count\nlines=$(wc -l < "$1")\necho "$lines"'),
}  # fmt: skip
OTHER = {
    "python": "import re\n\ndef f(s):\n    return [m.group() for m in re.finditer('x', s)]",
    "javascript": "const f = (s) => s.split(',').filter(Boolean).join('-');",
    "typescript": "class f { private x = 1; get(): number { return this.x; } }",
    "sql": "INSERT INTO t SELECT DISTINCT a FROM u WHERE b LIKE 'x%' ORDER BY a LIMIT 3",
    "bash": "find . -name '*.txt' -exec rm {} +",
}


@pytest.mark.parametrize("language", SAME)
def test_likeness_is_blind_to_names_and_comments_and_not_to_what_is_done(language):
    left, right = SAME[language]

    assert similarity(left, right, language) > 0.99
    assert similarity(left, OTHER[language], language) < 0.5


@pytest.mark.parametrize(
    ("language", "code"),
    [("go", "package a\nfunc F(a int) int { return a }"), ("rust", "fn f(a: i32) -> i32 { a }"), ("c", "int f(int a) { return a; }"),
     ("cpp", "int f(std::vector<int> a) { return a[0]; }"), ("java", "class A { int f(int a) { return a; } }")],
)  # fmt: skip
def test_other_languages_are_read(language, code):
    assert parse(code, language).is_code()
    assert parse(code.replace("{", "(", 1), language) is None
    assert parse(code, "cobol") is None


@pytest.mark.parametrize("language", ["python", "javascript", "sql", "bash", "typescript"])
@pytest.mark.parametrize(
    "code", ["(" * 5_000, "[" * 5_000, "1+" * 20_000 + "1", "-" * 5_000 + "1", "\0", "\ud800"]
)
def test_hostile_nesting_is_no_program_or_a_deep_one_and_never_an_error(language, code):
    program = parse(code, language)

    if program is not None:
        assert program.subtrees().total() >= 0
        assert isinstance(program.tokens(), list)
