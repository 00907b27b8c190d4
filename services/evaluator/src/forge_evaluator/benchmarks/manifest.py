"""What a benchmark file holds and on which terms, in NAME.manifest.json beside it. Counts only; judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forge_common.contracts.base import Sha256
from forge_common.errors import Invalid
from forge_evaluator.benchmarks.checks import (
    Check,
    CodeCheck,
    HarnessCheck,
    ParsedCheck,
    ShellCheck,
    SnippetCheck,
    SqlCheck,
)
from forge_evaluator.benchmarks.task import Task
from forge_evaluator.sandbox.model import Language


class BenchmarkUnusable(Invalid):
    """The file cannot be judged as written."""


class Contents(BaseModel):
    """Counted from the file itself. `sha256` is of its bytes, the name under which the registry stores it."""

    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    tasks: int
    scored: int
    groups: dict[str, int]
    categories: dict[str, int]
    difficulty: dict[str, int]
    languages: dict[str, int]
    kinds: dict[str, int]
    canaries: tuple[str, ...]


class Manifest(Contents):
    """The contents, and what only its authors know. `version` goes up with every change: alpha is spent per version."""

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    description: str = Field(min_length=1)

    @property
    def contents(self) -> Contents:
        return Contents.model_validate(self.model_dump(include=set(Contents.model_fields)))


def count(sha256: str, tasks: Iterable[Task]) -> Contents:
    tasks = tuple(tasks)
    return Contents(
        sha256=sha256,
        tasks=len(tasks),
        scored=sum(task.check is not None for task in tasks),
        groups=_sorted(task.group for task in tasks),
        categories=_sorted(task.category for task in tasks),
        difficulty=_sorted(task.difficulty.value if task.difficulty else "unrated" for task in tasks),
        languages=_sorted(name for task in tasks if (name := language(task.check)) is not None),
        kinds=_sorted(task.check.kind if task.check else "unscored" for task in tasks),
        canaries=tuple(task.id for task in tasks if task.canary),
    )


def _sorted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def language(check: Check | None) -> str | None:
    """The language that an answer to it is written in; None for prose and short answers."""
    match check:
        case CodeCheck() | SnippetCheck():
            return check.language.value
        case ParsedCheck():
            return check.language
        case HarnessCheck():
            return Language.PYTHON.value
        case SqlCheck():
            return "sql"
        case ShellCheck():
            return "bash"
        case _:
            return None


def beside(path: Path) -> Path:
    """Where the manifest of a benchmark file lies."""
    return path.with_name(f"{path.stem}.manifest.json")


def parse(text: str | bytes, name: str) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BenchmarkUnusable(
            f"the manifest of {name} is broken: {place}: {first['msg']}", fix=_rewrite(name)
        ) from error


def verify(manifest: Manifest, contents: Contents, name: str) -> None:
    """Raises BenchmarkUnusable when the manifest describes another file."""
    if manifest.sha256 != contents.sha256:
        raise BenchmarkUnusable(
            f"the manifest of {name} is of another file: sha256 {manifest.sha256[:12]}, found {contents.sha256[:12]}",
            fix=_rewrite(name),
        )
    if manifest.contents != contents:
        raise BenchmarkUnusable(f"the manifest of {name} counts other tasks", fix=_rewrite(name))


def write(
    path: Path,
    contents: Contents,
    *,
    version: str | None = None,
    licence: str | None = None,
    description: str | None = None,
) -> Manifest:
    """Beside the file. What is not given is kept from the manifest that was there."""
    place = beside(path)
    before = parse(place.read_bytes(), path.stem) if place.is_file() else None
    description = description or (before.description if before else None)
    if not description:
        raise Invalid(f"{path.name} has no manifest yet: say what it is", fix="give --description TEXT")
    manifest = Manifest(
        name=path.stem,
        version=version or (before.version if before else "1"),
        licence=licence or (before.licence if before else "Apache-2.0"),
        description=description,
        **contents.model_dump(),
    )
    place.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _rewrite(name: str) -> str:
    return f"write it anew: `python -m forge_evaluator bench manifest {name}.jsonl`"
