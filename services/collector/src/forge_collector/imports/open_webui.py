"""Open WebUI's export: chats as trees of messages. The branch that was open is read; other answers on it answer the same prompt."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from forge_collector.dialects.dialect import JsonObject, Unreadable, as_text
from forge_collector.imports.record import (
    Imported,
    Reading,
    answers_in,
    chat,
    count_of,
    moment_of,
    says_something,
    text_of,
    usage,
)

_REASONING = re.compile(
    r"<details\b[^>]*\btype=\"reasoning\"[^>]*>\s*(?:<summary>.*?</summary>)?(?P<said>.*?)</details>\s*",
    re.DOTALL,
)
_QUOTE = re.compile(r"^> ?", re.MULTILINE)
_RATINGS = {"1": 1, "-1": -1}


def recognises(record: JsonObject) -> bool:
    return _tree(record) is not None


def read(record: JsonObject) -> Reading:
    tree, body = _tree(record), _chat(record)
    if not tree:
        raise Unreadable("the chat has no messages")
    branch = _branch(tree, _current(body))
    system = _system(body)
    said = [*system, *map(_message, branch)]
    whole = Imported([], {}, conversation=text_of(record, "id") or text_of(body, "id"))
    beside = _by_parent(tree)
    reading = Reading([])
    for i in answers_in(said):
        node = branch[i - len(system)]
        others = [other for other in beside.get(as_text(node.get("parentId")) or "", ()) if other is not node]
        _answer(reading, replace(whole, messages=said[:i]), [node, *others])
    if not reading.exchanges:
        raise Unreadable(reading.problems[0] if reading.problems else "the chat has no answer")
    return reading


def _answer(reading: Reading, asked: Imported, nodes: list[JsonObject]) -> None:
    """The answer on the branch, then those that were written beside it."""
    main: Imported | None = None
    for node in nodes:
        answer = _message(node)
        if not says_something(answer):
            reading.problems.append("an answer is empty or failed")
            continue
        exchange = _exchange(replace(asked, answer=answer, pair_of=main), node)
        main = main or exchange
        reading.exchanges.append(exchange)


def _exchange(exchange: Imported, node: JsonObject) -> Imported:
    facts = node.get("usage") or node.get("info")
    counted = facts if isinstance(facts, dict) else {}
    thumb, note = _rating(node)
    return replace(
        exchange,
        model=text_of(node, "model", "modelName"),
        captured_at=moment_of(node, "timestamp"),
        complete=node.get("done") is not False and not node.get("error"),
        finish_reason=text_of(counted, "finish_reason") or "stop",
        usage=usage(
            count_of(counted, "prompt_tokens", "prompt_eval_count", "input_tokens"),
            count_of(counted, "completion_tokens", "eval_count", "output_tokens"),
        ),
        thumb=thumb,
        note=note,
    )


def _rating(node: JsonObject) -> tuple[int | None, str | None]:
    """A thumb, and what was said with it. A rating of 1 to 10 is `details.rating` and no thumb of its own."""
    annotation = node.get("annotation")
    given = annotation if isinstance(annotation, dict) else {"rating": node.get("rating")}
    thumb = _RATINGS.get(str(given.get("rating")))
    note = "; ".join(text for text in (text_of(given, "reason"), text_of(given, "comment")) if text)
    return thumb, note or None


def _message(node: JsonObject) -> JsonObject:
    content = node.get("content")
    message = chat([node])[0]
    if message["role"] != "assistant" or not isinstance(content, str):
        return message
    thoughts = [
        _QUOTE.sub("", html.unescape(found["said"])).strip() for found in _REASONING.finditer(content)
    ]
    answer: JsonObject = {**message, "content": _REASONING.sub("", content).strip()}
    return answer | {"thinking": "\n\n".join(thoughts)} if thoughts else answer


def _branch(tree: dict[str, JsonObject], current: str | None) -> list[JsonObject]:
    """From the first message to the current one, or where that is unknown, to the newest. A circle ends it."""
    here = current if current in tree else next(reversed(tree))
    path: list[JsonObject] = []
    seen: set[str] = set()
    while here in tree and here not in seen:
        seen.add(here)
        path.append(tree[here])
        here = as_text(tree[here].get("parentId")) or ""
    return path[::-1]


def _by_parent(tree: dict[str, JsonObject]) -> dict[str, list[JsonObject]]:
    """The assistant's messages, by what they answer."""
    children: dict[str, list[JsonObject]] = {}
    for node in tree.values():
        if node.get("role") == "assistant" and isinstance(parent := node.get("parentId"), str):
            children.setdefault(parent, []).append(node)
    return children


def _chat(record: JsonObject) -> JsonObject:
    # Old exports are the chat itself.
    body = record.get("chat")
    return body if isinstance(body, dict) else record


def _tree(record: JsonObject) -> dict[str, JsonObject] | None:
    history = _chat(record).get("history")
    messages = history.get("messages") if isinstance(history, dict) else None
    if not isinstance(messages, dict):
        return None
    return {key: message for key, message in messages.items() if isinstance(message, dict)}


def _current(body: JsonObject) -> str | None:
    history = body["history"]
    assert isinstance(history, dict)
    return as_text(history.get("currentId"))


def _system(body: JsonObject) -> list[JsonObject]:
    params = body.get("params")
    system = text_of(body, "system") or (text_of(params, "system") if isinstance(params, dict) else None)
    return [{"role": "system", "content": system}] if system else []
