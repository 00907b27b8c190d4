"""What every reader makes of a record, and how they read the values that all exports write in several ways. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import accumulate, takewhile

import orjson
from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_objects, as_text, parse_object
from forge_collector.dialects.openai.parts import read_message
from forge_common.contracts.exchange import Origin
from forge_common.contracts.imports import MAX_RECORD_BYTES

# What is kept is written by parsers that go some 250 deep.
_DEEPEST = 100
# Postgres counts so far.
_MOST = 2**63 - 1
# A conversation as one exchange an answer grows with its square.
_MOST_BYTES = 4 * MAX_RECORD_BYTES
# Seconds until the year 5138; whatever is above counts in a smaller unit.
_SECONDS_END = 1e11
_ROLES = {"human": "user", "ai": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
_ROLES |= {"function_response": "tool", "observation": "tool"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(slots=True, eq=False)
class Imported:
    """An exchange as another system kept it. `pair_of` is the one of the same record whose prompt it answers again."""

    messages: list[JsonObject]
    answer: JsonObject
    model: str | None = None
    origin: Origin = Origin.IMPORT
    tools: list[JsonObject] | None = None
    conversation: str | None = None
    captured_at: datetime | None = None
    task_type: str | None = None
    finish_reason: str | None = "stop"
    complete: bool = True
    usage: JsonObject = field(default_factory=dict)
    sampling: JsonObject = field(default_factory=dict)
    cost_usd: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None
    pair_of: Imported | None = None
    thumb: int | None = None
    note: str | None = None


@dataclass(slots=True)
class Reading:
    """What a record held; `problems` say what of it could not be used."""

    exchanges: list[Imported]
    problems: list[str] = field(default_factory=list)


def parse(text: str) -> JsonObject:
    """A record as an object. Raises Unreadable with a reason that quotes nothing of it."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            # Lone surrogates are JSON all the same.
            found = parse_object(text.encode("utf-8", "replace"))
        except Unreadable:
            raise Unreadable(f"not JSON: {error.msg}") from error
    if not isinstance(found, dict):
        raise Unreadable("not a JSON object")
    _check(found, _DEEPEST)
    return found


def parsed(value: JsonValue) -> JsonValue:
    """`value`, or what it says when it is JSON within a string, as CSV cells and some exports' fields are."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        found: JsonValue = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    return found


def chat(value: JsonValue) -> list[JsonObject]:
    """Messages with the fields and roles of an exchange, whatever this exporter calls its speakers."""
    return [_message(message) for message in as_objects(value)]


def user(prompt: str) -> JsonObject:
    return {"role": "user", "content": prompt}


def assistant(answer: str) -> JsonObject:
    return {"role": "assistant", "content": answer}


def turns(whole: Imported, messages: list[JsonObject]) -> Reading:
    """Every answer of a conversation as an exchange of its own, with all that was said before it; the rest as in `whole`.

    Raises Unreadable when there is none.
    """
    found = answers_in(messages)
    answers = [
        replace(whole, messages=messages[:i], answer=messages[i], finish_reason=_finish(messages[i]))
        for i in found
        if says_something(messages[i]) and messages[i].get("weight") != 0
    ]
    if not answers:
        has_weights = any(messages[i].get("weight") == 0 for i in found)
        raise Unreadable(
            "every answer has weight 0" if has_weights else "the conversation has no answer of the assistant"
        )
    is_silent = any(not says_something(messages[i]) for i in found)
    return Reading(answers, ["an answer is empty"] if is_silent else [])


def answers_in(messages: list[JsonObject]) -> list[int]:
    """Where the assistant answers somebody.

    Only the newest where all of them with what was said before each would be out of proportion; those have the others in them.
    """
    sizes = accumulate(len(orjson.dumps(message)) for message in messages)
    asked, places = False, []
    for i, (message, size) in enumerate(zip(messages, sizes, strict=True)):
        asked = asked or message["role"] == "user"
        if asked and message["role"] == "assistant":
            places.append((i, size))
    total = accumulate(size for _, size in reversed(places))
    fitting = takewhile(lambda pair: pair[1] <= _MOST_BYTES, zip(reversed(places), total, strict=True))
    return [i for (i, _), _ in fitting][::-1] or [i for i, _ in places[-1:]]


def says_something(answer: JsonObject) -> bool:
    return bool(answer.get("content") or answer.get("tool_calls"))


def text_of(record: JsonObject, *names: str) -> str | None:
    """The first of these fields that holds text, and not nothing."""
    return next((text for name in names if (text := as_text(record.get(name)))), None)


def number_of(record: JsonObject, *names: str) -> float | None:
    """The first of these fields that holds a number, also one that a CSV cell spells."""
    return next((number for name in names if (number := _number(record.get(name))) is not None), None)


def count_of(record: JsonObject, *names: str) -> int | None:
    number = number_of(record, *names)
    return int(number) if number is not None and 0 <= number <= _MOST else None


def seconds_of(record: JsonObject, *names: str) -> float | None:
    """Milliseconds, as their names say, in seconds."""
    number = number_of(record, *names)
    return number / 1000 if number is not None else None


def moment_of(record: JsonObject, *names: str) -> datetime | None:
    """The first of these fields that is a time: ISO 8601, where no zone means UTC, or a Unix time in any unit."""
    return next((moment for name in names if (moment := _moment(record.get(name))) is not None), None)


def snake(record: JsonObject) -> JsonObject:
    """The record with `sessionId` as `session_id`: one system's exports spell their fields both ways."""
    return {_HUMP.sub("_", key).lower(): value for key, value in record.items()}


def usage(prompt: int | None, completion: int | None, cached: int | None = None) -> JsonObject:
    counts: JsonObject = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
    return {name: count for name, count in counts.items() if count is not None}


def _check(value: JsonValue, depth: int) -> None:
    """Raises Unreadable for what could be read, but not be written again."""
    if depth == 0:
        raise Unreadable(f"nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        for inner in value.values():
            _check(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth - 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise Unreadable("a number has more than 64 bits")


def _message(message: JsonObject) -> JsonObject:
    role = as_text(message.get("role")) or as_text(message.get("type")) or "user"
    kept = read_message({**message, "role": _ROLES.get(role, role)})
    if message.get("weight") == 0:
        kept["weight"] = 0
    return kept


def _finish(answer: JsonObject) -> str:
    return "tool_calls" if answer.get("tool_calls") else "stop"


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _moment(value: JsonValue) -> datetime | None:
    number = _number(value)
    try:
        if number is not None:
            return _unix(number)
        if not isinstance(value, str):
            return None
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _unix(number: float) -> datetime | None:
    while number >= _SECONDS_END:
        number /= 1000
    return datetime.fromtimestamp(number, UTC) if number > 0 else None
