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


@pytest.mark.parametrize(
    "unit",
    ["```\n", "```python\nx = 1\n```\n", "<think>", "\x1b[", "`" * 50 + "\n", "def f(:\n", "~~~\n```\n"],
)
def test_a_megabyte_of_anything_is_read_in_linear_time(unit):
    small, large = (_seconds(unit * (size // len(unit))) for size in (100_000, 1_000_000))

    assert large < max(40 * small, 2.0)


def _seconds(text):
    began = time.process_time()
    extract(text, "solve")
    return time.process_time() - began
