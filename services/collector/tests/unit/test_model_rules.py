"""Which domain a model's traffic belongs to, from memory and from the file, whatever Postgres does."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from forge_collector import model_rules
from forge_collector.model_rules import ModelRule, ModelRules
from forge_collector.patterns import PatternUnreadable
from forge_common.errors import DependencyDown

RULES = [
    ModelRule(pattern="claude-haiku*", domain="chat"),
    ModelRule(pattern="claude-*", domain="coding"),
    ModelRule(pattern="host=127.0.0.1 model=qwen*", domain="legal"),
]


class Table:
    """What Postgres would say."""

    def __init__(self, rules: Sequence[ModelRule] = RULES) -> None:
        self.rules, self.is_down = list(rules), False

    def __call__(self) -> list[ModelRule]:
        if self.is_down:
            raise DependencyDown("Postgres is away")
        return self.rules


def loaded(path: Path, table: Table) -> ModelRules:
    rules = ModelRules(path / "model-rules.json")
    rules.refresh(table)
    return rules


@pytest.mark.parametrize(
    ("upstream", "asked", "domain"),
    [
        ("https://api.anthropic.com:443", "claude-haiku-4-5", "chat"),
        ("https://api.anthropic.com:443", "claude-opus-4-1", "coding"),
        ("http://127.0.0.1:11434", "qwen3:8b", "legal"),
        ("https://api.acme.com", "qwen3:8b", None),
        ("http://127.0.0.1:11434", None, None),
        ("http://127.0.0.1:11434", "llama3.1", None),
    ],
)
def test_the_first_rule_that_fits_decides(
    tmp_path: Path, upstream: str, asked: str | None, domain: str | None
) -> None:
    rules = loaded(tmp_path, Table())

    assert [rules(upstream, asked), rules(upstream, asked)] == [domain, domain]


def test_the_model_that_served_counts_as_well_where_it_is_known(tmp_path: Path) -> None:
    assert loaded(tmp_path, Table())("https://router.ai", "auto", "anthropic/claude-opus-4-1") == "coding"


def test_a_new_process_knows_the_rules_without_postgres(tmp_path: Path) -> None:
    table = Table()
    loaded(tmp_path, table)
    table.is_down = True

    again = ModelRules(tmp_path / "model-rules.json")

    assert again("https://api.anthropic.com", "claude-opus-4-1") == "coding"
    with pytest.raises(DependencyDown):
        again.refresh(table)
    assert again("https://api.anthropic.com", "claude-opus-4-1") == "coding"


def test_a_changed_rule_holds_for_a_model_that_was_seen_before(tmp_path: Path) -> None:
    table = Table()
    rules = loaded(tmp_path, table)
    assert rules("https://a.com", "claude-x") == "coding"

    table.rules = [ModelRule(pattern="claude-*", domain="finance")]
    rules.refresh(table)

    assert rules("https://a.com", "claude-x") == "finance"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"pattern":"kind=local","domain":"x"}]', b"\xff"])
def test_a_broken_file_is_no_rules_and_no_crash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model-rules.json").write_bytes(content)

    assert ModelRules(tmp_path / "model-rules.json")("https://a.com", "claude-x") is None


def test_what_callers_make_us_remember_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_rules, "MOST_REMEMBERED", 10)
    rules = loaded(tmp_path, Table())

    for i in range(100):
        rules("https://a.com", f"model-{i}")

    assert len(rules._state[1]) <= 10


@pytest.mark.parametrize("pattern", ["kind=local", "origin=import", "", "hots=x"])
def test_a_rule_that_no_request_could_ever_fit_is_refused(pattern: str) -> None:
    with pytest.raises(PatternUnreadable):
        ModelRule(pattern=pattern, domain="coding")
