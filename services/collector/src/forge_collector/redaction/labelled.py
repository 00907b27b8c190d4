"""Secrets by what they are called: near a label, in whatever language and syntax, a value that looks like one.

No syntax is listed. From a label on, what only joins (signs, quotes, tags, words that say nothing) is passed over, and the first
thing that is neither is judged: the less says that it is the label's value, the more it must look like a secret itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from forge_collector.redaction import labels, values
from forge_common.contracts.domain import RedactionClass

# A word in a sentence between the label and the value; how far all of it may reach.
_MOST_WORDS, _FARTHEST = 9, 140
_MOST_BREAKS = 3
# Letters of escaped JSON are seen unescaped, see `escapes`; what is left here are the escapes of code itself.
_TAG = rb"<!\[CDATA\[|</?[A-Za-z][^<>\n\x00]{0,80}>|&(?:quot|apos|lt|gt|nbsp);"
_GLUE = re.compile(
    rb"(?>(?:\r?\n\[?\d{1,2}:\d{2}(?::\d{2})?\]? [\w ]{1,20}: |"
    + _TAG
    + rb"|\{ ?get;[^{}]{0,30}\}|[\s\"'`*~|=:>,(\[{}\])?!@$&.;#+_-]|\\{1,4}[nrt\"'`]|\xe2(?:\x80[\x90-\xba]|\x86.)|\xc2[\xa0\xab\xbb]"
    rb"|\xef\xbc[\x9a\x9d\x88\x89]|\xe3\x80[\x80-\x91]|<[-<])*)"
)
_SIGNED = re.compile(
    rb"[=:|({\[]|[\"'`]\s{0,3},|</|<<|\xef\xbc[\x9a\x9d]|\xe2\x86|->|<-|\xe2\x80[\x93\x94]| - "
)
_QUOTE = re.compile(rb"\\{0,3}[\"'`]|\xe2\x80\x9c|\xe2\x80\x9e|\xc2\xab|\xe3\x80\x8c")
_CLOSING = {b"\xe2\x80\x9c": b"\xe2\x80\x9d", b"\xe2\x80\x9e": b"\xe2\x80\x9c", b"\xc2\xab": b"\xc2\xbb", b"\xe3\x80\x8c": b"\xe3\x80\x8d"}  # fmt: skip
_BARE = re.compile(
    rb"(?>(?:[^\s\"'`<>\\\x00,;&)\]}|]|\\(?![nrt\"'`\\])|[,)\]}|](?=[^\s\"'`<>\\\x00,;&)\]}|])|&(?![\w.-]{1,40}=|(?:quot|lt|amp|#\d+);)|;(?=[^\s\"'`<>\\\x00;])(?![\w ]{1,30}=))+)"
)
_WORD = re.compile(rb"[A-Za-z\x80-\xff][\w\x80-\xff:.&*!?]*+|\d{1,2}(?=[ :=)])")
_CALL = re.compile(rb"[A-Za-z_][\w.:!]{0,60}[({]")
_LETTERS = rb"(?>(?:[\xc3-\xe1\xe3-\xee][\x80-\xbf]{1,3})*)"
_TAIL_OF_NAME, _TAIL_BEYOND_ASCII = re.compile(rb"[\w.-]*+" + _LETTERS), re.compile(_LETTERS)
_HEAD_OF_NAME = re.compile(rb"[\w.-]{1,60}\Z")
# `"key": "token", "type": "text", "value": "`: a record that keeps name and value apart.
_APART = re.compile(
    rb"[\w.-]{0,20}\\{0,3}[\"']\s*,[^{}\x00]{0,120}?\bvalue\\{0,3}[\"']?\s{0,2}[:=]\s{0,2}(?=[\"'\\])"
)
# Names that hold something else: what it is about, where it is, how long it is.
_NOT_THE_VALUE = re.compile(
    rb"(?i)(?:ids?|types?|counts?|len(?:gth)?|size|files?|paths?|dir|urls?|uri|names?|at|exp\w*|ttl|limit|usage|fields?|version|policy|regex|pattern"
    rb"|hint|label|placeholder|ref|arn|index|prefix|suffix|alg\w*|format|class|error|mode|set|map|list|func|handler|provider|manager|service|buckets?|rotation|reset|length)"
)
_BYTES = re.compile(
    rb"\\(?:[xuU0-9]|[sdwSDW(.$\[])|%[sdr](?!\w)|\[\^?[aA0]-[zZ9]|\(\?:|^0x[0-9a-fA-F_]{1,20}$|/0x[0-9a-f]|^\d{4}-\d\d-\d\dT|=[\[('\"]"
)
_NAME = re.compile(rb"[A-Za-z_]\w{0,15}")
# Only of keys that come in pairs the id is worth hiding.
_KEY_ID = re.compile(rb"(?i).*(?:private|access)[ _-]?key[ _-]?id")
# Keys that follow it when somebody types it: `{enter}`, a carriage return.
_TYPED = re.compile(rb"(?:\{\w+\}|\\[rn])+\Z")
_PARTS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Arguments by name, constants, what a module has.
_CODE = re.compile(
    rb"^[A-Za-z_]\w*=[^=]|^[A-Z][A-Z0-9]*(?:_[A-Z0-9]{1,12})+$|^[a-z_]{1,12}\.[A-Za-z_]\w{0,16}$|[)\]][.\[][a-z\d]|^[a-z][a-z0-9]*(?:_[a-z0-9]{1,12})*_[a-z]{3,12}$|^/\w+/|\w\(\)|^[a-z-]+=$"
)
_WRAPS = frozenset(b"value string default data text str body send type fill".split())


@dataclass(frozen=True, slots=True)
class Labelled:
    """What `rule.Rule` is for a pattern. `triggers` are common to all labels; which one it was is looked up afterwards."""

    kind: str
    group: RedactionClass
    trigger: bytes
    is_password: bool
    back: int = 260
    ahead: int = 24
    is_labelled: bool = True

    def spans(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        yield from self.behind(text, labels.ends(text, start, end, is_password=self.is_password), {})

    def behind(self, text: bytes, ends: list[int], known: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """The values of the labels that end at `ends`, in order.

        known: where secrets begin and end that their own form betrayed.
        """
        past = 0
        for end in ends:
            at = labels.end_of_name(text, end)
            if at < past or not labels.is_word(text, at) or not labels.is_near_a_value(text, at):
                continue
            span = _read(text, at, known, is_key=not self.is_password)
            if span is not None and (_covers(known, span) or labels.is_secrets(text, at)):
                past = span[1]
                yield span


def _read(text: bytes, at: int, known: Mapping[int, int], *, is_key: bool) -> tuple[int, int] | None:
    """The value of the label that ends at `at`, if there is one near it that looks like a secret."""
    tail = _tail(text, at)
    is_id = _KEY_ID.fullmatch(text, max(at - 12, 0), at + len(tail)) is not None
    if not is_id and any(_NOT_THE_VALUE.fullmatch(part) for part in _PARTS.findall(tail)):
        return None
    apart = _APART.match(text, at)
    is_signed = apart is not None or _is_option(text, at)
    at = apart.end() if apart else at + len(tail)
    last = at + _FARTHEST
    words, breaks = 0, 0
    while words <= _MOST_WORDS and at < last:
        glue = _GLUE.match(text, at).group()  # type: ignore[union-attr]
        breaks += glue.count(b"\n") + glue.count(b"\\n")
        if breaks > _MOST_BREAKS or _is_over(text, at, glue, words=words, is_signed=is_signed):
            break
        has_sign = _SIGNED.search(glue) is not None
        is_direct, is_signed = not words or has_sign, is_signed or has_sign
        at += len(glue)
        call = _CALL.match(text, at)
        span = None if call else _value(text, at, glue)
        if span is not None and (not breaks or words or _is_alone(text, span[1])):
            if glue.rstrip(b"_").endswith(b"(") and _NAME.fullmatch(text, *span):
                break
            if _covers(known, span):
                return span
            judge = _judge(
                is_key=is_key,
                is_signed=is_signed,
                is_direct=is_direct,
                is_quoted=_opened(glue) is not None,
                is_near=not words,
                is_last=_is_alone(text, span[1]),
            )
            if judge(text[slice(*span)]):
                return span
        word = call or _WORD.match(text, at)
        if word is None or (breaks and word.group().lower().rstrip(b":") not in _WRAPS):
            break
        words += 1
        at = word.end()
    return None


def _covers(known: Mapping[int, int], span: tuple[int, int]) -> bool:
    return known.get(span[0], 0) >= span[1]


def _tail(text: bytes, at: int) -> bytes:
    """The rest of the name, and of the word."""
    rest = _TAIL_BEYOND_ASCII if text[at - 1] >= 0x80 else _TAIL_OF_NAME
    found = rest.match(text, at)
    return found.group().rstrip(b".-") if found else b""


def _is_option(text: bytes, at: int) -> bool:
    """Whether the name is a flag or a variable of the environment: both are followed by their values."""
    head = text[max(at - 60, 0) : at]
    if b"-" not in head and not head[-1:].isupper():
        return False
    found = _HEAD_OF_NAME.search(head)
    name = found.group() if found else b""
    return name.startswith(b"-") or (name.isupper() and b"_" in name)


def _is_over(text: bytes, at: int, glue: bytes, *, words: int, is_signed: bool) -> bool:
    """Whether what stands here ends what was said of the label: an expression, a sentence, a path that goes on."""
    if b"\x00" in glue or b"***" in glue or b"=<" in glue or glue.startswith((b"),", b");")):
        return True
    if not words:
        return glue.lstrip(b"])}").startswith(b"@") or (not glue and text[at : at + 1] in b"/\\%")
    if b". " in glue or (b"," in glue and (b'"' in glue or b"'" in glue)):
        return True
    return is_signed and (b"," in glue or b";" in glue or b"\n" in glue)


_ALONE = re.compile(rb"[ \t\"'`,;*)\]}.]{0,6}(?:[\r\n\x00<|]|\\[nr]|\Z)")


def _is_alone(text: bytes, at: int) -> bool:
    return _ALONE.match(text, at) is not None


def _opened(glue: bytes) -> bytes | None:
    """The quote that was opened right before a value."""
    quotes = list(_QUOTE.finditer(glue))
    return quotes[-1].group() if quotes and quotes[-1].end() == len(glue) else None


def _value(text: bytes, at: int, glue: bytes) -> tuple[int, int] | None:
    quote = _opened(glue)
    if quote is not None:
        close = text.find(_CLOSING.get(quote, quote), at, at + 600)
        inside = text[at:close] if close > at else b""
        if inside and not re.search(rb"[\s\x00]", inside):
            return at, at + len(_TYPED.sub(b"", inside))
        if inside:
            return at, at + len(inside.split()[0])
    found = _BARE.match(text, at)
    if found is None:
        return None
    end = found.end()
    while (
        end > at
        and text[end - 1 : end] in (b".", b",", b":", b"*", b"_")
        and not (quote and text[end - 1 : end] in b"*_")
    ):
        end -= 1
    while end > at and text[end - 1] in b")]}" and not any(c in b"([{" for c in text[at:end]):
        end -= 1
    return (at, end) if end > at else None


def _judge(
    *, is_key: bool, is_signed: bool, is_direct: bool, is_quoted: bool, is_near: bool, is_last: bool
) -> Callable[[bytes], bool]:
    """What a value must be like. Signs and quotes say that it is one; in a sentence it must say so itself."""
    if is_key:
        looks = values.is_key
    elif is_signed and is_quoted:
        looks = values.is_password
    elif is_signed and is_direct:
        looks = values.is_last_password if is_last else values.is_bare_password
    elif is_near:
        looks = values.is_long_password
    else:
        looks = values.is_odd
    is_made_up = is_signed and is_direct and is_last and not is_key

    def judge(value: bytes) -> bool:
        if not looks(value) or _BYTES.search(value):
            return False
        if is_made_up:
            return not (_CODE.search(value) and not is_quoted)
        is_name = values.is_dotted_name(value) or (not is_quoted and values.is_long_name(value))
        return not is_name and (is_quoted or not _CODE.search(value))

    return judge


RULES: tuple[Labelled, ...] = (
    Labelled("PASSWORD", RedactionClass.SECRETS, labels.PASSWORDS, is_password=True),
    Labelled("SECRET", RedactionClass.SECRETS, labels.KEYS, is_password=False),
)
