"""Tests that are code run where the candidate cannot reach them, and their verdict is theirs alone."""

from __future__ import annotations

import pytest

from forge_evaluator.sandbox import End, HarnessJob, Side

pytestmark = pytest.mark.integration

TESTS = """
METADATA = {'secret': 'expected'}
def check(candidate):
    for n, expected in ((2, 4), (3, 9), (12, 144)):
        assert candidate(n) == expected, f'solve({n})'
"""
GOOD = "def solve(n):\n    return n * n\n"

FAKES = {
    "prints that it passed": "def solve(n):\n    print('OK'); return 0",
    "leaves with status 0": "import os\ndef solve(n):\n    os._exit(0)",
    "raises SystemExit(0)": "def solve(n):\n    raise SystemExit(0)",
    "no AssertionError": "import builtins\nbuiltins.AssertionError = type('X', (Exception,), {})\ndef solve(n):\n    return 0",
    "an object equal to all": "class E:\n    def __eq__(s, o): return True\ndef solve(n):\n    return E()",
    "an int equal to all": "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\ndef solve(n):\n    return E(0)",
    "reads expected in its callers": """
import sys
def solve(n):
    frame = sys._getframe()
    while frame:
        if 'expected' in frame.f_locals:
            return frame.f_locals['expected']
        frame = frame.f_back
""",
    "searches the heap for the tests": """
import gc
def solve(n):
    for o in gc.get_objects():
        if isinstance(o, dict) and 'METADATA' in o:
            return n * n
""",
    "replaces check in its callers": """
import sys
def solve(n):
    frame = sys._getframe()
    while frame:
        frame.f_globals['check'] = lambda candidate: None
        frame = frame.f_back
    return 0
""",
    "answers for the tests": """
import os, struct
def solve(n):
    for body in (b'{"value": null}', b'{"value": null, "by": "tests"}', b'{"ask": [], "keywords": {}}'):
        os.write(3, struct.pack('!I', len(body)) + body)
    return 0
""",
    "patches the server": """
import sys
def solve(n):
    task = sys.modules['forge_evaluator.sandbox.inside.task']
    task._perform = lambda asked, namespace: {'value': None, 'has_passed': True}
    return 0
""",
    "half right": "def solve(n):\n    return n * n if n < 10 else 0",
}


def run(pool, code, tests=TESTS, preamble=""):
    return pool.run_harness(HarnessJob(code, "solve", tests, preamble))


@pytest.mark.parametrize("name", FAKES)
def test_a_candidate_cannot_make_the_tests_pass(pool, name):
    execution = run(pool, FAKES[name])

    assert not execution.has_passed
    assert run(pool, GOOD).has_passed


def test_what_is_right_passes_and_is_not_weak(pool):
    execution = run(pool, GOOD)

    assert (execution.has_passed, execution.is_weak, execution.side, execution.end) == (
        True, False, None, End.FINISHED,
    )  # fmt: skip
    assert execution.cpu_s > 0


def test_a_failed_assertion_is_told_of_the_tests_with_its_line(pool):
    execution = run(pool, "def solve(n):\n    return 0\n")

    assert (execution.side, execution.text, execution.line) == (Side.TESTS, "AssertionError: solve(2)", 5)


def test_an_error_of_the_candidate_is_told_of_it_with_its_line(pool):
    execution = run(pool, "\n\ndef solve(n):\n    return [][n]\n")

    assert (execution.side, execution.line) == (Side.CANDIDATE, 4)
    assert execution.text == "IndexError: list index out of range"


def test_tests_may_expect_an_error(pool):
    tests = (
        "try:\n    solve(1)\nexcept KeyError as error:\n    assert 'x' in str(error)\nelse:\n    assert False"
    )

    assert run(pool, "def solve(n):\n    return {}['x']\n", tests).has_passed
    assert not run(pool, "def solve(n):\n    return 1\n", tests).has_passed


def test_top_level_assertions_keywords_and_changed_arguments_work(pool):
    tests = "items = [3, 1, 2]\nassert solve(items, reverse=True) is None\nassert items == [3, 2, 1]\n"

    execution = run(pool, "def solve(items, *, reverse):\n    items.sort(reverse=reverse)\n", tests)

    assert (execution.has_passed, execution.is_weak) == (True, False)


def test_the_preamble_serves_both_sides(pool):
    preamble = "import math\ndef double(n):\n    return 2 * n\n"
    tests = "def check(candidate):\n    assert candidate(2) == double(2) + math.floor(1.5)\n"

    assert run(pool, "def solve(n):\n    return double(n) + math.ceil(0.5)\n", tests, preamble).has_passed


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def solve(f):\n    return f(3)\n", "assert solve(lambda n: n + 1) == 4"),
        (
            "helper = 4\ndef solve(n):\n    return n\n",
            "assert solve(4) == helper",
        ),
        (
            "class Pair:\n    def __init__(s, a):\n        s.a = a\ndef solve(p):\n    return p.a\n",
            "assert solve(Pair(5)) == 5",
        ),
    ],
)
def test_what_is_no_plain_data_is_judged_in_one_process_and_marked_weak(pool, code, tests):
    right, wrong = run(pool, code, tests), run(pool, code, tests + " + 1")

    assert (right.has_passed, right.is_weak) == (True, True)
    assert (wrong.has_passed, wrong.is_weak) == (False, True)


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def solve(n):\n    yield from range(n)\n", "assert list(solve(3)) == [0, 1, 2]"),
        ("def solve(n):\n    return map(str, range(n))\n", "assert next(solve(3)) == '0'"),
        ("def solve(n):\n    return range(n)\n", "assert solve(3) == range(3)"),
        (
            "import collections\ndef solve(s):\n    return collections.Counter(s)\n",
            "assert solve('aab') == {'a': 2, 'b': 1}",
        ),
        (
            "from decimal import Decimal\ndef solve(n):\n    return {'x': Decimal(n)}\n",
            "from decimal import Decimal\nassert solve('1.10') == {'x': Decimal('1.10')}",
        ),
        ("def solve(items):\n    return sum(items)\n", "assert solve(n for n in (1, 2)) == 3"),
    ],
)
def test_common_types_of_the_standard_library_travel(pool, code, tests):
    execution = run(pool, code, tests)

    assert (execution.has_passed, execution.is_weak) == (True, False)


def test_an_answer_that_is_no_plain_data_is_the_candidates_error(pool):
    execution = run(pool, "class Own:\n    pass\ndef solve(n):\n    return Own()\n", "assert solve(1)")

    assert (execution.has_passed, execution.side) == (False, Side.CANDIDATE)
    assert "Own" in execution.text


def test_a_weak_verdict_needs_the_judges_word(pool):
    forge = "import os, struct\ndef solve(f):\n    b = b'{\"value\": null}'\n    os.write(3, struct.pack('!I', len(b)) + b)\n    os._exit(0)\n"

    execution = run(pool, forge, "assert solve(lambda: 1) == 4")

    assert (execution.has_passed, execution.is_weak) == (False, True)


@pytest.mark.parametrize(
    ("code", "tests", "end", "side"),
    [
        ("def solve(n):\n    while True: pass\n", TESTS, End.CPU, Side.CANDIDATE),
        ("while True: pass\n", TESTS, End.CPU, Side.CANDIDATE),
        (GOOD, "while True: pass\n", End.CPU, Side.TESTS),
        (GOOD, "import os\nos._exit(0)\n", End.DIED, Side.TESTS),
        ("def solve(n:\n", TESTS, End.FINISHED, Side.CANDIDATE),
        ("def other(n): pass\n", TESTS, End.FINISHED, Side.CANDIDATE),
    ],
)
def test_which_side_broke_down_and_how_is_told(pool, code, tests, end, side):
    execution = run(pool, code, tests)

    assert (execution.has_passed, execution.end, execution.side) == (False, end, side)


def test_hostile_tests_reach_nothing_either(pool):
    tests = "import socket\ndef check(candidate):\n    socket.socket().connect(('127.0.0.1', 80))\n"

    execution = run(pool, GOOD, tests)

    assert (execution.has_passed, execution.side) == (False, Side.TESTS)
    assert execution.text.startswith(("PermissionError", "OSError"))
