from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources

import pytest

pytestmark = pytest.mark.integration


def forge_evaluator(*arguments):
    command = [sys.executable, "-m", "forge_evaluator", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_shipped_nano_benchmark_passes_its_self_test():
    done = forge_evaluator("bench", "check", resources.files("forge_evaluator") / "benchmarks" / "nano.jsonl")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["flaws"] == []
    assert found["contents"]["scored"] >= 162


def test_a_benchmark_that_cannot_tell_right_from_wrong_fails_its_self_test(tmp_path):
    lazy = {"id": "lazy", "prompt": "Return nothing.", "gold_answer": "```python\ndef f(x):\n    return None\n```",
            "kind": "code", "entry_point": "f", "tests": [{"args": [1], "expected": None}]}  # fmt: skip
    wrong = {"id": "wrong", "prompt": "Say a.", "gold_answer": "b", "kind": "exact", "expected": "a"}
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{json.dumps(lazy)}\n{json.dumps(wrong)}\n")

    done = forge_evaluator("bench", "check", file)

    assert done.returncode == 1
    assert [(flaw["task"], flaw["answer"]) for flaw in json.loads(done.stdout)["flaws"]] == [
        ("lazy", "stub"),
        ("wrong", "gold"),
    ]


def test_a_broken_file_is_refused_in_one_line(tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text("{")

    done = forge_evaluator("bench", "check", file)

    assert done.returncode == 1
    assert done.stderr.startswith("forge-evaluator: line 1 is no JSON")
    assert "Traceback" not in done.stderr


def test_the_walls_of_this_machine_are_named():
    assert forge_evaluator("sandbox").stdout.split(":")[0] in {"A", "A'", "B", "C"}
