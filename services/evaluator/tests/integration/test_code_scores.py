"""Each kind of code check in the real sandbox: what right, half right and worthless answers are worth."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import read
from forge_evaluator.benchmarks.selftest import check
from forge_evaluator.metamorphic import measure
from forge_evaluator.sandbox import Pool
from forge_evaluator.scorers import Answered, score

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def pool(best_tier):
    with Pool(best_tier) as pool:
        yield pool


JAVASCRIPT = {
    "id": "js", "prompt": "Write countWords(text, least = 1): a Map-free object of how often each word of `text` occurs, "
    "without those that occur fewer than `least` times.", "requirements": ["split", "Handles an empty text without failing"],
    "gold_answer": "```javascript\nfunction countWords(text, least = 1) {\n  const counts = {};\n"
    "  for (const word of text.split(' ')) {\n    if (word) counts[word] = (counts[word] || 0) + 1;\n  }\n"
    "  return Object.fromEntries(Object.entries(counts).filter(([, n]) => n >= least));\n}\n```",
    "check": {"kind": "code", "language": "javascript", "entry_point": "countWords", "tests": [
        {"args": ["a b a"], "expected": {"a": 2, "b": 1}}, {"args": ["a b a", 2], "expected": {"a": 2}},
        {"args": [""], "expected": {}, "hidden": True}]},
}  # fmt: skip
TYPESCRIPT = {
    "id": "ts", "prompt": "Write mean(values: number[]): number in TypeScript; 0 for none.",
    "gold_answer": "```typescript\nexport function mean(values: number[]): number {\n  if (values.length === 0) return 0;\n"
    "  let total: number = 0;\n  for (const value of values) total += value;\n  return total / values.length;\n}\n```",
    "check": {"kind": "code", "language": "typescript", "entry_point": "mean", "tests": [
        {"args": [[1, 2]], "expected": 1.5}, {"args": [[2, 4]], "expected": 3.0}, {"args": [[5]], "expected": 5}]},
}  # fmt: skip
SQL = {
    "id": "sql", "prompt": "Tables: customers(id, name), orders(id, customer, total). The name of every customer with the sum of "
    "their orders (0 without any), largest first.",
    "gold_answer": "```sql\nSELECT c.name, COALESCE(SUM(o.total), 0) AS total\nFROM customers c\n"
    "LEFT JOIN orders o ON o.customer = c.id\nGROUP BY c.id\nORDER BY total DESC, c.name;\n```",
    "check": {"kind": "sql", "setup": "CREATE TABLE customers(id INTEGER, name TEXT);"
              "CREATE TABLE orders(id INTEGER, customer INTEGER, total REAL);", "tests": [
        {"data": "INSERT INTO customers VALUES (1,'Ann'),(2,'Bob');INSERT INTO orders VALUES (1,2,5),(2,2,7.5);",
         "expected": [["Bob", 12.5], ["Ann", 0]], "ordered": True},
        {"data": "INSERT INTO customers VALUES (1,'Eve');INSERT INTO orders VALUES (1,1,2);", "expected": [["Eve", 2]]}]},
}  # fmt: skip
SHELL = {
    "id": "sh", "prompt": "A bash script that prints how many lines of the file named by its first argument hold the word "
    "`error`; with status 2 when there is no such file.",
    "gold_answer": '```bash\n#!/usr/bin/env bash\nfile="$1"\nif [ ! -f "$file" ]; then\n  echo "no such file" >&2\n  exit 2\nfi\n'
    'grep -cw error "$file" || true\n```',
    "check": {"kind": "shell", "tests": [
        {"args": ["log"], "files": {"log": "an error\nfine\nerror again\n"}, "stdout": "2\n"},
        {"args": ["log"], "files": {"log": "fine\nterror\n"}, "stdout": "0\n"}, {"args": ["none"], "exit_status": 2}]},
}  # fmt: skip
HARNESS = {
    "id": "he", "prompt": "from typing import List\n\n\ndef widest(values: List[int]) -> int:\n"
    '    """The largest difference of two neighbours.\n    >>> widest([1, 5, 3])\n    4\n    """\n',
    "gold_answer": "    best = 0\n    for left, right in zip(values, values[1:]):\n        best = max(best, abs(left - right))\n    return best\n",
    "check": {"kind": "harness", "entry_point": "widest", "preamble": "from typing import List",
              "tests": "def check(candidate):\n    assert candidate([1, 5, 3]) == 4\n    assert candidate([]) == 0\n    assert candidate([9, 2]) == 7\n"},
}  # fmt: skip
KINDS = {"javascript": JAVASCRIPT, "typescript": TYPESCRIPT, "sql": SQL, "shell": SHELL, "harness": HARNESS}


def task(line):
    return read(json.dumps(line).encode()).tasks[0]


def judged(line, text, pool):
    return score(task(line), Answered(text=text), Scoring(), pool)


@pytest.mark.parametrize("line", KINDS.values(), ids=KINDS)
def test_gold_passes_and_worthless_answers_do_not(pool, line):
    tested = check(read(json.dumps(line).encode()), pool)

    assert (tested.flaws, tested.untested) == ((), ())


@pytest.mark.parametrize("line", KINDS.values(), ids=KINDS)
def test_no_relation_between_scores_is_broken(pool, line):
    row = measure(task(line), lambda t, answered: score(t, answered, Scoring(), pool))

    assert row.broken == ()
    assert row.points["gold"] >= 95
    assert row.points["mutant"] < row.points["gold"] - 20


@pytest.mark.parametrize(
    ("kind", "answer", "outcome"),
    [
        ("javascript", "```js\nfunction countWords(text) { return text.nothing.there; }\n```", "error"),
        ("javascript", "```js\nfunction countWords(text) { for (;;) {} }\n```", "timeout"),
        ("javascript", "```js\nfunction countWords(text { return 1 }\n```", "error"),
        ("javascript", "```js\nfunction countWords(text, least = 1) {\n  return {", "truncated"),
        ("javascript", "I would count the words.", "no_code"),
        ("typescript", "```ts\nfunction mean(values: number[]): number { return 1.5; }\n```", "wrong"),
        ("sql", "```sql\nSELECT name, 0 FROM customers\n```", "wrong"),
        ("sql", "```sql\nSELECT name FROM nowhere\n```", "error"),
        ("shell", "```bash\necho 2\n```", "wrong"),
        ("shell", "```bash\nwhile :; do :; done\n```", "timeout"),
        ("harness", "    return 4\n", "wrong"),
        ("harness", "    raise ValueError\n", "error"),
        ("harness", "    import os\n    os._exit(0)\n", "died"),
    ],
)
def test_how_an_answer_fails_is_its_verdict(pool, kind, answer, outcome):
    assert judged(KINDS[kind], answer, pool).outcome == outcome


def test_some_cases_passed_earn_half_of_correctness_at_most(pool):
    found = judged(SHELL, '```bash\n#!/bin/bash\n[ -f "$1" ] || exit 2\necho 2\n```', pool)

    assert found.explanation == "2 of 3 cases passed"
    assert found.parts.correctness == 0.5


def test_a_query_that_the_grammar_does_not_know_is_right_when_the_database_says_so(pool):
    odd = SQL | {"check": SQL["check"] | {"tests": [{"expected": [[1]]}]}}

    assert (
        judged(odd, "```sql\nSELECT x'00' IS NOT NULL AS a /* sqlite */ LIMIT 1 OFFSET +0\n```", pool).points
        > 80
    )


def test_a_rule_of_the_task_counts_as_a_failing_case(pool):
    ruled = JAVASCRIPT | {
        "check": JAVASCRIPT["check"] | {"forbids": ["for_in_statement"], "max_function_lines": 3}
    }

    found = judged(ruled, ruled["gold_answer"], pool)

    assert found.parts.correctness == 0.5
    assert any("which the task forbids" in line for line in found.evidence)
    assert any("7 lines, where the task allows 3" in line for line in found.evidence)


def test_the_given_code_repeated_is_no_answer(pool):
    given = "function countWords(text) {\n  return {};\n}"
    debugging = JAVASCRIPT | {"check": JAVASCRIPT["check"] | {"given": given}}

    found = judged(debugging, f"```js\n// fixed!\n{given.replace('  ', '    ')}\n```", pool)

    assert (found.points, found.outcome) == (0.0, "no_code")


def test_another_function_does_not_go_on_from_code_that_is_to_be_mended(pool):
    given = "function countWords(text) {\n  return {};\n}"
    debugging = JAVASCRIPT | {
        "prompt": f"Mend this:\n\n```javascript\n{given}\n```",
        "check": JAVASCRIPT["check"] | {"given": given},
    }

    found = judged(debugging, "```js\nfunction other(a) {\n  for (const b of a) return b;\n}\n```", pool)

    assert found.points <= 15


def test_a_query_of_other_tables_is_not_what_was_asked_for(pool):
    found = judged(SQL, "```sql\nSELECT name FROM plants GROUP BY name ORDER BY name\n```", pool)

    assert found.points <= 15
    assert "not what was asked for" in found.explanation
