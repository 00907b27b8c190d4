"""What `forge data build` and `forge data show` say of a dataset."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forge_cli import console
from forge_cli.commands import data
from forge_common.contracts.dataset import DatasetManifest


@pytest.fixture
def screen(monkeypatch):
    text = io.StringIO()
    for module in (console, data):
        monkeypatch.setattr(module, "out", Console(file=text, width=100, highlight=False))
    return text


def test_where_nothing_was_left_out_nothing_is_said_of_it(screen):
    manifest = DatasetManifest.model_construct(
        domain="nano", train_rows=9, valid_rows=1, conversations=10, seen=10, dropped=(), policy=(),
        preference_rows=0, same_family_allowed=False,
    )  # fmt: skip

    data.show_manifest(manifest)

    assert screen.getvalue() == "nano: 9 train · 1 valid · 10 conversations, of 10 seen\n"
