"""Costs by a person's own price list: only where it says something, and never a guess."""

from pathlib import Path

import pytest

from forge_collector import prices
from forge_collector.dialects.dialect import Answered
from forge_collector.prices import Prices

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "cached_tokens": 400}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prices, "REFRESH_S", 0.0)
    path = tmp_path / "prices.json"
    path.write_text(
        '{"claude-sonnet-*": {"input": 3, "output": 15, "cached": 0.3}, "claude-*": {"input": 5, "output": 25}}'
    )
    return path


def test_the_first_pattern_that_fits_counts_and_cached_tokens_have_their_own_price(path: Path) -> None:
    of = Prices(path)

    assert of("claude-sonnet-9", USAGE) == pytest.approx((600 * 3 + 400 * 0.3 + 200 * 15) / 1e6)
    assert of("claude-opus-9", USAGE) == pytest.approx((1000 * 5 + 200 * 25) / 1e6)


@pytest.mark.parametrize(
    ("model", "usage"),
    [("gpt-x", USAGE), (None, USAGE), ("claude-x", {"prompt_tokens": 5}), ("claude-x", {})],
)
def test_what_is_not_known_has_no_cost(path: Path, model: str | None, usage: dict[str, object]) -> None:
    assert Prices(path)(model, usage) is None


def test_a_changed_file_counts_and_a_broken_one_changes_nothing(path: Path) -> None:
    of = Prices(path)
    before = of("claude-opus-9", USAGE)

    path.write_text('{"claude-*": {"input": -1, "output": 2}}')
    assert of("claude-opus-9", USAGE) == before

    path.write_text('{"claude-*": {"input": 1, "output": 1}}')
    assert of("claude-opus-9", USAGE) == pytest.approx(1200 / 1e6)

    path.unlink()
    assert of("claude-opus-9", USAGE) is None


def test_without_a_file_there_are_no_costs(tmp_path: Path) -> None:
    assert Prices(tmp_path / "none.json")("claude-x", USAGE) is None


def test_an_answer_gets_its_cost_only_where_the_upstream_said_none(path: Path) -> None:
    of = Prices(path)
    silent = Answered({"role": "assistant"}, usage=dict(USAGE))
    said = Answered({"role": "assistant"}, model="claude-opus-9", usage=dict(USAGE), cost_usd=0.5)

    of.fill_in(silent, "claude-opus-9")
    of.fill_in(said, "claude-opus-9")

    assert silent.cost_usd == pytest.approx((1000 * 5 + 200 * 25) / 1e6)
    assert said.cost_usd == 0.5
