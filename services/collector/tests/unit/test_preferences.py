"""Of a decided pair both answers are learned from, if the better one could be trained on by itself."""

from datetime import UTC, datetime
from typing import Any

import pytest

from forge_collector.benchmark_overlap import Benchmark
from forge_collector.preferences import Preferences, prefer
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange

PROMPT = "write a function that adds two numbers, and explain shortly why it works"


def exchange(identity: str, content: str, **more: Any) -> Exchange:
    fields = {
        "id": identity,
        "captured_at": datetime(2026, 11, 22, tzinfo=UTC),
        "domain": "coding",
        "conversation_id": identity,
        "origin": "practice",
        "model_served": "engie-coder:v3",
        "messages": [{"role": "user", "content": PROMPT}],
        "answer": {"role": "assistant", "content": content},
        "finish_reason": "stop",
    }
    return Exchange.model_validate(fields | more)


def preferred(better: Exchange, worse: Exchange, **more: Any) -> Preferences:
    return prefer([(better, worse)], DataRules(), **more)


def test_a_pair_is_a_row_whatever_is_wrong_with_the_worse_answer() -> None:
    worse = exchange("b", "I am sorry, but I can't help with that.", finish_reason="length")

    made = preferred(exchange("a", "a + b"), worse)

    (row,) = made.rows
    assert (row.chosen.content, row.rejected.content) == ("a + b", "I am sorry, but I can't help with that.")
    assert [message.content for message in row.messages] == [PROMPT]
    assert made.sources == ("a", "b")
    assert made.dropped == ()


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        (exchange("a", "x", complete=False), exchange("b", "y"), "incomplete"),
        (exchange("a", ""), exchange("b", "y"), "empty_answer"),
        (exchange("a", "x"), exchange("b", " "), "empty_rejected"),
        (exchange("a", "The same."), exchange("b", "the  same."), "same_answer"),
    ],
)
def test_a_pair_that_teaches_nothing_is_counted_with_its_reason(
    better: Exchange, worse: Exchange, reason: str
) -> None:
    made = preferred(better, worse)

    assert made.rows == ()
    assert [(count.reason, count.rows) for count in made.dropped] == [(reason, 1)]


def test_the_same_pair_found_twice_is_one_row() -> None:
    pairs = [(exchange(f"a{i}", "x"), exchange(f"b{i}", "y")) for i in range(2)]

    made = prefer(pairs, DataRules())

    assert len(made.rows) == 1
    assert made.sources == ("a0", "b0")
    assert made.dropped[0].reason == "duplicate"


def test_a_benchmarks_prompt_is_no_preference_either() -> None:
    benchmark = Benchmark([{"prompt": PROMPT}])

    assert preferred(exchange("a", "x"), exchange("b", "y"), benchmark=benchmark).dropped[0].reason == (
        "benchmark_exact"
    )
