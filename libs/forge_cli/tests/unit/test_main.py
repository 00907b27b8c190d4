"""The command line as a user meets it when nothing runs."""

import json
import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from forge_cli.main import app

COMMANDS = [
    ["init"], ["up"], ["down"], ["status"], ["domain"], ["data"], ["data", "build"], ["data", "import"], ["data", "exchanges"],
    ["data", "feedback"], ["data", "policy"], ["data", "assign"], ["train"], ["eval"], ["bench"], ["bench", "import"], ["bench", "check"], ["iterate"],
    ["promote", "1"], ["compare", "x"], ["data", "pairs"], ["data", "shadow"], ["rollback"], ["serve"], ["worker", "cpu"], ["runs"], ["versions"],
]  # fmt: skip


@pytest.fixture
def forge(monkeypatch, tmp_path):
    monkeypatch.setenv("FORGE_HOME", str(tmp_path))
    monkeypatch.setenv("FORGE_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FORGE_COLLECTOR_URL", "http://127.0.0.1:1")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_has_json(forge, command):
    shown = forge(*command[:2] if command[0] in ("data", "bench") else command[:1], "--help")

    assert shown.exit_code == 0
    assert "--json" in shown.output


def test_a_service_that_is_down_is_exit_code_3_with_what_to_do(forge):
    ended = forge("runs")

    assert ended.exit_code == 3
    assert "forge up" in ended.stderr


def test_an_error_is_json_when_json_is_asked_for(forge):
    ended = forge("versions", "--json")

    assert json.loads(ended.stdout)["error"]["code"] == "service_unreachable"


def test_status_answers_when_nothing_runs(forge):
    ended = forge("status")

    assert ended.exit_code == 0
    assert "forge up" in ended.stdout


def test_down_with_nothing_running_says_so(forge):
    assert json.loads(forge("down", "--json").stdout) == {"stopped": False}


def test_a_worker_needs_its_hardware_named(forge):
    ended = forge("worker", "auto")

    assert ended.exit_code == 2
    assert "forge worker cuda" in ended.stderr


def test_services_that_are_away_are_named_once_each(forge):
    away = json.loads(forge("status", "--json").stdout)["unreachable"]

    assert len(away) == 2


def test_a_benchmark_without_tasks_starts_no_run(forge, tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")

    ended = forge("eval", "--benchmark", str(tmp_path / "none.jsonl"))

    assert ended.exit_code == 2
    assert "has no tasks" in ended.stderr


def test_erasing_needs_to_be_told_what(forge):
    ended = forge("data", "erase", "--domain", "legal")

    assert ended.exit_code == 2
    assert "--conversation" in ended.stderr


def test_what_only_certificates_need_does_not_slow_every_command():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, forge_cli.main; print('cryptography' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert loaded.strip() == "False"


def test_a_version_that_is_none_is_json_when_json_is_asked_for(forge):
    assert json.loads(forge("promote", "x", "--json").stdout)["error"]["fix"].startswith("write 3 or v3")


def test_it_says_which_forge_it_is(forge):
    assert forge("--version").stdout.split() == ["forge", metadata.version("forge-cli")]
