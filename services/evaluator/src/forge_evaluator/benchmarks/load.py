"""Reads a benchmark file whole and makes its manifest. Refuses broken lines, doubled ids and empty files by line number."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_common.contracts.base import Sha256
from forge_common.errors import Invalid, NotFound
from forge_evaluator.benchmarks.task import Task

_MAX_BYTES = 256 * 1024 * 1024


class BenchmarkUnusable(Invalid):
    """The file cannot be judged as written."""


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    tasks: int
    scored: int
    groups: dict[str, int]
    categories: dict[str, int]
    kinds: dict[str, int]


class Benchmark(BaseModel):
    """`sha256` is of the file's bytes, the name under which the registry stores it."""

    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    tasks: tuple[Task, ...]

    @property
    def manifest(self) -> Manifest:
        return Manifest(
            sha256=self.sha256,
            tasks=len(self.tasks),
            scored=sum(task.check is not None for task in self.tasks),
            groups=dict(Counter(task.group for task in self.tasks)),
            categories=dict(Counter(task.category for task in self.tasks)),
            kinds=dict(Counter(task.check.kind if task.check else "unscored" for task in self.tasks)),
        )


def shipped(name: str) -> bytes:
    """The bytes of a benchmark that comes with the evaluator, by domain id. Raises NotFound."""
    file = resources.files("forge_evaluator.benchmarks") / f"{name}.jsonl"
    if not file.is_file():
        raise NotFound(
            f"no benchmark is shipped for the domain {name!r}", fix="give a file: `--benchmark FILE`"
        )
    return file.read_bytes()


def load(path: Path) -> Benchmark:
    """Raises BenchmarkUnusable, or NotFound when there is no such file."""
    if not path.is_file():
        raise NotFound(f"no benchmark file at {path}", fix="check the path")
    if path.stat().st_size > _MAX_BYTES:
        raise BenchmarkUnusable(f"{path} is larger than {_MAX_BYTES >> 20} MiB", fix="split it into several")
    return read(path.read_bytes())


def read(data: bytes) -> Benchmark:
    try:
        lines = data.decode("utf-8").split("\n")  # splitlines would cut at separators inside strings
    except UnicodeDecodeError as error:
        raise BenchmarkUnusable(f"the benchmark is not UTF-8: {error}", fix="save it as UTF-8") from error
    tasks = [_task(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    doubled = [name for name, count in Counter(task.id for task in tasks).items() if count > 1]
    if doubled:
        raise BenchmarkUnusable(f"ids occur twice: {', '.join(doubled[:5])}", fix="give each task its own id")
    if not tasks:
        raise BenchmarkUnusable("the benchmark has no tasks", fix="one JSON object a line")
    return Benchmark(sha256=hashlib.sha256(data).hexdigest(), tasks=tuple(tasks))


def _task(number: int, line: str) -> Task:
    try:
        return Task.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BenchmarkUnusable(
            f"line {number}: {place}: {first['msg']}", fix="see the README on benchmarks"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkUnusable(f"line {number} is no JSON: {error}", fix="one JSON object a line") from error
