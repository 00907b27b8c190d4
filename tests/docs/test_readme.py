"""What the README shows is what there is."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forge_cli.main import app
from forge_common.contracts.domain import DomainDocument

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_readme_is_two_screens():
    assert len(README.splitlines()) <= 110


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^forge (\S+)", README, re.MULTILINE))))
def test_every_forge_command_exists(line):
    assert CliRunner().invoke(app, [line, "--help"]).exit_code == 0


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make (\S+)", README, re.MULTILINE))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_domain_document_of_the_handbook_reads():
    shown = re.search(r"```json\n(\{\n.*?\n\})\n```", (ROOT / "docs/domains.md").read_text(), re.DOTALL)

    assert DomainDocument.model_validate(json.loads(shown.group(1))).id == "your-domain"
