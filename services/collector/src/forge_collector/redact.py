"""Secrets and personal data leave what was said before anything is written. Pure; nothing found is ever logged or kept.

Names and postal addresses are recognised only where a label says that they are one; more takes a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from pydantic import JsonValue

from forge_collector.redaction import labels, numbers
from forge_collector.redaction.numbering import Numbering, Numberings
from forge_collector.redaction.scanner import Span, merged, scanner
from forge_common.contracts.domain import RedactionClass

__all__ = ["STRICTEST", "Numbering", "Numberings", "Redactor", "is_clean", "redacted"]

STRICTEST = frozenset(RedactionClass)

# Between the strings of one value: no pattern reaches across it.
_BETWEEN = "\n\x00\n"
# Without a label, shorter strings and smaller numbers are nothing that is looked for.
_LEAST_TEXT, _LEAST_NUMBER = 6, 10**8
# Values that only a label betrayed are looked for without it as well: so many of them, from this length on.
_MOST_REMEMBERED, _LEAST_REMEMBERED = 200, 6
# A field's name needs no search when it is shorter than the keys of all issuers, and serves as a label.
_NAME = re.compile(r"[^\W\d]?[\w$ .-]{0,40}")
_SHORT_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,18}")
_LABEL = re.compile(
    r"(?i)pass|pwd|psk|secret|token|key|auth|credential|cookie|session|phone|mobile|tel|fax|msisdn|birth|dob|ssn|social|passport"
    r"|\bpw$|^(?:d|k|p|q|dp|dq|qi)$|salt|signature|cv[cv]|imei|family|given|plate|holder|tfn|curp|\bpin$|\bsid$|code$|licen[cs]e|name|address|street|mrn|record|patient|client|insured|policy|member|aadha|cpf|bsn|pesel|nhs|sin$|tax|steuer|cpr"
)
# The fields of messages themselves, which every exchange has.
_PLAIN = frozenset(
    {"role", "content", "type", "text", "arguments", "function", "id", "input", "name", "description"}
)
# `{"name": "X-Api-Key", "value": …}`: these fields name what their neighbour holds.
_NAMING, _NAMED = ("name", "key", "header"), "value"
_JSON_STRING = r'"(?>(?:[^"\\]|\\.)*)"'
_JSON_TOKEN = re.compile(rf"{_JSON_STRING}|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SPACE = re.compile(rb"\s")
_SECRET_KINDS = frozenset({"PASSWORD", "SECRET", "TOKEN"})


class Redactor:
    """Redacts what belongs to one exchange, the request first. What a label betrayed there is known in the reply."""

    def __init__(self, classes: frozenset[RedactionClass], numbering: Numbering) -> None:
        self._scanner, self._classes = scanner(), classes | {RedactionClass.SECRETS}
        self.numbering = numbering
        self._remembered: dict[bytes, str] = {}

    def __call__(self, value: JsonValue) -> JsonValue:
        """A copy of `value` without what must go; `value` itself where there is nothing of it, which is the usual case."""
        _, changed = self._redact(value)
        return _Rebuilding(changed).value(value, "") if changed else value

    def _redact(self, value: JsonValue) -> tuple[_Leaves, dict[int, str]]:
        """The strings of `value`, and the new texts of those that change, by their place."""
        leaves = _Leaves()
        leaves.collect(value, "")
        spans = self._spans(_encoded(_BETWEEN.join(leaves.texts)))
        return leaves, self._changed(leaves, spans) if spans else {}

    def _spans(self, text: bytes) -> list[Span]:
        spans = self._scanner.spans(text, self._classes)
        for span in spans:
            is_wanted = span.is_labelled and span.end - span.start >= _LEAST_REMEMBERED
            if is_wanted and len(self._remembered) < _MOST_REMEMBERED:
                self._remembered.setdefault(text[span.start : span.end], span.kind)
        if not self._remembered:
            return spans
        again = [span for value, kind in self._remembered.items() for span in _occurrences(text, value, kind)]
        return merged([*spans, *again])

    def _changed(self, leaves: _Leaves, spans: list[Span]) -> dict[int, str]:
        changed: dict[int, str] = {}
        start, waiting = 0, iter(spans)
        span = next(waiting, None)
        for index, leaf in enumerate(leaves.texts):
            text = _encoded(leaf)
            own: list[Span] = []
            while span is not None and span.start < start + len(text):
                own.append(Span(max(span.start - start, 0), min(span.end - start, len(text)), span.kind))
                span = next(waiting, None)
            if own and (clean := self._without(text, own, *leaves.frames.get(index, (0, 0)))) is not None:
                changed[index] = clean
            start += len(text) + len(_BETWEEN)
        return changed

    def _without(self, framed: bytes, spans: list[Span], before: int, after: int) -> str | None:
        """The text within its frame without `spans`, None where none of them is within."""
        last = len(framed) - after
        text = framed[before:last]
        if _looks_like_json(text):
            try:
                return self._within_json(text)
            except (ValueError, RecursionError):
                pass
        inside = [
            Span(max(span.start, before) - before, min(span.end, last) - before, span.kind)
            for span in spans
            if span.start < last and span.end > before
        ]
        if (
            before
            and inside
            and inside[0].start == 0
            and inside[0].kind in _SECRET_KINDS
            and not _SPACE.search(text)
        ):
            # The value of a field that is named so: all of it, quotes that are part of it included.
            inside = [Span(0, len(text), inside[0].kind)]
        return self._replaced(text, inside) if inside else None

    def _within_json(self, text: bytes) -> str | None:
        """JSON in a string stays JSON: it is redacted by its own strings, and all between them stays as it was written.

        Raises ValueError when it is none.
        """
        leaves, changed = self._redact(json.loads(text))
        if not changed:
            return None
        new = {leaves.inner(index): clean for index, clean in changed.items()}
        return _JSON_TOKEN.sub(lambda token: _token(token.group(), new), _decoded(text))

    def _replaced(self, text: bytes, spans: list[Span]) -> str:
        parts: list[str] = []
        past = 0
        for span in spans:
            value = text[span.start : span.end]
            parts += (_decoded(text[past : span.start]), self.numbering.placeholder(span.kind, value))
            past = span.end
        return "".join((*parts, _decoded(text[past:])))


def redacted(value: JsonValue, classes: frozenset[RedactionClass], numbering: Numbering) -> JsonValue:
    """`value` without what `classes` name, by itself: use a Redactor for what belongs together."""
    return Redactor(classes, numbering)(value)


def is_clean(name: str) -> bool:
    """Whether a name may be written as it is: it is no secret, and nobody's number or address."""
    return redacted(name, STRICTEST, Numbering()) == name


class _Leaves:
    """The strings and long numbers of a value in a fixed order, keys that are no plain names included.

    What a label stands before is framed: `"password": "…"`. `frames` has how many bytes the frame takes on either side.
    """

    __slots__ = ("frames", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.frames: dict[int, tuple[int, int]] = {}

    def collect(self, value: JsonValue, label: str) -> None:
        if type(value) is dict:
            naming = _neighbour(value)
            for key, item in value.items():
                if key in _PLAIN:
                    if type(item) is str:
                        if len(item) >= _LEAST_TEXT:
                            self.texts.append(item)
                        continue
                    self.collect(item, "")
                    continue
                if not _SHORT_NAME.fullmatch(key):
                    self.texts.append(key)
                self.collect(item, naming if naming and key == _NAMED else _label(key))
        elif type(value) is list:
            for item in value:
                self.collect(item, label)
        elif _is_leaf(value, label):
            self._append(str(value), label, '"' if type(value) is str else "")

    def _append(self, text: str, label: str, quote: str) -> None:
        if label:
            before = f'"{label}": {quote}'
            self.frames[len(self.texts)] = (len(before), len(quote))
            text = f"{before}{text}{quote}"
        self.texts.append(text)

    def inner(self, index: int) -> str:
        before, after = self.frames.get(index, (0, 0))
        text = self.texts[index]
        return text[before : len(text) - after]


class _Rebuilding:
    """Goes through a value as `_Leaves.collect` does, and puts new texts in their places."""

    def __init__(self, changed: dict[int, str]) -> None:
        self._changed = changed
        self._next = -1

    def value(self, value: JsonValue, label: str) -> JsonValue:
        if type(value) is dict:
            naming = _neighbour(value)
            return {
                self._key(key): self.value(item, naming if naming and key == _NAMED else _label(key))
                for key, item in value.items()
            }
        if type(value) is list:
            return [self.value(item, label) for item in value]
        return self._leaf(value) if _is_leaf(value, label) else value

    def _key(self, key: str) -> str:
        return key if key in _PLAIN or _SHORT_NAME.fullmatch(key) else str(self._leaf(key))

    def _leaf(self, value: JsonValue) -> JsonValue:
        self._next += 1
        return self._changed.get(self._next, value)


def _is_leaf(value: JsonValue, label: str) -> bool:
    if type(value) is str:
        return len(value) >= _LEAST_TEXT or bool(label)
    return type(value) is int and (value >= _LEAST_NUMBER or bool(label))


def _neighbour(value: dict[str, JsonValue]) -> str:
    if _NAMED not in value:
        return ""
    name = next((value[key] for key in _NAMING if type(value.get(key)) is str), "")
    return _label(name) if isinstance(name, str) else ""


def _label(key: str) -> str:
    return key if key not in _PLAIN and _NAME.fullmatch(key) and _is_label(key) else ""


@lru_cache(maxsize=2048)
def _is_label(name: str) -> bool:
    return (
        _LABEL.search(name) is not None
        or labels.title(_encoded(name)) is not None
        or numbers.is_label(_encoded(name))
    )


def _occurrences(text: bytes, value: bytes, kind: str) -> Iterator[Span]:
    """Where `value` stands by itself, not as a part of a longer word."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        is_inside = value[:1].isalnum() and text[at - 1 : at].isalnum()
        if not is_inside and not (value[-1:].isalnum() and text[end : end + 1].isalnum()):
            yield Span(at, end, kind)
        at = text.find(value, end)


def _looks_like_json(text: bytes) -> bool:
    return text[:1] in (b"{", b"[") and text.rstrip()[-1:] in (b"}", b"]")


def _token(token: str, new: dict[str, str]) -> str:
    clean = new.get(json.loads(token, strict=False) if token[0] == '"' else token)
    return token if clean is None else json.dumps(clean, ensure_ascii=False)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")
