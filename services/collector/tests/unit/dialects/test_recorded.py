"""Every recorded reply of every dialect: cut anywhere it is the same answer, and damaged in any way it is no worse than unreadable."""

import contextlib
import itertools
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_collector.data_plane import lanes
from forge_collector.dialects.dialect import Answered, Form, Unreadable
from forge_collector.settings import Settings
from forge_common.contracts.exchange import Message, Usage

RECORDED = Path(__file__).parents[2] / "recorded"
TYPES = {".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".json": "application/json"}
LANES = lanes(Settings.model_construct())
REPLIES = sorted(path.relative_to(RECORDED) for path in RECORDED.rglob("*.*") if path.suffix in TYPES)
STREAMS = [path for path in REPLIES if path.suffix != ".json"]
EVENTS = [path for path in REPLIES if path.suffix == ".sse"]
FORMS = sorted({(path.parts[0], f"/{path.parent.relative_to(path.parts[0])}") for path in REPLIES})

replies = pytest.mark.parametrize("path", REPLIES, ids=str)
streams = pytest.mark.parametrize("path", STREAMS, ids=str)


def form_of(path: Path) -> Form:
    dialect = path.parts[0]
    form = LANES[dialect].dialect.form("POST", f"/{path.parent.relative_to(dialect)}")
    assert form is not None, f"{path.parent} is no path that is captured"
    return form


def read(path: Path, pieces: list[bytes]) -> Answered:
    reader = form_of(path).reader(TYPES[path.suffix])
    for piece in pieces:
        reader.feed(piece)
    return reader.answered()


def outcome(path: Path, pieces: list[bytes]) -> Answered | str:
    try:
        return read(path, pieces)
    except Unreadable as error:
        return error.code


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@replies
@settings(max_examples=25)
@given(places=st.lists(st.integers(0, 1 << 20), max_size=60))
def test_any_split_gives_the_same_answer(path: Path, places: list[int]) -> None:
    wire = (RECORDED / path).read_bytes()

    assert read(path, cut(wire, places)) == read(path, [wire])


@replies
def test_byte_by_byte_gives_the_same_answer(path: Path) -> None:
    wire = (RECORDED / path).read_bytes()

    assert read(path, [wire[i : i + 1] for i in range(len(wire))]) == read(path, [wire])


@pytest.mark.parametrize("path", EVENTS, ids=str)
@given(places=st.lists(st.integers(0, 1 << 20), max_size=40), newline=st.sampled_from([b"\r\n", b"\r"]))
@settings(max_examples=10)
def test_other_line_ends_a_byte_order_mark_and_no_spaces_change_nothing(
    path: Path, places: list[int], newline: bytes
) -> None:
    wire = (RECORDED / path).read_bytes().replace(b"\r\n", b"\n")
    other = b"\xef\xbb\xbf" + wire.replace(b"data: ", b"data:").replace(b"\n", newline)

    assert read(path, cut(other, places)) == read(path, [wire])


@streams
@settings(max_examples=25)
@given(end=st.integers(0, 1 << 20), places=st.lists(st.integers(0, 1 << 20), max_size=20))
def test_a_stream_that_breaks_off_anywhere_is_the_same_partial_answer_however_it_was_cut(
    path: Path, end: int, places: list[int]
) -> None:
    wire = (RECORDED / path).read_bytes()
    part = wire[: end % len(wire)]

    assert outcome(path, cut(part, places)) == outcome(path, [part])


@streams
def test_half_a_stream_is_not_complete(path: Path) -> None:
    wire = (RECORDED / path).read_bytes()

    half = outcome(path, [wire[: len(wire) // 2]])

    assert half == "unreadable" or (isinstance(half, Answered) and not half.complete)


@replies
@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), flips=st.integers(1, 12))
def test_damaged_bytes_are_read_or_unreadable_and_nothing_worse(path: Path, seed: int, flips: int) -> None:
    chance = random.Random(seed)
    wire = bytearray((RECORDED / path).read_bytes())
    for _ in range(flips):
        wire[chance.randrange(len(wire))] = chance.choice(b'{}[]",:0189nte\\\n\r \x00\xff')

    outcome(path, cut(bytes(wire), [chance.randrange(len(wire)) for _ in range(5)]))


def events_of(path: Path) -> list[object]:
    """The JSON documents of a recording."""
    wire = (RECORDED / path).read_bytes().replace(b"\r\n", b"\n")
    if path.suffix == ".sse":
        pieces = [line.removeprefix(b"data: ") for line in wire.split(b"\n") if line.startswith(b"data: {")]
    else:
        pieces = wire.splitlines() if path.suffix == ".ndjson" else [wire]
    return [json.loads(piece) for piece in pieces]


def places_in(value: object) -> list[tuple[dict[str, object] | list[object], object]]:
    """Each container within `value` with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    inner = [place for key in keys for place in places_in(value[key])]  # type: ignore[index]
    return [*((value, key) for key in keys), *inner]  # type: ignore[list-item]


def assert_storable(answered: Answered) -> None:
    for message in (answered.message, *answered.alternatives, *answered.turns):
        Message.model_validate(message)
    Usage.model_validate(answered.usage)
    assert isinstance(answered.finish_reason, str | None)
    assert isinstance(answered.model, str | None)
    assert isinstance(answered.id, str | None)
    assert isinstance(answered.conversation, str | None)
    assert isinstance(answered.cost_usd, float | None)


# Whatever JSON has, under the names that the dialects read.
NAMES = st.sampled_from(
    [
        "type",
        "id",
        "role",
        "content",
        "text",
        "delta",
        "index",
        "message",
        "messages",
        "choices",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "usage",
        "model",
        "error",
        "done",
        "response",
        "output",
        "item",
        "output_index",
        "content_index",
        "summary",
        "status",
        "system",
        "prompt",
        "input",
        "instructions",
        "tools",
        "images",
        "context",
        "options",
        "content_block",
        "partial_json",
        "thinking",
        "stop_reason",
        "event",
        "result",
        "prompt_tokens",
        "details",
        "function_call",
        "part",
        "parts",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=10,
)


@replies
@settings(max_examples=25)
@given(data=st.data())
def test_values_of_the_wrong_type_are_left_out_or_unreadable(path: Path, data: st.DataObject) -> None:
    events = events_of(path)
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(places_in(events)[1:]))
        container[key] = data.draw(JSON)  # type: ignore[index,call-overload]
    frame = b"data: %s\n\n" if path.suffix == ".sse" else b"%s\n"

    read_now = outcome(path, [frame % json.dumps(event).encode() for event in events])

    if isinstance(read_now, Answered):
        assert_storable(read_now)


@pytest.mark.parametrize(("dialect", "path"), FORMS)
@settings(max_examples=60)
@given(value=JSON, junk=st.binary(max_size=60))
def test_any_json_and_any_bytes_are_read_or_unreadable_and_nothing_worse(
    dialect: str, path: str, value: object, junk: bytes
) -> None:
    form = LANES[dialect].dialect.form("POST", path)
    assert form is not None
    text = json.dumps(value).encode()
    for body in (text, junk):
        with contextlib.suppress(Unreadable):
            for message in form.asked(body).messages:
                Message.model_validate(message)
    for content_type in TYPES.values():
        reader = form.reader(content_type)
        for piece in (b"data: " + text + b"\n\n", text + b"\n", junk):
            reader.feed(piece)
        with contextlib.suppress(Unreadable):
            assert_storable(reader.answered())
