"""Reads the corpus: documents whose slots are filled with made-up values, in the wrappings that traffic gives them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from forge_collector.redaction.corpus import issued, makers, makers_fifth
from forge_collector.redaction.corpus.makers import KEYS

_SLOT = re.compile("⟦([^⟧|]+)(?:\\|([^⟧]+))?⟧")
# A document with a slot for "key" is made once for each kind of key.
_ANY_KEY = "key"
# All have taught the rules. How these do on text of a new kind, only what was found at first sight says.
STATUS = {
    "planted": "tuned on",
    "heldout": "tuned on; at first sight 0.962 of secrets, 0.914 of personal data",
    "third": "tuned on; at first sight 0.768 of secrets, 0.668 of personal data",
    "fourth": "tuned on; at first sight 0.865 of secrets, 0.887 of personal data",
    "fifth": "tuned on; at first sight 0.861 of secrets, 0.909 of personal data",
}
SETS = tuple(STATUS)
MAKERS = makers.MAKERS | issued.SECRETS | issued.PERSONAL | makers_fifth.MAKERS
PERSONAL = makers.PERSONAL.keys() | issued.PERSONAL.keys() | makers_fifth.PERSONAL.keys()


@dataclass(frozen=True, slots=True)
class Plant:
    kind: str
    value: str
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Document:
    """`parts` are what must stay, in order; `plants` are what stood between them."""

    name: str
    text: str
    parts: tuple[str, ...]
    plants: tuple[Plant, ...]
    is_strict: bool


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    text: str
    is_strict: bool

    def fill(self, rng: random.Random, key: str | None = None) -> Document:
        pieces = _SLOT.split(self.text)
        parts = pieces[0::3]
        plants = [
            _plant(key or "" if maker == _ANY_KEY else maker, label, rng)
            for maker, label in zip(pieces[1::3], pieces[2::3], strict=True)
        ]
        text = "".join(part + plant.value for part, plant in zip(parts, plants, strict=False)) + parts[-1]
        return Document(self.name, text, tuple(parts), tuple(plants), self.is_strict)

    @property
    def takes_any_key(self) -> bool:
        return any(found[1] == _ANY_KEY for found in _SLOT.finditer(self.text))


def _plant(maker: str, label: str | None, rng: random.Random) -> Plant:
    return Plant(label or maker, MAKERS[maker](rng), maker in PERSONAL)


def templates(which: str) -> list[Template]:
    """The documents of one set, empty of values."""
    return [
        Template(name, text, is_strict=bool(strict))
        for name, strict, text in (_head(part) for path in _texts(which) for part in _parts(path))
    ]


def documents(which: str, *, copies: int, seed: int = 1) -> Iterator[Document]:
    """`copies` of each document of a set, each with other values; the same for the same seed."""
    for template in templates(which):
        rng = random.Random(f"{seed} {template.name}")  # noqa: S311  made-up values, the same each time
        for _ in range(copies):
            for key in KEYS if template.takes_any_key else (None,):
                yield template.fill(rng, key)


def clean(which: str = "clean") -> dict[str, str]:
    """Files in which nothing is to be found, by name."""
    return {name: text for path in _texts(which) for name, _, text in map(_head, _parts(path))}


def wrapped(text: str) -> dict[str, str]:
    """How a document comes: as it is, as a tool's argument, as a diff, as a log line that quotes it."""
    return {
        "plain": text,
        "tool argument": json.dumps({"path": "notes.txt", "content": text}),
        "argument of an argument": json.dumps({"body": json.dumps({"content": text}), "dry_run": False}),
        "diff": "@@ -0,0 +1 @@\n" + "".join(f"+{line}" for line in text.splitlines(keepends=True)),
        "log line": "10:01:12 DEBUG body=" + json.dumps(text)[1:-1],
    }


def _texts(folder: str) -> list[str]:
    found = sorted((files(__package__) / folder).iterdir(), key=lambda path: path.name)
    return [path.read_text(encoding="utf-8") for path in found if path.name.endswith(".txt")]


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"(?m)^=== ", text) if part]


def _head(part: str) -> tuple[str, str, str]:
    head, _, text = part.partition("\n")
    name, _, strict = head.partition(" @")
    return name, strict, text.rstrip("\n")
