"""Metamorphic first: how an answer is dressed changes nothing about the code found in it."""

from __future__ import annotations

import time

import pytest

from forge_evaluator.extract import Extraction, extract, fences

CODE = "def solve(n):\n    return n * n"


@pytest.mark.parametrize(
    "answer",
    [
        CODE,
        f"```python\n{CODE}\n```",
        f"```\n{CODE}\n```",
        f"~~~py\n{CODE}\n~~~",
        f"`````Python title=x\n{CODE}\n`````",
        f"Sure! Here it is:\n\n```python\n{CODE}\n```\n\nIt squares `n`.",
        f"<think>maybe ```python\ndef solve(n): pass\n```</think>```python\n{CODE}\n```",
        f"\x1b[32m```python\x1b[0m\n{CODE}\n```",
        f"```python\r\n{CODE}\r\n```".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"```python\n{CODE}\n```\nUsage:\n```python\nassert solve(2) == 4\nprint(solve(3))\n```",
        f"```python\n{CODE}\n```\nOutput:\n```text\n9\n```\n```bash\npython solve.py\n```",
        f"First try:\n```python\ndef solve(n):\n    return n\n```\nBetter:\n```python\n{CODE}\n```",
        f"```python\ndef helper():\n    pass\n```\n```python\n{CODE}\n```",
        f"1. Item\n   ```python\n{CODE}\n   ```",
    ],
)
def test_dress_changes_nothing(answer):
    assert extract(answer, "solve") == Extraction(CODE)


def test_an_unclosed_fence_is_truncated_and_still_tried():
    assert extract(f"```python\n{CODE}", "solve") == Extraction(CODE, is_truncated=True)


def test_blocks_are_joined_when_none_defines_the_entry_point():
    answer = "```python\na = 1\n```\ntext\n```python\nb = 2\n```"

    assert extract(answer, "solve").code == "a = 1\n\nb = 2"


def test_imports_in_a_block_of_their_own_come_along():
    answer = f"```python\nimport math\n```\nthen\n```python\n{CODE}\n```"

    assert extract(answer, "solve").code == f"import math\n{CODE}"


def test_the_longest_block_stands_when_none_parses():
    assert (
        extract("```python\ndef (\n```\n```python\ndef solve(n) return\n```", "solve").code
        == "def solve(n) return"
    )


@pytest.mark.parametrize(
    "answer",
    ["", "   \n", "Sorry", "I cannot help with that.", "```bash\nls\n```", "<think>def solve(n): pass", "42"],
)
def test_no_code_is_no_code(answer):
    assert extract(answer, "solve").code is None


def test_a_fence_is_closed_only_by_its_own_kind_and_length():
    (block,) = fences("````python\nx = '''\n```\n'''\n````\n")

    assert block.text == "x = '''\n```\n'''"


JS = "function solve(n) {\n  return n * n;\n}"
SQL = "SELECT name FROM people WHERE age > 3"
BASH = '#!/usr/bin/env bash\ngrep -c error "$1"'


@pytest.mark.parametrize(
    ("language", "answer", "code"),
    [
        ("javascript", JS, JS),
        ("javascript", f"```js\n{JS}\n```\nTry it:\n```js\nconsole.log(solve(2));\n```", JS),
        ("javascript", f"```js\nconst solve = 1;\n```\n```javascript\n{JS}\n```", JS),
        ("javascript", f"```python\n{CODE}\n```\nand in JavaScript:\n```js\n{JS}\n```", JS),
        ("javascript", f"```js\nconst fs = require('fs');\n```\n```js\n{JS}\n```", f"const fs = require('fs');\n{JS}"),
        ("typescript", f"```ts\nexport {JS.replace('(n)', '(n: number)')}\n```", f"export {JS.replace('(n)', '(n: number)')}"),
        ("javascript", "I would square it.", None),
        ("javascript", f"```python\n{CODE}\n```", None),
        ("sql", SQL, SQL),
        ("sql", f"```sql\nSELECT 1\n```\nBetter:\n```sql\n{SQL}\n```\n```text\nname\n```", SQL),
        ("sql", "Select the people older than three.", None),
        ("bash", f"```bash\n{BASH}\n```\nRun it with:\n```bash\nchmod +x count.sh && ./count.sh /var/log/messages.log\n```", BASH),
        ("bash", BASH, BASH),
        ("bash", "grep -c error log | sort", "grep -c error log | sort"),
        ("bash", "I cannot help with that.", None),
    ],
)  # fmt: skip
def test_each_language_is_found_by_its_own_grammar(language, answer, code):
    entry_point = "solve" if language in ("javascript", "typescript") else None

    assert extract(answer, entry_point, language).code == code


STUB = 'from typing import List\n\n\ndef solve(values: List[int]) -> int:\n    """The sum."""'


@pytest.mark.parametrize("body", ["    return sum(values)\n", "```python\n    return sum(values)\n```"])
@pytest.mark.parametrize("prompt", [STUB + "\n", f"Complete this function.\n\n```python\n{STUB}\n```"])
def test_a_body_alone_completes_the_prompts_function(prompt, body):
    assert extract(body, "solve", prompt=prompt).code.rstrip() == f"{STUB}\n    return sum(values)"


@pytest.mark.parametrize("answer", ["", "    # nothing yet", "I would sum them up."])
def test_the_prompt_alone_is_no_completion(answer):
    assert extract(answer, "solve", prompt=STUB).code is None


def test_code_that_is_to_be_mended_is_not_completed_by_another_program():
    prompt = f"Mend this.\n```python\n{CODE}\n```"

    assert (
        extract("```python\ndef other(a):\n    return a\n```", "solve", prompt=prompt).code
        == "def other(a):\n    return a"
    )


def test_a_whole_function_is_not_put_behind_the_prompt():
    whole = STUB + "\n    return sum(values)"

    assert extract(f"```python\n{whole}\n```", "solve", prompt=STUB).code == whole


def test_thinking_that_the_template_opened_is_dropped():
    assert (
        extract(f"```python\ndef solve(n): pass\n```\n</think>\n```python\n{CODE}\n```", "solve").code == CODE
    )


@pytest.mark.integration
@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "sql", "bash"])
@pytest.mark.parametrize(
    "unit",
    ["```\n", "```{}\nx = 1\n```\n", "<think>", "\x1b[", "`" * 50 + "\n", "def f(:\n", "~~~\n```\n", "```{}\n" + "cat <<E\n" * 300 + "```\n",
     "```{}\n" + "(" * 3000 + "\n```\n", "```" + " " * 50_000 + "`\n"],
    ids=range(10),
)  # fmt: skip
def test_a_megabyte_of_anything_is_read_in_linear_time(language, unit):
    unit = unit.replace("{}", language)
    small, large = (_seconds(unit * (size // len(unit)), language) for size in (100_000, 1_000_000))

    assert large < max(40 * small, 2.0)


def _seconds(text, language):
    began = time.process_time()
    extract(text, "solve", language)
    return time.process_time() - began
