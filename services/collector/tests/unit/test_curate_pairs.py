"""Of a pair one answer is learned: the teacher's, unless a person preferred our own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from forge_collector.curate import Candidate, Curated, curate
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange


def candidate(identity: str, model: str, thumb: int | None = None, **more: Any) -> Candidate:
    fields = {
        "id": identity,
        "captured_at": datetime(2026, 11, 22, tzinfo=UTC),
        "domain": "coding",
        "conversation_id": "conv_1",
        "model_asked": model,
        "messages": [{"role": "user", "content": "what is a fjord?"}],
        "answer": {"role": "assistant", "content": f"{model} says water"},
        "finish_reason": "stop",
    }
    return Candidate(Exchange.model_validate(fields | more), thumb)


def teacher(identity: str, thumb: int | None = None, **more: Any) -> Candidate:
    return candidate(identity, "grand-teacher", thumb, **more)


def own(identity: str, thumb: int | None = None, **more: Any) -> Candidate:
    return candidate(identity, "engie-coder:latest", thumb, **more)


def curated(*candidates: Candidate) -> Curated:
    return curate(candidates, DataRules(), own="engie-coder")


def learned(*candidates: Candidate) -> list[str]:
    made = curated(*candidates)
    return [row.source for row in (*made.train, *made.valid)]


SHADOW = {"origin": "compare", "pair_of": "ex_1"}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        # What the cloud answered, and our shadow of it.
        ((teacher("ex_1"), own("ex_1p", **SHADOW)), ["ex_1"]),
        # What we answered, and the teacher's shadow of it.
        ((own("ex_1", origin="gateway"), teacher("ex_1p", **SHADOW)), ["ex_1p"]),
        ((own("ex_1", thumb=1, origin="gateway"), teacher("ex_1p", **SHADOW)), ["ex_1"]),
        # A comparison, without a word, and with either word.
        ((teacher("ex_1", origin="compare"), own("ex_1p", **SHADOW)), ["ex_1"]),
        ((teacher("ex_1", thumb=-1, origin="compare"), own("ex_1p", thumb=1, **SHADOW)), ["ex_1p"]),
        ((teacher("ex_1", thumb=1, origin="compare"), own("ex_1p", thumb=-1, **SHADOW)), ["ex_1"]),
        # Nobody can be learned from: the teacher's was refused, ours only made to compare.
        ((teacher("ex_1", thumb=-1), own("ex_1p", **SHADOW)), []),
        # What we answered in earnest, and no teacher answered again.
        ((own("ex_1", origin="gateway"),), ["ex_1"]),
    ],
)
def test_of_a_pair_the_better_answer_is_learned(pair: tuple[Candidate, ...], expected: list[str]) -> None:
    assert learned(*pair) == expected


def test_an_answer_of_ours_that_was_made_to_compare_is_counted_as_such() -> None:
    made = curated(teacher("ex_1"), own("ex_1p", **SHADOW))

    assert [(d.reason, d.rows) for d in made.dropped] == [("own_answer", 1)]


def test_a_corrected_answer_of_ours_is_a_persons_and_learned() -> None:
    shadow = own("ex_1p", **SHADOW)
    corrected = Candidate(shadow.exchange, None, "Water between rocks.")

    assert learned(corrected) == ["ex_1p"]


def test_rows_stay_in_the_order_of_the_candidates() -> None:
    others = [
        teacher(f"ex_{i}", messages=[{"role": "user", "content": f"question {i}"}]) for i in range(2, 5)
    ]

    assert learned(own("ex_1", origin="gateway"), *others) == ["ex_1", "ex_2", "ex_3", "ex_4"]
