"""What agents wrap around a person's words, taken off again in the copy: reminders, transcripts, scattered system prompts.

It acts only on the exact forms that agents write; text that merely looks like them, or quotes them, stays as it is.
"""

from __future__ import annotations

import re
from itertools import pairwise

from pydantic import JsonValue

from forge_collector.dialects.dialect import JsonObject, as_objects, as_text

_OPEN, _CLOSE = "<system-reminder>", "</system-reminder>"
_SPACE = re.compile(r"\s*")
_SPEAKERS = {"User": "user", "Assistant": "assistant"}
_MARK = re.compile(r"^(?:(?P<fence>```|~~~)|(?P<speaker>User|Assistant): )", re.MULTILINE)
# A question, its answer and the next question: so much of a transcript is no accident.
_TELLING = 3


def clean(messages: list[JsonObject], *, is_agent: bool = False) -> list[JsonObject]:
    """Messages without an agent's wrapping. `is_agent`: the request says that one sent it, and not a person's own program.

    Never empty where `messages` are not.
    """
    kept: list[JsonObject] = []
    is_first = True
    for message in messages:
        said = _without_reminders(message)
        if message.get("role") != "user":
            kept.append(said)
        elif said is message or said["content"]:
            # An agent that keeps no conversation writes it into the first prompt; what follows are its tools' turns.
            kept += _unrolled(said, is_agent=is_agent or said is not message) if is_first else [said]
            is_first = False
    return kept or messages


def with_one_system_prompt(messages: list[JsonObject]) -> list[JsonObject]:
    """All that was said as `system`, in its order, as the one first message."""
    said = [flat(message.get("content")) for message in messages if message.get("role") == "system"]
    others = [message for message in messages if message.get("role") != "system"]
    prompt = "\n\n".join(filter(None, said))
    return [{"role": "system", "content": prompt}, *others] if prompt else others


def flat(content: JsonValue) -> str:
    """The textual content, parts joined by blank lines."""
    if isinstance(content, str):
        return content
    return "\n\n".join(text for part in as_objects(content) if (text := as_text(part.get("text"))))


def without_reminders(text: str) -> str:
    """Without the reminders before and after the text, on lines of their own; others are somebody's words."""
    if _OPEN not in text:
        return text
    begin, end = _end_of_leading(text), len(text)
    while (start := _start_of_trailing(text, begin, end)) is not None:
        end = start
    if (begin, end) == (0, len(text)):
        return text
    rest = text[begin:end]
    return rest.strip("\r\n") if rest.strip() else ""


def transcript(text: str, *, is_agent: bool) -> list[tuple[str, str]] | None:
    """(role, text) of every turn when `text` is a conversation as agents write one into a single prompt, else None.

    Turns begin with `User: ` or `Assistant: ` after a blank line, alternate, and end with the user's. A single
    `User: ` says so little that it counts only when the request comes from an agent.
    """
    if not text.startswith(("User: ", "Assistant: ")):
        return None
    marks = _marks(text)
    if is_agent and all(role == "user" for role, _, _ in marks):
        return [("user", text[marks[0][2] :].strip())]
    alternates = all(a[0] != b[0] for a, b in pairwise(marks))
    if not alternates or marks[-1][0] != "user" or (len(marks) < _TELLING and not is_agent):
        return None
    ends = [start for _, start, _ in marks[1:]] + [len(text)]
    return [(role, text[begin:end].strip()) for (role, _, begin), end in zip(marks, ends, strict=True)]


def _unrolled(message: JsonObject, *, is_agent: bool) -> list[JsonObject]:
    """The message's transcript as messages. The real prompt is its last text; what else it holds stays with that."""
    content = message.get("content")
    parts: list[JsonObject] = [{"text": content}] if isinstance(content, str) else as_objects(content)
    place = next((i for i in reversed(range(len(parts))) if as_text(parts[i].get("text"))), None)
    turns = transcript(str(parts[place]["text"]), is_agent=is_agent) if place is not None else None
    if turns is None or place is None:
        return [message]
    *earlier, (_, last) = turns
    parts[place] = {**parts[place], "text": last}
    own: JsonObject = {**message, "content": last if isinstance(content, str) else [*parts]}
    before: list[JsonObject] = [{"role": role, "content": text} for role, text in earlier]
    return [*before, own]


def _without_reminders(message: JsonObject) -> JsonObject:
    """The message itself where there are none. A tool's result that is nothing but a reminder stays: it is all it says."""
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "tool") or not _mentions_reminder(content):
        return message
    rest: JsonValue
    if isinstance(content, str):
        rest = without_reminders(content)
    else:
        parts = [_part_without_reminders(part) for part in as_objects(content)]
        rest = [part for part in parts if part.get("text") != ""]
    return message if rest == content or (role == "tool" and not rest) else {**message, "content": rest}


def _mentions_reminder(content: JsonValue) -> bool:
    if isinstance(content, str):
        return _OPEN in content
    return any(_OPEN in (as_text(part.get("text")) or "") for part in as_objects(content))


def _part_without_reminders(part: JsonObject) -> JsonObject:
    text = as_text(part.get("text"))
    return {**part, "text": without_reminders(text)} if text else part


def _end_of_leading(text: str) -> int:
    end = 0
    while (space := _SPACE.match(text, end)) and text.startswith(_OPEN, space.end()):
        close = text.find(_CLOSE, space.end())
        after = close + len(_CLOSE)
        if close < 0 or text[after : after + 1] not in ("", "\n", "\r"):
            break
        end = after
    return end


def _start_of_trailing(text: str, begin: int, end: int) -> int | None:
    while end > begin and text[end - 1].isspace():
        end -= 1
    start = text.rfind(_OPEN, begin, end) if text.endswith(_CLOSE, begin, end) else -1
    if start < 0 or text.find(_CLOSE, start) != end - len(_CLOSE):
        return None
    return start if start == begin or text[start - 1] == "\n" else None


def _marks(text: str) -> list[tuple[str, int, int]]:
    """(role, start of the mark, start of what was said) of every turn; what is fenced is quoted, not said."""
    marks: list[tuple[str, int, int]] = []
    is_fenced = False
    for mark in _MARK.finditer(text):
        if mark["fence"]:
            is_fenced = not is_fenced
        elif not is_fenced and (mark.start() == 0 or text.endswith("\n\n", 0, mark.start())):
            marks.append((_SPEAKERS[mark["speaker"]], mark.start(), mark.end()))
    return marks
