"""What every round of practice came to, kept over time: one line a round, only ever appended to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_common.contracts.base import Moment, Sha256
from forge_common.contracts.scorecard import Figure


class Round(BaseModel):
    """`pass_rates[i]` is the share, of 100, solved within i + 1 attempts. `exchanges` and `pairs` are what was sent."""

    model_config = ConfigDict(frozen=True)

    at: Moment
    domain: str
    model: str
    digest: str | None
    practice: Sha256
    tasks: int
    attempts: int
    seed: int
    pass_rates: tuple[Figure, ...]
    solved: int
    repaired: tuple[str, ...]
    """Tasks that failed first and passed later."""
    unsolved: tuple[str, ...]
    unjudged: int
    exchanges: int
    pairs: int
    new: int
    """Exchanges that the collector did not have yet."""
    sandbox: str
    traces: str


class History:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, one: Round) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(one.model_dump_json() + "\n")

    def rounds(self, domain: str | None = None) -> Iterator[Round]:
        """Oldest first; a line that a kill cut short is passed over."""
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                found = Round.model_validate_json(line)
            except ValidationError:
                continue
            if domain in (None, found.domain):
                yield found
