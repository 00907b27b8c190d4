"""`forge bench` and `forge eval --answers` as a person types them, with the evaluator as a real child process and no service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

main = pytest.importorskip("forge_cli.main", reason="the command line is not installed here")
pytest.importorskip("forge_evaluator", reason="the evaluator is not installed here")
pytestmark = pytest.mark.integration

FIXTURES = Path(__file__).parents[2] / "services/evaluator/tests/fixtures/imports"
NANO = resources.files("forge_evaluator") / "benchmarks" / "nano.jsonl"


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Types a command; gives what it printed, or with --json what it said."""
    monkeypatch.setenv("FORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORGE_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object, code: int = 0) -> Any:
        ended = CliRunner().invoke(main.app, list(map(str, words)))
        assert ended.exit_code == code, ended.output
        shown = ended.stdout if code == 0 else ended.output
        return json.loads(ended.stdout) if "--json" in words else " ".join(shown.split())

    return run


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: dict[str, Any]) -> Path:
        file = tmp_path / "answers.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return file

    return write


def gold(number: int) -> dict[str, Any]:
    task = json.loads(NANO.read_text().splitlines()[number])
    return {"task_id": task["id"], "completion": task["gold_answer"]}


def test_bench_lists_what_is_shipped_and_says_why_more_is_not(forge):
    found = forge("bench", "--json")

    nano = next(benchmark for benchmark in found["shipped"] if benchmark["name"] == "nano")
    assert nano["tasks"] == 168
    assert nano["categories"] == {"coding": 102, "general": 66}
    assert "does not answer" in found["unreachable"]
    assert nano["sha256"][:12] in forge("bench")


def test_an_import_tells_what_was_refused_and_why(forge, tmp_path):
    out, rejected = tmp_path / "choice.jsonl", tmp_path / "rejected.jsonl"

    shown = forge(
        "bench", "import", "choice", FIXTURES / "choice.jsonl", "--out", out, "--rejected", rejected,
        "--licence", "MIT",
    )  # fmt: skip

    assert "9 tasks of 13 records" in shown
    assert "1 two options are the same 13" in shown
    assert "licence: MIT" in shown
    assert len(out.read_text().splitlines()) == 9
    assert [json.loads(line)["line"] for line in rejected.read_text().splitlines()] == [10, 11, 12, 13]


def test_a_file_of_another_form_is_the_callers_mistake_and_an_unknown_form_too(forge, tmp_path):
    shown = forge("bench", "import", "mbpp", FIXTURES / "qa.jsonl", "--out", tmp_path / "x.jsonl", code=2)
    assert "none of the 6 records" in shown

    assert "'evalplus'" in forge("bench", "import", "what", NANO, "--out", tmp_path / "x.jsonl", code=2)


def test_the_self_test_passes_a_good_benchmark_and_names_what_is_wrong_with_a_bad_one(forge, tmp_path):
    assert "It tells right from wrong" in forge("bench", "check", NANO)

    bad = tmp_path / "bad.jsonl"
    bad.write_text(
        json.dumps({"id": "w", "prompt": "Say a.", "gold_answer": "b", "kind": "exact", "expected": "a"})
    )
    assert "w gold 0" in forge("bench", "check", bad, code=5)


def test_answers_made_elsewhere_are_scored_with_nothing_running(forge, answers, tmp_path):
    wrong = gold(1) | {"completion": "I do not know."}
    file = answers(
        gold(0),
        gold(0) | {"completion": "nonsense"},
        wrong,
        {"task_id": "other/1", "completion": ""},
        {"completion": "x"},
    )

    found = forge("eval", "--answers", file, "--domain", "nano", "--out", tmp_path / "out", "--json")

    card = found["scorecard"]
    assert (found["answers"], found["answered"], card["tasks"]) == (3, 2, 168)
    assert card["pass_rates"][0]["candidate"]["mean"] == 25.0
    assert card["overall"]["candidate"]["n"] == 2
    assert found["missing"]["tasks"] == 166
    assert found["unknown"] == {"answers": 1, "ids": ["other/1"]}
    assert found["refused"] == [{"line": 5, "reason": "no task_id or id"}]
    assert json.loads((tmp_path / "out" / "scorecard.json").read_text()) == card
    assert "<!doctype html>" in (tmp_path / "out" / "report.html").read_text()


def test_bodies_alone_complete_the_prompt_of_an_imported_file_whose_flaws_are_told(forge, answers, tmp_path):
    tasks = tmp_path / "he.jsonl"
    forge("bench", "import", "humaneval", FIXTURES / "humaneval.jsonl", "--out", tasks)
    body = {"task_id": "HumanEval/0", "completion": "    return [halved(x) for x in xs]\n"}
    file = answers(body, body | {"completion": "    return xs\n"})

    found = forge("eval", "--answers", file, "--benchmark", tasks, "--json")
    lines = [json.loads(line) for line in tasks.read_text().splitlines()]
    tasks.with_name("he.manifest.json").unlink()
    tasks.write_text("".join(json.dumps(line | {"gold_answer": "pass"}) + "\n" for line in lines))
    distrusted = forge("eval", "--answers", file, "--benchmark", tasks)

    assert found["benchmark_flaws"] is None
    assert [(rate["k"], rate["candidate"]["mean"]) for rate in found["scorecard"]["pass_rates"]] == [
        (1, 50.0),
        (2, 100.0),
    ]
    assert "the benchmark fails its self-test: HumanEval/0: gold" in distrusted


def test_the_same_answers_are_not_judged_twice(forge, answers):
    file = answers(gold(0), gold(1))
    first = forge("eval", "--answers", file, "--benchmark", NANO, "--json")
    log = Path(first["log"])
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # as a kill leaves it

    second = forge("eval", "--answers", file, "--benchmark", NANO, "--json")

    assert [json.loads(line)["seconds"] for line in log.read_text().splitlines()[1:2]] == [
        json.loads(lines[1])["seconds"]
    ]
    assert second["scorecard"]["pass_rates"] == first["scorecard"]["pass_rates"]


def test_ctrl_c_ends_the_work_with_what_to_do_and_the_same_command_goes_on(answers, tmp_path):
    """A hundred answers that take a second of CPU time each."""
    slow = "def give_stream(count, total):\n    while True:\n        pass\n"
    file = answers(*[gold(0) | {"completion": slow + f"# {number}"} for number in range(100)])
    command = [sys.executable, "-m", "forge_cli", "eval", "--answers", str(file), "--benchmark", str(NANO)]
    env = os.environ | {"FORGE_HOME": str(tmp_path), "FORGE_EVALUATOR_CPU_S": "1"}
    ended = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    logs = tmp_path / "evaluator" / "answers"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(
        log.read_text().count("\n") > 1 for log in logs.glob("*.jsonl")
    ):
        time.sleep(0.2)

    os.killpg(ended.pid, signal.SIGINT)
    _, said = ended.communicate(timeout=120)

    assert ended.returncode == 4, said
    assert "goes on from there" in said
    assert "Traceback" not in said
    (log,) = logs.glob("*.jsonl")
    assert 2 <= len(log.read_text().splitlines()) < 100
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline + 60:
            os.killpg(ended.pid, 0)
            time.sleep(0.05)


def test_answers_to_something_else_and_clashing_options_say_what_to_do(forge, answers):
    file = answers({"task_id": "z", "completion": "x"})

    assert "its ids are z" in forge("eval", "--answers", file, "--benchmark", NANO, code=2)
    assert "--domain ID" in forge("eval", "--answers", file, code=2)
    assert "--vs does not go with --answers" in forge("eval", "--answers", file, "--vs", "2", code=2)
