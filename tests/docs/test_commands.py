"""Every command that a document or an error shows is one that there is, with the options that it is shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from forge_cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
DOCUMENTS += [*ROOT.glob("services/*/README.md"), *ROOT.glob("libs/*/README.md")]
# In code within a sentence, or at the beginning of a line of a block.
SHOWN = re.compile(r"(?:`|^)((?:forge|make) [^`\n]+)", re.MULTILINE)
SAID = re.compile(r"`(forge [^`\n{}…]+)`")
PLACES = re.compile(r"(?<![\w/.])deploy/[\w./-]+\w")


def shown(program: str) -> list[str]:
    texts = (path.read_text(encoding="utf-8") for path in DOCUMENTS)
    found = {line.strip() for text in texts for line in SHOWN.findall(text)}
    return sorted(line for line in found if line.startswith(f"{program} "))


def said() -> list[str]:
    """In the texts of the code, most of them what an error tells somebody to do."""
    sources = (path for folder in ("libs", "services") for path in ROOT.glob(f"{folder}/*/src/**/*.py"))
    return sorted({line for path in sources for line in SAID.findall(path.read_text(encoding="utf-8"))})


def words(line: str) -> list[str]:
    """As a shell takes them, up to a comment, a pipe or another command."""
    line = line.replace("|--", " --")
    split = shlex.split(line.replace("…", "X").replace("[", " ").replace("]", " "), comments=True)
    end = next((i for i, word in enumerate(split) if word in ("&&", "|", "||", ";")), len(split))
    return split[1:end]


def test_there_are_commands_to_look_at():
    assert "forge train --hardware cuda" in shown("forge")
    assert "forge runs attach ID" in shown("forge")
    assert "forge runs retry" in said()


@pytest.mark.parametrize("line", sorted({*shown("forge"), *said()}))
def test_a_command_is_there_with_its_options(line):
    command, rest = get_command(app), words(line)
    while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]

    assert not isinstance(command, TyperGroup) or not rest or command.invoke_without_command
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    assert [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options] == []


@pytest.mark.parametrize("line", shown("make"))
def test_a_target_is_there(line):
    target = words(line)[0]

    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_file_of_deploy_that_is_named_is_there():
    named = {name for path in DOCUMENTS for name in PLACES.findall(path.read_text(encoding="utf-8"))}

    assert "deploy/worker.sh" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
