"""What the makers here are made of: characters of an alphabet in the places of a form."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable

from forge_collector.redaction.corpus.makers import ALNUM, DIGITS, HEX, UPPER, URL, Maker, some

ALPHABETS = {
    "alnum": ALNUM,
    "url": URL,
    "hex": HEX,
    "HEX": HEX.upper(),
    "d": DIGITS,
    "A": UPPER,
    "a": string.ascii_lowercase,
    "lower": string.ascii_lowercase + DIGITS,
    "UPPER": UPPER + DIGITS,
    "b32": UPPER + "234567",
    "b64": ALNUM + "+/",
    "bech": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}
_FIELD = re.compile(r"\{(\w+):(\d+)\}")


def form(text: str) -> Maker:
    """`text` with each `{alphabet:n}` replaced by n characters of it."""
    return lambda rng: _FIELD.sub(lambda found: some(rng, int(found[2]), ALPHABETS[found[1]]), text)


def one_of(*makers: Maker) -> Maker:
    return lambda rng: rng.choice(makers)(rng)


def one_form(*forms: str) -> Maker:
    return one_of(*(form(text) for text in forms))


def groups(count: int, size: int, alphabet: str, sep: str = "-") -> Maker:
    return lambda rng: sep.join(some(rng, size, alphabet) for _ in range(count))


def spaced(maker: Maker, size: int = 4, sep: str = " ") -> Maker:
    def make(rng: random.Random) -> str:
        text = maker(rng)
        return sep.join(text[i : i + size] for i in range(0, len(text), size))

    return make


def checked(draw: Maker, is_valid: Callable[[str], bool]) -> Maker:
    def make(rng: random.Random) -> str:
        while not is_valid(text := draw(rng)):
            pass
        return text

    return make
