"""The units of systemd and launchd are well formed, and start what there is."""

from __future__ import annotations

import configparser
import importlib.util
import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forge_cli.main import app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PLISTS = sorted((DEPLOY / "launchd").glob("*.plist"))


def starts(command: list[str]) -> None:
    """The command after `.venv/bin/python -m` or `.venv/bin/forge` is one of ours, with options that it has."""
    program = Path(command[0]).name
    if program == "python":
        assert command[1] == "-m"
        assert importlib.util.find_spec(command[2])
        return
    assert program == "forge"
    shown = CliRunner().invoke(app, [command[1], "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert [option for option in command if option.startswith("--") and option not in shown] == []


def filled(text: str) -> str:
    return re.sub(r"@[A-Z]+@", "/opt/x", text)


def test_there_are_units_for_the_stack_and_for_a_worker():
    assert {path.stem for path in UNITS} == {path.stem for path in PLISTS} == {"forge", "forge-worker"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_what_there_is_and_comes_back(path):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(path)

    starts(unit["Service"]["ExecStart"].split())
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["User"] == "forge"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_nothing_to_complain_of(path, tmp_path):
    # Its own check needs programs that are there.
    text = re.sub(r"/opt/forge/\.venv/bin/\w+", sys.executable, path.read_text())
    unit = tmp_path / path.name
    unit.write_text(text)

    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert path.name not in checked.stderr
    assert checked.returncode == 0


def test_systemd_would_complain_of_a_setting_that_does_not_exist(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = tmp_path / "bad.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")

    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert "ProtectEverything" in checked.stderr


@pytest.mark.parametrize("path", PLISTS, ids=lambda path: path.stem)
def test_a_property_list_reads_and_starts_what_there_is(path):
    job = plistlib.loads(filled(path.read_text()).encode())

    assert job["Label"] == path.stem.replace("-", ".") or job["Label"] == "forge.stack"
    starts(job["ProgramArguments"])
    assert job["RunAtLoad"] is True
    assert job["KeepAlive"] is True
    assert job["ExitTimeOut"] >= 30
    # What launchd takes as decimal is 077.
    assert job["Umask"] == 0o077
    assert "FORGE_HOME" in job["EnvironmentVariables"]


def test_what_pip_was_told_on_this_machine_holds_for_the_installation_too(tmp_path):
    """A company's own certificate and folder of wheels, in whichever of pip's files they stand."""
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\ncert = /etc/company.pem\nfind-links =\n    /wheels/a\n    /wheels/b\n")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\n[ "$1" = venv ] || {{ env > {tmp_path}/said; exit 1; }}\n')
    uv.chmod(0o755)
    told = {"PIP_CONFIG_FILE": str(settings), "FORGE_VENV": str(tmp_path / "venv"), "PYTHON": sys.executable}

    subprocess.run(
        ["sh", DEPLOY / "setup.sh"],
        env={
            "PATH": f"{uv.parent}:{os.environ['PATH']}",
            "FORGE_TORCH": "cpu",
            "HOME": str(tmp_path),
            **told,
        },
        check=False,
    )

    said = dict(line.partition("=")[::2] for line in (tmp_path / "said").read_text().splitlines())
    assert said["SSL_CERT_FILE"] == "/etc/company.pem"
    assert said["UV_FIND_LINKS"] == "/wheels/a,/wheels/b"


def test_a_box_whose_disk_is_small_is_told_before_anything_is_installed(tmp_path):
    clone = tmp_path / "clone" / "deploy"
    clone.mkdir(parents=True)
    shutil.copy(DEPLOY / "worker.sh", clone)
    (clone / "setup.sh").write_text(": > set-up\n")
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    df.write_text(
        "#!/bin/sh\ncat <<END\nFilesystem 1024-blocks Used Available Capacity Mounted\n/dev/x 9 9 $FREE 9% /\nEND\n"
    )
    df.chmod(0o755)

    def prepare(free_gb: int, hardware: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{df.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "FREE": str(free_gb << 20)}
        command = ["sh", clone / "worker.sh", hardware, "--prepare"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    full, enough = prepare(3, "cpu"), prepare(6, "cpu")

    assert full.returncode == 1
    assert "the environment takes up to 5 GB" in full.stderr
    assert "has 3 GB free" in full.stderr
    assert "UV_CACHE_DIR" in full.stderr
    assert enough.returncode == 0, enough.stderr
    assert (clone.parent / "set-up").exists()
