"""A prompt and its response, under the names that people give them; with a better and a worse one, a preference."""

from __future__ import annotations

from dataclasses import replace

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_text
from forge_collector.imports.record import Imported, Reading, assistant, moment_of, text_of, user

_ANSWERS = ("response", "completion", "answer", "chosen", "output")


def recognises(record: JsonObject) -> bool:
    return ("prompt" in record or "instruction" in record) and not record.keys().isdisjoint(_ANSWERS)


def read(record: JsonObject) -> Reading:
    worse = text_of(record, "rejected")
    best = Imported(
        [*_system(record), user(_prompt(record))],
        assistant(_answer(record)),
        model=text_of(record, "model"),
        conversation=text_of(record, "conversation_id", "session_id"),
        captured_at=moment_of(record, "timestamp", "created_at"),
        task_type=text_of(record, "task_type"),
        thumb=1 if worse else None,
    )
    if not worse:
        return Reading([best])
    return Reading([best, replace(best, answer=assistant(worse), thumb=-1, pair_of=best)])


def _prompt(record: JsonObject) -> str:
    prompt = as_text(record.get("prompt", record.get("instruction")))
    if not prompt or not prompt.strip():
        raise Unreadable("the prompt is not text, or empty")
    # Alpaca's form: the instruction, and what it is to be done with.
    given = text_of(record, "input") if "instruction" in record else None
    return f"{prompt}\n\n{given}" if given else prompt


def _answer(record: JsonObject) -> str:
    answer = text_of(record, *_ANSWERS)
    if not answer:
        raise Unreadable("the prompt has no answer")
    return answer


def _system(record: JsonObject) -> list[JsonObject]:
    system = text_of(record, "system", "system_prompt")
    return [{"role": "system", "content": system}] if system else []
