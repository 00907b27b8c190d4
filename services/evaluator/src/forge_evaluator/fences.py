"""An answer as plain text, and its fenced blocks as CommonMark has them. One pass each, whatever the text is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_MAX_INDENT = 3


@dataclass(frozen=True, slots=True)
class Block:
    """The inside of one fence. `is_open`: the answer ended before the fence did."""

    language: str
    text: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class _Fence:
    sign: str
    length: int
    info: str
    indent: int

    def closes(self, opening: _Fence) -> bool:
        return self.sign == opening.sign and self.length >= opening.length and not self.info


def strip(answer: str) -> str:
    """The answer without terminal escapes and thinking; an unclosed `<think>` hides all that follows it.

    A `</think>` that nothing opened closes what the chat template had opened: all before it was thinking.
    """
    text = _ESCAPES.sub("", answer).replace("\r\n", "\n")
    orphan = text.find(_THINK_CLOSE)
    if orphan >= 0 and _THINK_OPEN not in text[:orphan]:
        text = text[orphan + len(_THINK_CLOSE) :]
    kept, position = [], 0
    while (start := text.find(_THINK_OPEN, position)) >= 0:
        kept.append(text[position:start])
        end = text.find(_THINK_CLOSE, start)
        position = len(text) if end < 0 else end + len(_THINK_CLOSE)
    kept.append(text[position:])
    return "".join(kept)


def fences(text: str) -> list[Block]:
    """All fenced blocks in order; a fence is closed by one of its own kind that is at least as long."""
    blocks: list[Block] = []
    opened: _Fence | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        found = _fence(line)
        if opened is None:
            if found:
                opened, lines = found, []
        elif found and found.closes(opened):
            blocks.append(_block(opened, lines))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        blocks.append(_block(opened, lines, is_open=True))
    return blocks


def _fence(line: str) -> _Fence | None:
    # No regular expression: one that is right about backticks in the info string backtracks over a long line.
    body = line.lstrip(" ")
    indent = len(line) - len(body)
    sign = body[:1]
    if indent > _MAX_INDENT or sign not in ("`", "~"):
        return None
    info = body.lstrip(sign)
    length = len(body) - len(info)
    if length < 3 or (sign == "`" and "`" in info):
        return None
    return _Fence(sign, length, info.strip(), indent)


def _block(opened: _Fence, lines: list[str], *, is_open: bool = False) -> Block:
    """Without the fence's own indent, where all lines have it: models indent the fence of a list item, and not its code."""
    margin = " " * opened.indent
    if all(line.startswith(margin) or not line.strip() for line in lines):
        lines = [line[opened.indent :] for line in lines]
    return Block(_language(opened.info), "\n".join(lines), is_open)


def _language(info: str) -> str:
    words = info.split(maxsplit=1)
    return words[0].strip("{}.").lower() if words else ""
