"""Whether the engine answers as the trained weights do: greedy text against the probes that the export carries."""

from __future__ import annotations

from collections.abc import Sequence

from forge_common.contracts.stages import ParityProbe
from forge_common.engine import GREEDY, Engine

GREETING = ({"role": "user", "content": "Say hello."},)


def count_equal(engine: Engine, model: str, probes: Sequence[ParityProbe]) -> int:
    """How many of the probes the model answers with the same text."""
    return sum(agrees(engine, model, probe, cut_at=longest(probes)) for probe in probes)


def longest(probes: Sequence[ParityProbe]) -> int:
    return max((len(probe.tokens) for probe in probes), default=0)


def agrees(engine: Engine, model: str, probe: ParityProbe, *, cut_at: int) -> bool:
    """Same greedy text. `cut_at` is the length in tokens at which the reference answers were cut off.

    A shorter answer had ended by itself, so the engine gets room for one token more and must not use it: a model that
    has lost its stop token shows here.
    """
    room = len(probe.tokens) + (1 if len(probe.tokens) < cut_at else 0)
    answer = engine.chat(model, probe.messages, options={**GREEDY, "num_predict": max(room, 1)})
    return _visible(answer.text) == _visible(probe.text)


def says_something(engine: Engine, model: str) -> bool:
    """For a version that has no probes."""
    return bool(engine.chat(model, GREETING, options={**GREEDY, "num_predict": 16}).text.strip())


def _visible(text: str) -> str:
    # A cut may split a character: the reference then ends in a replacement mark, the engine before it.
    return text.rstrip("\ufffd").strip()
