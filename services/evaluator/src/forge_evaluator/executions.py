"""The cache of executions: code that ran once in this sandbox, with these arguments, is not run again. Judges nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from forge_evaluator import sandbox
from forge_evaluator.samples import write_whole
from forge_evaluator.sandbox import (
    End,
    Execution,
    HarnessExecution,
    HarnessJob,
    Job,
    Limits,
    ShellExecution,
    ShellJob,
    SqlJob,
)
from forge_evaluator.scorers.code import Runs

# What each kind of job is answered with.
_FOUND: dict[type, TypeAdapter[Any]] = {
    Job: TypeAdapter(Execution),
    SqlJob: TypeAdapter(Execution),
    ShellJob: TypeAdapter(ShellExecution),
    HarnessJob: TypeAdapter(HarnessExecution),
}


class Executions:
    """Stands before a sandbox. The key is the code, the calls, and `version`: another sandbox may find otherwise.

    Only what ended by itself is kept: a loaded machine may be to blame for a timeout or a death, and a sandbox that
    failed says nothing at all.
    """

    def __init__(self, inner: Runs, folder: Path, version: str) -> None:
        self._inner = inner
        self._folder = folder
        self._version = version

    def run(self, job: Any) -> Any:
        """Raises SandboxLost."""
        path, found = self._path(job), _FOUND[type(job)]
        with contextlib.suppress(OSError, ValueError, RecursionError):
            return found.validate_python(json.loads(path.read_bytes()))
        execution = self._inner.run(job)
        if execution.end is End.FINISHED:
            write_whole(path, json.dumps(asdict(execution)).encode("ascii"))
        return execution

    def _path(self, job: Any) -> Path:
        content = json.dumps([type(job).__name__, self._version, asdict(job)], sort_keys=True)
        name = hashlib.sha256(content.encode("ascii")).hexdigest()
        return self._folder / name[:2] / f"{name}.json"


def sandbox_version(description: str, limits: Limits) -> str:
    """Walls, limits and the sandbox's own source: a change that nobody numbered is a change nevertheless."""
    digest = hashlib.sha256(json.dumps([description, asdict(limits)]).encode())
    for name, data in sorted(_sources(resources.files(sandbox))):
        digest.update(f"{name}:{len(data)}:".encode() + data)
    return digest.hexdigest()


def _sources(folder: Traversable) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += [(f"{entry.name}/{name}", data) for name, data in _sources(entry)]
        elif entry.is_file():
            found.append((entry.name, entry.read_bytes()))
    return found
