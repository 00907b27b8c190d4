"""Reads a benchmark file whole. Refuses broken lines, doubled ids, empty files and a manifest of another file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_common.contracts.base import Sha256
from forge_common.errors import NotFound
from forge_evaluator.benchmarks import manifest as manifests
from forge_evaluator.benchmarks.manifest import BenchmarkUnusable, Contents, count
from forge_evaluator.benchmarks.task import Task

_MAX_BYTES = 256 * 1024 * 1024


class Benchmark(BaseModel):
    """`sha256` is of the file's bytes, the name under which the registry stores it."""

    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    tasks: tuple[Task, ...]

    @property
    def contents(self) -> Contents:
        return count(self.sha256, self.tasks)


def shipped(name: str) -> bytes:
    """The bytes of a benchmark that comes with the evaluator, by domain id, as its manifest names them. Raises NotFound."""
    data = _resource("benchmarks", name)
    if data is None:
        raise NotFound(
            f"no benchmark is shipped for the domain {name!r}", fix="give a file: `--benchmark FILE`"
        )
    if hashlib.sha256(data).hexdigest() != shipped_manifest(name).sha256:
        raise BenchmarkUnusable(
            f"the shipped benchmark {name!r} is not the one that its manifest names",
            fix="install the evaluator again",
        )
    return data


def shipped_manifest(name: str) -> manifests.Manifest:
    text = _resource("benchmarks", name, ".manifest.json")
    if text is None:
        raise BenchmarkUnusable(
            f"the benchmark {name!r} has no manifest",
            fix=f"`python -m forge_evaluator bench manifest {name}.jsonl`",
        )
    return manifests.parse(text, name)


def shipped_names() -> list[str]:
    return _names("benchmarks")


def practice(name: str) -> bytes:
    """The practice tasks of a domain. Raises NotFound."""
    data = _resource("practice", name)
    if data is None:
        raise NotFound(f"no practice tasks are shipped for {name!r}", fix="give a file of your own")
    return data


def practice_names() -> list[str]:
    return _names("practice")


def _resource(folder: str, name: str, ending: str = ".jsonl") -> bytes | None:
    file = resources.files(f"forge_evaluator.{folder}") / f"{name}{ending}"
    return file.read_bytes() if file.is_file() else None


def _names(folder: str) -> list[str]:
    files = resources.files(f"forge_evaluator.{folder}").iterdir()
    return sorted(file.name.removesuffix(".jsonl") for file in files if file.name.endswith(".jsonl"))


def load(path: Path) -> Benchmark:
    """Checked against the manifest beside it, where there is one. Raises BenchmarkUnusable, or NotFound without a file."""
    if not path.is_file():
        raise NotFound(f"no benchmark file at {path}", fix="check the path")
    if path.stat().st_size > _MAX_BYTES:
        raise BenchmarkUnusable(f"{path} is larger than {_MAX_BYTES >> 20} MiB", fix="split it into several")
    benchmark = read(path.read_bytes())
    place = manifests.beside(path)
    if place.is_file():
        manifests.verify(manifests.parse(place.read_bytes(), path.stem), benchmark.contents, path.stem)
    return benchmark


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
