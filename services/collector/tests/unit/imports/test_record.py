"""Values that exports write in many ways, and records that want to do harm."""

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.dialects.dialect import Unreadable
from forge_collector.imports import READERS, detect
from forge_collector.imports.record import Imported, answers_in, chat, moment_of, parse, turns

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "prompt",
        "response",
        "trace",
        "conversations",
        "chat",
        "history",
        "input",
        "output",
        "type",
        "traceId",
        "sessionId",
        "observations",
        "request_body",
        "response_body",
        "preferred_output",
        "non_preferred_output",
        "ground_truth_diff",
        "claude_response",
        "id",
        "role",
        "content",
        "from",
        "value",
        "tool_calls",
        "weight",
        "parentId",
        "currentId",
        "annotation",
        "metadata",
        "success",
        "timestamp",
    ]
)
HOSTILE = st.recursive(
    JSON,
    lambda inner: st.dictionaries(FIELDS, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-02-24T09:12:44Z", datetime(2026, 2, 24, 9, 12, 44, tzinfo=UTC)),
        ("2026-02-24 09:12:44.5", datetime(2026, 2, 24, 9, 12, 44, 500000, UTC)),
        ("2026-02-24T10:12:44+01:00", datetime(2026, 2, 24, 9, 12, 44, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("yesterday", None),
        (-5, None),
        (True, None),
        ("9" * 400, None),
        (["2026"], None),
    ],
)
def test_times_are_read_in_any_unit_and_nonsense_is_none(value: object, moment: datetime | None) -> None:
    assert moment_of({"at": value}, "at") == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"a": \0}', "not JSON"),
        ('{"a":' * 150 + "1" + "}" * 150, "deep"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not JSON"),
        ('{"s":"\\ud800","n":123456789012345678901234567890}', "64 bits"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse(text)


def test_lone_surrogates_and_doubled_keys_are_json_all_the_same() -> None:
    found = parse('{"prompt":"a\\ud800b","prompt":"a\\ud83d\\ude00b\\ud800"}')

    assert found["prompt"].startswith("a😀b")
    orjson.dumps(found)


def test_a_huge_conversation_is_kept_as_its_newest_answers_which_have_the_others_in_them() -> None:
    messages = chat(
        [{"role": role, "content": "x" * 20_000} for _ in range(300) for role in ("user", "assistant")]
    )

    places = answers_in(messages)

    assert places[-1] == 599
    assert 1 < len(places) < 300
    assert places == list(range(places[0], 600, 2))


def test_every_answer_has_all_before_it() -> None:
    messages = chat([{"role": r, "content": c} for r, c in [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]])  # fmt: skip

    found = turns(Imported([], {}), messages).exchanges

    assert [(len(e.messages), e.answer["content"]) for e in found] == [(1, "b"), (3, "d")]


@given(HOSTILE)
def test_whatever_a_record_holds_it_is_read_or_refused(value: object) -> None:
    record = value if isinstance(value, dict) else {"prompt": value, "trace": value}
    try:
        parsed = parse(json.dumps(record))
        for reader in READERS.values():
            if reader.recognises(parsed):
                try:
                    reader.read(parsed)
                except Unreadable:
                    continue
        detect(parsed)
    except Unreadable:
        return
