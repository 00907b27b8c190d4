"""Prose taken apart: headings, sentences, and whether it is prose at all. Judges nothing.

A list item and a table row are sentences too; an item also carries the line that introduces its list. All of it takes
linear time, and what stands beyond `MAX_CHARS` is not read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from forge_evaluator.scorers.addressed import is_addressed
from forge_evaluator.scorers.vocabulary import (
    content,
    function_share,
    is_alphabetical,
    is_listed,
    is_scrambled,
    stem,
    words,
)

MAX_CHARS = 200_000
MIN_WORDS = 5
"""Fewer words state nothing."""
MAX_WORDS = 80
# Words without a full stop for longer than that are no sentence.
_MAX_SENTENCE_WORDS = 100
UNMARKED = 7
"""The level of a heading that is only a bold or a short line: below every marked one."""
_MAX_MARKS = 4
_MAX_SENTENCE_CHARS = 4_000

_STOP = re.compile(r"[;,.:!?()]+(?:\s+|$)")
_SEMICOLONS = 2
# No editor breaks lines at so few characters.
_SHORT_LINE = 50
_SENTENCE_SHARE = 0.15
_TEXT_SHARE = 0.12

_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+([^\n]*?)[ \t#]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{3,})[ \t]*$")
_EMPHASISED = re.compile(r"^\s*(?:\d{1,2}[.)]\s+)?(\*\*|__)([^*_\n]{1,120})\1\s*:?\s*$")
_BARE = re.compile(r"^\s*(?:(?:\d{1,2}|[IVX]{1,4}|[A-Z])[.)]\s+)?([^\W\d_][^\n.!?;:|]{0,80}):?\s*$")
_RUN_IN = re.compile(
    r"^\s*(?:[-*+]\s+)?(?:\d{1,2}[.)]\s+)?(?:(\*\*|__)([^*_\n:.]{1,80})[:.]?\1[:.]?|([^\W\d_][^*_|\n:.,;]{0,60}):)\s+(?=\S)"
)
_ITEM = re.compile(r"^\s*(?:[-*+•–]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_ROW = re.compile(r"^\s*\|.*\|\s*$|^[^|\n]+\|[^|\n]+\|[^\n]*$")
_RULE = re.compile(r"^[\s|:=*_+-]+$")
_QUOTE = re.compile(r"^\s*(?:>\s?)+")
_END = re.compile(r"[.!?…]{1,8}[\"'”’)\]*_]{0,8}(?=\s)|[。।]")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\[])(?:[A-Za-z]|e\.g|i\.e|etc|cf|vs|al|approx|art|arts|sec|secs|no|nos|para|paras|ch|cl|reg|regs|fig|eq"
    r"|pp?|vol|ed|eds|dr|mr|mrs|ms|prof|st|inc|ltd|co|corp|jr|sr|dept|est|max|min|jan|feb|mar|apr|jun|jul|aug|sept?|oct"
    r"|nov|dec|u\.s|u\.k|u\.s\.c|f\.\dd|e\.u|s\.ct|c\.f\.r|a\.m|p\.m)\.$",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """`text` stands verbatim in the answer, but for line breaks. `lead` introduces it: an item's `The seller must:`."""

    text: str
    lead: str = ""
    is_cell: bool = False

    @cached_property
    def whole(self) -> str:
        return f"{self.lead} {self.text}" if self.lead else self.text

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(words(self.whole))

    @cached_property
    def own_words(self) -> tuple[str, ...]:
        return tuple(words(self.text)) if self.lead else self.words

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(map(stem, self.words))

    @cached_property
    def content(self) -> frozenset[str]:
        return content(self.words)

    @cached_property
    def is_to_the_scorer(self) -> bool:
        """Instructions to whoever scores it, or a verdict on itself as data."""
        return is_addressed(self.text)

    @property
    def is_statement(self) -> bool:
        """Prose of some length that asks nothing. A bag of all the right words has no full stops, and is one long sentence."""
        return (
            MIN_WORDS <= len(self.words) <= MAX_WORDS
            and not self.text.rstrip("\"'”’)*_ ").endswith("?")
            and function_share(self.words) >= _SENTENCE_SHARE
            and not (self.text.count(";") >= _SEMICOLONS and is_listed(self.text.split(";")))
        )


@dataclass(frozen=True)
class Section:
    """A heading (level 0: what comes before the first) and the sentences up to the next one."""

    level: int
    title: str
    sentences: tuple[Sentence, ...]
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    text: str
    sections: tuple[Section, ...]

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        return tuple(sentence for section in self.sections for sentence in section.sentences)

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(words(self.text))


def is_prose(found: Sequence[str]) -> bool:
    """No list of keywords, and no words in a random order, nor in the alphabet's."""
    has_order = not is_scrambled(found) and not is_alphabetical(found)
    return has_order and function_share(found) >= _TEXT_SHARE


def spans(text: str) -> Iterator[str]:
    """What stands between two stops, or on a short line of its own."""
    for line in _broken_lines(text):
        yield from _STOP.split(line)


def plain(text: str) -> str:
    """Compatibility forms folded, quotes straight, invisible characters gone.

    Runs of combining marks are cut first: putting them in order takes quadratic time.
    """
    text = text[:MAX_CHARS]
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", few_marks(text))[:MAX_CHARS]
    text = text.translate(_STRAIGHT)
    return "".join(char for char in text if unicodedata.category(char) not in {"Cf", "Co", "Cs"})


_STRAIGHT = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "−": "-", "‑": "-"})


def few_marks(text: str) -> str:
    """At most four combining marks in a row, more than any script needs."""
    return text if text.isascii() else "".join(_cut_marks(text))


def _cut_marks(text: str) -> Iterator[str]:
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= _MAX_MARKS:
            yield char


def _broken_lines(text: str) -> Iterator[str]:
    """Lines that are neither headings nor rows; those that only the width of the text broke are joined again."""
    held = ""
    for line in (*text.split("\n"), ""):
        if not line.strip() or line.startswith("#") or _ROW.match(line) or len(line) < _SHORT_LINE:
            yield f"{held} {line}" if not line.startswith("#") and not _ROW.match(line) else held
            held = ""
        else:
            held = f"{held} {line}"


def read(text: str) -> Document:
    """`text` must be `plain`."""
    sections: list[Section] = []
    level, title, body = 0, "", list[str]()
    for kind, depth, line in _lines(text.split("\n")):
        if kind == "heading":
            sections.append(_section(level, title, body))
            level, title, body = depth, line, []
        else:
            body.append(line)
    sections.append(_section(level, title, body))
    return Document(text, tuple(s for s in sections if s.title or s.sentences))


def _lines(lines: list[str]) -> Iterator[tuple[str, int, str]]:
    for index, line in enumerate(lines):
        content = _QUOTE.sub("", line)
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if _FENCE.match(content):
            continue
        beyond = following if following.strip() else "".join(lines[index + 2 : index + 3])
        is_first = index == 0 or not lines[index - 1].strip()
        heading = _heading(content, following, beyond, is_first_of_block=is_first)
        if heading:
            yield ("heading", *heading)
        elif not (_UNDERLINE.match(content) and index and lines[index - 1].strip()):
            yield ("line", 0, content)


def _heading(line: str, following: str, beyond: str, *, is_first_of_block: bool) -> tuple[int, str] | None:
    if len(line) > 200:
        return None
    if found := _ATX.match(line):
        return len(found[1]), found[2].strip("*_ ")
    if _UNDERLINE.match(following) and words(line) and not _ROW.match(line) and is_first_of_block:
        return (1 if "=" in following else 2), line.strip()
    if found := _EMPHASISED.match(line):
        return UNMARKED, found[2].rstrip(": ")
    if (
        is_first_of_block
        and (found := _BARE.match(line))
        and _reads_as_title(found[1], line, following, beyond)
    ):
        return UNMARKED, found[1].strip()
    return None


def _reads_as_title(title: str, line: str, following: str, beyond: str) -> bool:
    """A short line of its own above other text; `The seller must:` above a list is none."""
    found = words(title)
    if len(found) > 6 or not title[0].isupper() or title.isspace():
        return False
    if line.rstrip().endswith(":"):
        return not (_ITEM.match(beyond) or _ROW.match(beyond))
    return not following.strip()


def run_in_heading(paragraph: str) -> str:
    """`**Issue.** Whether …` and `Issue: whether …` name their paragraph; empty where nothing does."""
    found = _RUN_IN.match(paragraph[:200])
    return (found[2] or found[3]).strip() if found else ""


def _section(level: int, title: str, lines: list[str]) -> Section:
    sentences: list[Sentence] = []
    paragraphs: list[str] = []
    lead = ""
    for kind, text in _blocks(lines):
        if kind == "row":
            sentences.append(Sentence(text[:_MAX_SENTENCE_CHARS], is_cell=True))
            continue
        paragraphs.append(text)
        found = [Sentence(part, lead if kind == "item" else "") for part in split_sentences(text)]
        sentences += found
        if kind == "text":
            lead = found[-1].text if found and found[-1].text.rstrip("*_ ").endswith(":") else ""
    return Section(level, title, tuple(sentences), tuple(paragraphs))


def _blocks(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Paragraphs, list items and table rows, each on one line."""
    kind, held = "text", list[str]()
    for line in [*lines, ""]:
        is_row = bool(_ROW.match(line))
        starts = bool(_ITEM.match(line))
        if held and (starts or is_row or not line.strip()):
            yield kind, " ".join(held)
            held = []
        if is_row:
            if not _RULE.match(line):
                yield "row", line.strip()
        elif line.strip() and not _RULE.match(line):
            kind = "item" if starts else kind if held else "text"
            held.append(_ITEM.sub("", line, count=1).strip() if starts else line.strip())


def sentence_list(paragraph: str) -> list[Sentence]:
    return [Sentence(part) for part in split_sentences(paragraph)]


def split_sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        following = text[end.end() : end.end() + 4].lstrip()[:1]
        if end.end() - start < _MAX_SENTENCE_CHARS and (
            _ABBREVIATED.search(text[max(start, end.end() - 12) : end.end()]) or following.islower()
        ):
            continue
        yield from _bounded(text[start : end.end()].strip())
        start = end.end()
    if rest := text[start:].strip():
        yield from _bounded(rest)


def _bounded(text: str) -> Iterator[str]:
    for start in range(0, len(text), _MAX_SENTENCE_CHARS):
        yield text[start : start + _MAX_SENTENCE_CHARS]


class Prompt:
    """What the answer was given, so that copying it back earns nothing."""

    _COPIED = 0.8

    def __init__(self, text: str) -> None:
        self._grams = set(_trigrams(words(plain(text))))

    def share_in(self, found: Sequence[str]) -> float:
        """The share of `found`'s runs of three words that stand in the prompt."""
        grams = list(_trigrams(found))
        return sum(gram in self._grams for gram in grams) / len(grams) if grams else 0.0

    def holds(self, found: Sequence[str]) -> bool:
        return self.share_in(found) >= self._COPIED


def _trigrams(found: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return zip(found, found[1:], found[2:], strict=False)
