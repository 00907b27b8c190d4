"""The original Forge's own files: raw pairs, mined pairs, ground truth, captures of Ollama, traces, and its database's comparisons.

Its prompts carry the transcript that its proxy wrote around them; it is taken off.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import JsonValue

from forge_collector.dialects.cleaning import clean
from forge_collector.dialects.dialect import JsonObject, Unreadable, as_text
from forge_collector.imports.record import (
    Imported,
    Reading,
    assistant,
    chat,
    moment_of,
    parsed,
    seconds_of,
    text_of,
    turns,
    user,
)
from forge_common.contracts.exchange import Origin

# Best teacher first: where an answer stands, what its model was called when the record does not say, and its duration.
_ANSWERS = (
    ("claude_response", "claude", "claude_duration_ms"),
    ("gemini_response", "gemini", "gemini_duration_ms"),
    ("local_response", None, "local_duration_ms"),
    ("engie_response", None, "engie_duration_ms"),
)
_OWN = frozenset({*(field for field, _, _ in _ANSWERS), "prompt_hash", "routed_to", "ground_truth_diff"})
_TEACHERS = ("claude", "gemini", "local")


def recognises(record: JsonObject) -> bool:
    return ("prompt" in record and not _OWN.isdisjoint(record)) or "trace" in record


def read(record: JsonObject) -> Reading:
    if "trace" in record:
        return _trace(record)
    if "ground_truth_diff" in record or record.get("type") == "ground_truth":
        return _ground_truth(record)
    return Reading(_answers(record, _question(record), _origin(record)))


def _answers(record: JsonObject, question: Imported, origin: Origin) -> list[Imported]:
    """The best teacher's answer, and the others as answers to the same prompt. Raises Unreadable without any."""
    found: list[Imported] = []
    for field, teacher, duration in _ANSWERS:
        if answer := as_text(record.get(field)):
            found.append(
                replace(
                    question,
                    answer=assistant(answer),
                    origin=origin,
                    model=teacher or text_of(record, "local_model"),
                    total_s=seconds_of(record, duration),
                    pair_of=found[0] if found else None,
                )
            )
    if not found:
        raise Unreadable("the prompt has no answer")
    return found


def _ground_truth(record: JsonObject) -> Reading:
    """What people really changed is the answer; what models said to it answers the same prompt."""
    question = _question(record)
    diff = as_text(record.get("ground_truth_diff"))
    if not diff:
        raise Unreadable("the ground truth has no diff")
    fence = "````" if "```" in diff else "```"
    truth = replace(
        question, answer=assistant(f"{fence}diff\n{diff.rstrip()}\n{fence}"), origin=Origin.GROUND_TRUTH
    )
    nested = {teacher: record.get(teacher) for teacher in _TEACHERS}
    flat = record | {
        f"{teacher}_{name}": value
        for teacher, said in nested.items()
        if isinstance(said, dict)
        for name, value in said.items()
    }
    try:
        others = _answers(flat, question, Origin.MINED)
    except Unreadable:
        others = []
    return Reading([truth, *(replace(other, pair_of=truth) for other in others)])


def _trace(record: JsonObject) -> Reading:
    messages = chat(parsed(record["trace"]))
    facts = record.get("metadata")
    metadata = facts if isinstance(facts, dict) else {}
    whole = Imported(
        [],
        {},
        origin=Origin.PROXY,
        model=text_of(record, "model") or text_of(metadata, "model"),
        conversation=text_of(metadata, "session_id") or text_of(record, "id"),
        captured_at=moment_of(record, "timestamp", "created_at"),
        task_type=text_of(record, "task_type"),
    )
    if "success" in record or str(record.get("type", "")).startswith("self"):
        return _practice(record, whole, messages)
    if not any(message["role"] == "user" for message in messages):
        messages = [*(m for m in messages if m["role"] == "system"), *_prompt(record)] + [
            m for m in messages if m["role"] != "system"
        ]
    return turns(whole, messages)


def _practice(record: JsonObject, whole: Imported, messages: list[JsonObject]) -> Reading:
    """The task and the last answer to it. The failed attempts between are left out: nobody should learn them."""
    asked = next((i for i, message in enumerate(messages) if message["role"] == "user"), None)
    if asked is None:
        raise Unreadable("the trace has no prompt")
    last = turns(whole, messages).exchanges[-1]
    failed = record.get("success") is not True
    return Reading(
        [
            replace(
                last,
                messages=messages[: asked + 1],
                origin=Origin.PRACTICE,
                task_type=whole.task_type or "coding",
                total_s=seconds_of(record, "duration_ms"),
                thumb=-1 if failed else None,
                note="its tests failed" if failed else None,
            )
        ]
    )


def _question(record: JsonObject) -> Imported:
    """The prompt and what else all answers to it share."""
    system = text_of(record, "system_prompt")
    context: list[JsonObject] = [{"role": "system", "content": system}] if system else []
    return Imported(
        [*context, *_prompt(record)],
        {},
        conversation=_conversation(record.get("session_key")),
        captured_at=moment_of(record, "timestamp", "created_at"),
        task_type=text_of(record, "task_type"),
    )


def _prompt(record: JsonObject) -> list[JsonObject]:
    prompt = as_text(record.get("prompt"))
    if not prompt or not prompt.strip():
        raise Unreadable("the prompt is not text, or empty")
    return clean([user(prompt)], is_agent=True)


def _origin(record: JsonObject) -> Origin:
    source, routed = as_text(record.get("source")), record.get("routed_to")
    if "engie_response" in record or routed == "compare":
        return Origin.COMPARE
    is_mined = routed == "mine" or bool(source and ":" in source)
    return Origin.MINED if is_mined else Origin.PROXY


def _conversation(session_key: JsonValue) -> str | None:
    # All clients that named none shared this one.
    return session_key if isinstance(session_key, str) and session_key not in ("", "default") else None
