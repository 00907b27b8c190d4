"""What an exchange cost, where the upstream does not say: by the prices that a person wrote down. None are shipped or guessed.

`prices.json` in the collector's folder, in USD for a million tokens; the first pattern that fits the model counts:

    {"claude-sonnet-*": {"input": 3, "output": 15, "cached": 0.3}, "gpt-*-mini": {"input": 0.25, "output": 2}}
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from forge_collector.dialects.dialect import Answered
from forge_common.contracts.base import Contract
from forge_common.logging import get_logger

log = get_logger()

# A changed file counts after so long.
REFRESH_S = 5.0
MILLION = 1_000_000
Amount = Annotated[float, Field(ge=0)]


class Price(Contract):
    """`cached`: prompt tokens that the upstream had in its cache; by default they cost what others do."""

    input: Amount
    output: Amount
    cached: Amount | None = None

    def of(self, prompt: int, completion: int, cached: int) -> float:
        cheaper = self.input if self.cached is None else self.cached
        return ((prompt - cached) * self.input + cached * cheaper + completion * self.output) / MILLION


_Prices = TypeAdapter(dict[str, Price])


class Prices:
    """Calling it costs a lookup and never fails: an unreadable file is logged, and what was known holds on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed_at: int | None = None
        self._looked_at = -REFRESH_S
        self._prices: dict[str, Price] = {}
        self._by_model: dict[str, Price | None] = {}

    def __call__(self, model: str | None, usage: Mapping[str, object]) -> float | None:
        """None where no price fits, or the tokens are not known."""
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not (self._known() and model and isinstance(prompt, int) and isinstance(completion, int)):
            return None
        if (price := self._price(model)) is None:
            return None
        cached = usage.get("cached_tokens")
        return price.of(prompt, completion, min(cached, prompt) if isinstance(cached, int) else 0)

    def fill_in(self, answered: Answered, model: str) -> None:
        """Give an answer its cost where the upstream said none; `model` is the one asked for."""
        if answered.cost_usd is None:
            answered.cost_usd = self(answered.model or model, answered.usage)

    def _price(self, model: str) -> Price | None:
        # Replaced whole, never emptied: several threads look.
        by_model = self._by_model
        if model not in by_model:
            if len(by_model) >= 4096:  # names come from callers
                by_model = self._by_model = {}
            fitting = (price for name, price in self._prices.items() if fnmatchcase(model, name))
            by_model[model] = next(fitting, None)
        return by_model[model]

    def _known(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= REFRESH_S:
            self._looked_at = now
            self._look()
        return bool(self._prices)

    def _look(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at == self._changed_at:
                return
            self._changed_at = changed_at
            self._prices = _Prices.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            self._prices, self._changed_at = {}, None
        except (OSError, ValidationError) as error:
            log.warning("prices.unreadable", path=str(self._path), reason=str(error).partition("\n")[0])
        self._by_model = {}
