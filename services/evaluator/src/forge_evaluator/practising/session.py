"""One round of practice over many tasks, bounded and resumable. Its traces are a file that is only appended to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import JsonValue, ValidationError

from forge_common.contracts.base import utc_now
from forge_evaluator.benchmarks import Task
from forge_evaluator.practising.trace import Trace

Try = Callable[[Task], Awaitable[Trace]]
Teach = Callable[[Trace, Task], int]
Header = dict[str, JsonValue]


class TraceLog:
    """JSON lines: the header, then `trace`, `taught` and at the end `summary`. A torn last line is dropped."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.traces: dict[str, Trace] = {}
        self.taught: dict[str, int] = {}
        entries = list(_entries(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".new")
        with aside.open("w", encoding="utf-8") as file:
            for entry in entries or [{"header": header}]:
                self._take(entry)
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        aside.replace(path)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, trace: Trace) -> None:
        self._write({"trace": trace.model_dump(mode="json")})

    def add_taught(self, task: str, new: int) -> None:
        """Its exchanges are with the collector, of which so many were new."""
        self._write({"taught": task, "new": new})

    def end(self, summary: Header) -> None:
        self._write({"summary": summary})

    def _write(self, entry: Header) -> None:
        self._take(entry)
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()

    def _take(self, entry: Header) -> None:
        if "trace" in entry:
            trace = Trace.model_validate(entry["trace"])
            self.traces[trace.task] = trace
        if "taught" in entry:
            self.taught[str(entry["taught"])] = int(str(entry["new"]))


def open_log(folder: Path, header: Header) -> TraceLog:
    """The newest session that began with the same header and did not end; else a new one."""
    for path in sorted(folder.glob("*.jsonl"), reverse=True):
        entries = list(_entries(path))
        if entries and entries[0].get("header") == header and not any("summary" in e for e in entries):
            return TraceLog(path, header)
    return TraceLog(folder / f"{utc_now():%Y%m%dT%H%M%S.%f}-{header['domain']}.jsonl", header)


def _entries(path: Path) -> Iterator[Header]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            entry = json.loads(line)
            if isinstance(entry, dict):
                if "trace" in entry:
                    Trace.model_validate(entry["trace"])
                yield entry
        except (ValueError, ValidationError):  # what a kill cut short
            continue


@dataclass(frozen=True, slots=True)
class Session:
    """`teach` hands a solved task's lesson on and says how many exchanges were new; None: nothing is sent."""

    tasks: Sequence[Task]
    attempt: Try
    teach: Teach | None
    log: TraceLog
    told: Callable[[int, int, int], None]
    """How many were solved, how many are done, of how many."""

    async def run(self, concurrency: int) -> list[Trace]:
        """All traces, in the order of the tasks. Raises EngineDown, EngineRefused or DependencyDown; what is done stays."""
        self._tell()
        queue = iter(self.tasks)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(min(concurrency, len(self.tasks)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [self.log.traces[task.id] for task in self.tasks]

    async def _work(self, queue: Iterator[Task]) -> None:
        for task in queue:
            trace = self.log.traces.get(task.id)
            if trace is None or not trace.is_judged:
                trace = await self.attempt(task)
                self.log.add(trace)
            if self.teach is not None and trace.solved_at is not None and task.id not in self.log.taught:
                self.log.add_taught(task.id, await asyncio.to_thread(self.teach, trace, task))
            self._tell()

    def _tell(self) -> None:
        done = [self.log.traces[task.id] for task in self.tasks if task.id in self.log.traces]
        solved = sum(trace.solved_at is not None for trace in done)
        self.told(solved, len(done), len(self.tasks))
