"""Samples on disk: the append-only log of one evaluation, resumed after a kill, and the cache of generations."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from forge_common.contracts.scorecard import Outcome, Scorecard
from forge_evaluator.engine import Question
from forge_evaluator.scorers import Answered
from forge_evaluator.scorers.score import Parts


class Role(StrEnum):
    CANDIDATE = "candidate"
    INCUMBENT = "incumbent"


class Key(NamedTuple):
    """Which answer a sample is."""

    role: Role
    suite: str
    task: str
    number: int


class Sample(BaseModel):
    """One answer and its score. `points=None` is unscored; `code` is what was extracted and run.

    `suite` is empty for the domain's own benchmark, else the guarding domain that the task belongs to.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    model: str
    suite: str = ""
    task: str
    group: str
    category: str
    is_canary: bool = False
    number: int
    seed: int
    prompt: str
    answer: str
    finish_reason: str | None
    outcome: Outcome | None
    points: float | None
    parts: Parts = Parts()
    code: str | None = None
    evidence: tuple[str, ...] = ()
    explanation: str = ""
    cpu_s: float = 0.0
    seconds: float = 0.0

    @property
    def key(self) -> Key:
        return Key(self.role, self.suite, self.task, self.number)

    @property
    def passed(self) -> bool | None:
        """None where it was not judged, or where its kind of task has points and no pass mark."""
        if self.points is None or self.outcome is None:
            return None
        return self.outcome is Outcome.PASSED

    @property
    def ended(self) -> str:
        """The outcome in a word; `compared` where a task has points and no pass mark."""
        return str(self.outcome or ("unscored" if self.points is None else "compared"))


class SampleLog:
    """JSON lines: a header that names every input, then one line a sample. Another header: the old file makes way."""

    def __init__(self, path: Path, header: dict[str, JsonValue]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.done = {sample.key: sample for sample in _resume(path, header)}
        self._file: IO[str] = _rewritten(path, header, iter(self.done.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, sample: Sample) -> None:
        """Whole lines only reach the file; what the machine had not written when it died is asked again."""
        self._file.write(sample.model_dump_json() + "\n")
        self._file.flush()
        self.done[sample.key] = sample


def conclude(path: Path, card: Scorecard) -> None:
    """The log's last line. An evaluation that is resumed overlooks it: it is no sample."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"scorecard": card.model_dump(mode="json")}) + "\n")


def _resume(path: Path, header: dict[str, JsonValue]) -> Iterator[Sample]:
    if not path.is_file():
        return
    first, *lines = path.read_text(encoding="utf-8").split("\n")
    try:
        if json.loads(first) != {"header": header}:
            return
    except ValueError:
        return
    for line in lines:
        try:
            sample = Sample.model_validate_json(line)
        except ValidationError:  # the line that the kill cut short
            continue
        if sample.outcome is not Outcome.INFRA_ERROR:  # our own failures deserve another try
            yield sample


def _rewritten(path: Path, header: dict[str, JsonValue], samples: Iterator[Sample]) -> IO[str]:
    """The file without torn lines, open for appending."""
    aside = path.with_suffix(".new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"header": header}) + "\n")
        file.writelines(sample.model_dump_json() + "\n" for sample in samples)
    aside.replace(path)
    return path.open("a", encoding="utf-8")


class Generations:
    """Answers by content: the same weights, asked the same with the same seed, are not asked twice.

    Above temperature 0 an answer is reused only within its own run: a live version must not live on one lucky draw.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run

    def get(self, question: Question, digest: str | None) -> Answered | None:
        path = self._path(question, digest)
        if path is None or not path.is_file():
            return None
        try:
            return Answered.model_validate_json(path.read_bytes())
        except ValidationError:
            return None

    def put(self, question: Question, digest: str | None, answered: Answered) -> None:
        path = self._path(question, digest)
        if path is not None:
            write_whole(path, answered.model_dump_json().encode())

    def _path(self, question: Question, digest: str | None) -> Path | None:
        """Unknown weights have no address."""
        if digest is None:
            return None
        run = self._run if question.temperature > 0 else ""
        # The name is not the weights: the same digest under another tag gives the same answers.
        asked = question.model_dump(exclude={"model"}) | {"digest": digest, "run": run}
        name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"


def forget(folder: Path, older_than_s: float, pattern: str = "??/*.json") -> None:
    """Files that nobody has written for so long; kept for ever, they would fill the disk."""
    oldest = time.time() - older_than_s
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another evaluation was quicker
            if path.stat().st_mtime < oldest:
                path.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Whole or not at all, whoever is killed or writes the same at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)
