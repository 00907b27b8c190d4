"""What every command's output has in common: whole names, indented notes, errors with what to do."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from datetime import UTC, datetime

import pytest
import typer
from pydantic import ValidationError
from rich.console import Console

from forge_cli import console
from forge_cli.console import CALLED_OFF, FAILED, command, in_words, note, table, when
from forge_common.contracts.domain import DomainDocument

RUN = "run_fe23c94ea59d42c4afa9"


@pytest.fixture
def screen(monkeypatch):
    """A terminal of sixty columns."""
    text = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=text, width=60, highlight=False))
    return text


def test_a_narrow_terminal_never_cuts_what_one_copies_into_the_next_command(screen):
    wide = "a sentence that is far longer than what is left of the line beside such an id"

    table("run", "domain", "state", "says", rows=[[RUN, "healthcare", "evaluating", wide]])

    assert RUN in screen.getvalue()
    assert "healthcare" in screen.getvalue()
    assert "evaluating" in screen.getvalue()


def test_a_note_is_indented_in_every_line_of_it(screen):
    note("word " * 30)

    lines = screen.getvalue().rstrip("\n").split("\n")
    assert len(lines) > 1
    assert all(line.startswith("  word") for line in lines)


def test_what_goes_into_a_pipe_is_not_wrapped(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())

    assert console._width() == console.UNBOUNDED

    monkeypatch.setenv("COLUMNS", "100")
    assert console._width() is None


def test_a_full_disk_is_an_error_in_words_and_not_a_traceback(capsys):
    @command
    def fills(*, json_: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/out")

    with pytest.raises(typer.Exit) as ended:
        fills(json_=True)

    assert ended.value.exit_code == FAILED
    said = json.loads(capsys.readouterr().out)["error"]
    assert said["message"] == "/data/out: No space left on device"
    assert "make room" in said["fix"]


def test_an_operating_systems_error_that_is_a_bug_stays_one():
    @command
    def has_a_bug() -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    with pytest.raises(OSError, match="Bad file descriptor"):
        has_a_bug()


def test_ctrl_c_claims_nothing_about_work_that_goes_on(capsys):
    @command
    def is_long() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        is_long()

    assert ended.value.exit_code == CALLED_OFF
    assert "goes on" not in capsys.readouterr().err


def test_what_is_wrong_with_a_document_is_said_by_field_and_without_links():
    with pytest.raises(ValidationError) as wrong:
        DomainDocument.model_validate_json('{"id": "No Spaces!", "colour": 1}')

    said = in_words(wrong.value)
    assert said.startswith("id: ")
    assert "more)" in said
    assert "http" not in said


def test_times_are_the_walls(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert when(datetime(2026, 11, 28, 20, 0, tzinfo=UTC)) == "29 Nov 05:00"
    finally:
        monkeypatch.undo()
        time.tzset()
