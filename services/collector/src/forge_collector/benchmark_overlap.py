"""Keeps benchmarks out of training: exact matches and near-duplicates, found field by field. Pure.

A benchmark is the artifact that the evaluator scores with: JSON lines with `prompt`, `gold_answer` and tests.
The rule: a field is near a row when eight-grams that the row shares cover more than half
of the field's words (Tülu 3 uses the same); per field, because a leaked solution hides behind its own long prompt.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from forge_common.errors import Invalid

GRAM = 8
COVERAGE = 0.5
_WORD = re.compile(r"\w+")
_FIELDS = ("prompt", "gold_answer", "reference", "solution")


class BenchmarkUnreadable(Invalid):
    """The benchmark artifact is not JSON lines with prompts."""


def normalise(text: str) -> str:
    """NFKC, lower case, white space collapsed: what differs only in these is the same text."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def digest(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(normalise(text) for text in texts).encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class _Field:
    words: int
    # Where in the field each of its eight-grams starts.
    starts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


class Benchmark:
    """The texts that must not be trained on."""

    def __init__(self, items: Iterable[dict[str, JsonValue]]) -> None:
        self._prompts: set[bytes] = set()
        self._exact: set[bytes] = set()
        self._fields: list[_Field] = []
        self._grams: dict[int, list[int]] = defaultdict(list)
        for item in items:
            self._add(item)

    @classmethod
    def parse(cls, data: bytes) -> Benchmark:
        """Raises BenchmarkUnreadable with the line's number."""
        return cls(_lines(data))

    def has_prompt(self, prompt: str) -> bool:
        return digest(prompt) in self._prompts

    def is_near(self, *texts: str) -> bool:
        """Whether one of `texts` is a field of the benchmark, or all of them together cover most of one."""
        if any(digest(text) in self._exact for text in texts):
            return True
        shared: dict[int, set[int]] = defaultdict(set)
        for gram in {gram for text in texts for gram in _grams(_words(text))}:
            for number in self._grams.get(gram, ()):
                for start in self._fields[number].starts[gram]:
                    shared[number].update(range(start, start + GRAM))
        return any(len(covered) > COVERAGE * self._fields[number].words for number, covered in shared.items())

    def _add(self, item: dict[str, JsonValue]) -> None:
        prompt = item["prompt"]
        assert isinstance(prompt, str)
        self._prompts.add(digest(prompt))
        for text in _texts(item):
            # Answers of a word or two ("4", "True") are everywhere; only their prompts identify them.
            words = _words(text)
            if text == prompt or len(words) >= GRAM:
                self._exact.add(digest(text))
            self._index(words)

    def _index(self, words: list[str]) -> None:
        number = len(self._fields)
        entry = _Field(len(words))
        for start, gram in enumerate(_grams(words)):
            entry.starts[gram].append(start)
        for gram in entry.starts:
            self._grams[gram].append(number)
        self._fields.append(entry)


def _lines(data: bytes) -> Iterator[dict[str, JsonValue]]:
    # Not splitlines: it cuts at separators that JSON allows inside strings.
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise BenchmarkUnreadable(f"benchmark line {number} is not JSON: {error}") from error
        if not isinstance(item, dict) or not isinstance(item.get("prompt"), str):
            raise BenchmarkUnreadable(
                f"benchmark line {number} has no prompt", fix="every task needs a `prompt` of text"
            )
        yield item


def _texts(item: dict[str, JsonValue]) -> Iterator[str]:
    for name in _FIELDS:
        value = item.get(name)
        if isinstance(value, str):
            yield value
    yield from _tests(item.get("test_cases"))


def _tests(value: JsonValue) -> Iterator[str]:
    """The code of tests, whatever they are wrapped in."""
    if isinstance(value, dict):
        code = value.get("code") or value.get("test")
        if isinstance(code, str):
            yield code
        yield from _tests(value.get("tests"))
    elif isinstance(value, list):
        for test in value:
            yield from _tests(test)


def _words(text: str) -> list[str]:
    return _WORD.findall(normalise(text))


def _grams(words: list[str]) -> Iterator[int]:
    return (hash(tuple(words[i : i + GRAM])) for i in range(len(words) - GRAM + 1))
