"""When memory ran out in a training and what was done about it, in files beside its checkpoints.

One that goes on after a kill cuts its batches and rows as it would have, whatever memory there is by then: else its sums
would be added up in another order, and its curve be another one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from forge_common.contracts.base import Contract
from forge_common.weights.jobs import OF_NO_MATTER, TrainJob

J = TypeVar("J", bound=TrainJob)

HALVINGS, SHORTER = "halvings.json", "shorter.json"


class Halving(Contract):
    """From `moment` on no more than `max_tokens` at once. What a moment is, `Room.at` is told."""

    moment: int
    max_tokens: int


class _Halvings(Contract):
    job: str
    found: tuple[Halving, ...] = ()


class _Shorter(Contract):
    job: str
    max_seq_length: int


class Halvings:
    """Of one stage of a training; `job` is its fingerprint: those of another one are forgotten."""

    def __init__(self, folder: Path, job: str) -> None:
        self._path = folder / HALVINGS
        kept = _Halvings.model_validate_json(self._path.read_bytes()) if self._path.is_file() else None
        self._kept = kept if kept and kept.job == job else _Halvings(job=job)

    def until(self, moment: int) -> int | None:
        """The fewest tokens at once that it had come to by then; None where memory had not run out."""
        return min((each.max_tokens for each in self._kept.found if each.moment <= moment), default=None)

    def add(self, moment: int, max_tokens: int) -> None:
        """On disk when this returns."""
        found = (*self._kept.found, Halving(moment=moment, max_tokens=max_tokens))
        self._kept = self._kept.model_copy(update={"found": found})
        _write(self._path, self._kept)


def with_rows_of(job: J, limit: int) -> J:
    """`job` with rows of at most `limit` tokens, which it is from now on whenever it is taken up again."""
    _write(Path(job.workdir) / SHORTER, _Shorter(job=job.fingerprint(*OF_NO_MATTER), max_seq_length=limit))
    return _shorter(job, limit)


def as_it_was(job: J) -> J:
    """`job` with rows as short as it had come to when it was killed."""
    path = Path(job.workdir) / SHORTER
    if not path.is_file():
        return job
    kept = _Shorter.model_validate_json(path.read_bytes())
    if kept.job != job.fingerprint(*OF_NO_MATTER):
        return job
    return as_it_was(_shorter(job, kept.max_seq_length))


def _shorter(job: J, limit: int) -> J:
    rules = job.rules.model_copy(update={"max_seq_length": limit})
    return job.model_copy(update={"rules": rules, "workdir": str(Path(job.workdir) / f"rows-{limit}")})


def _write(path: Path, facts: Contract) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    with aside.open("w", encoding="utf-8") as file:
        file.write(facts.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
