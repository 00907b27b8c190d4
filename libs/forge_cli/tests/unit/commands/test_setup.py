"""Domain documents as people bring them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forge_cli.commands.setup import _parsed
from forge_common.errors import Invalid


def written(folder: Path, base: str) -> Path:
    """A document of the original Forge's README."""
    path = folder / "domain.json"
    fields = {"id": "mine", "name": "Mine", "base_model": base, "model_prefix": "engie-mine"}
    path.write_text(json.dumps(fields | {"data": {"dedup_by_hash": True}, "training": {"iterations": 500}}))
    return path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Qwen2.5-Coder-7B-Instruct-4bit", "Qwen/Qwen2.5-Coder-7B-Instruct"),
        ("Qwen2.5-7B-Instruct-4bit", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen3-14B-8bit", "Qwen/Qwen3-14B"),
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("my-own-base-4bit", "my-own-base-4bit"),
    ],
)
def test_the_originals_names_of_bases_become_those_of_the_hub(tmp_path, capsys, given, meant):
    assert _parsed(written(tmp_path, given)).base_model == meant
    assert (meant in capsys.readouterr().err) == (given != meant)


def test_a_document_that_breaks_off_is_refused_in_one_line(tmp_path):
    path = tmp_path / "half.json"
    path.write_text('{"id": "mi')

    with pytest.raises(Invalid, match="is not a domain document: Invalid JSON") as refused:
        _parsed(path)

    assert "\n" not in refused.value.message
