"""Which tasks a round practises. Refuses tasks that would give a benchmark away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from forge_common.errors import Conflict, NotFound
from forge_evaluator.benchmarks import Benchmark, Task, load, practice, read
from forge_evaluator.benchmarks.load import shipped_names
from forge_evaluator.benchmarks.overlap import Overlap, overlaps

_NAMED = 3


class PracticeOverlaps(Conflict):
    """A practice task is a benchmark's, or nearly: what was learnt from it would be taken for skill."""

    def __init__(self, found: Sequence[Overlap], benchmark: str) -> None:
        named = ", ".join(
            f"{o.practice} is {o.likeness:.0%} like {o.task} ({o.field})" for o in found[:_NAMED]
        )
        super().__init__(
            f"{len({o.practice for o in found})} practice tasks overlap with the benchmark {benchmark}: {named}",
            fix="remove or rewrite those tasks; nothing was practised",
        )


class TaskUnknown(NotFound):
    """No practice task has that id."""


def practice_of(domain: str, file: Path | None) -> Benchmark:
    """The domain's shipped tasks, or those of `file`. Raises NotFound."""
    if file is not None:
        return load(file)
    try:
        return read(practice(domain))
    except NotFound as error:
        raise NotFound(error.message, fix="give tasks of your own: `forge iterate --file FILE`") from error


def refuse_overlaps(tasks: Sequence[Task], files: Iterable[Path]) -> None:
    """Against every shipped benchmark and `files`. Raises PracticeOverlaps."""
    # Whatever their manifests say: what is excluded need not be in order.
    folder = resources.files("forge_evaluator.benchmarks")
    known = [(name, read((folder / f"{name}.jsonl").read_bytes())) for name in shipped_names()]
    for name, benchmark in [*known, *((path.name, load(path)) for path in files)]:
        if found := overlaps(tasks, benchmark.tasks):
            raise PracticeOverlaps(found, name)


def choose(tasks: Sequence[Task], *, named: Sequence[str], most: int | None, seed: int) -> list[Task]:
    """Those that are named, else `most` of those with a check, drawn by `seed`; in the file's order. Raises TaskUnknown."""
    if named:
        known = {task.id: task for task in tasks}
        missing = [name for name in named if name not in known]
        if missing:
            raise TaskUnknown(
                f"no practice task is called {', '.join(missing)}", fix=f"the first is {tasks[0].id}"
            )
        return [known[name] for name in dict.fromkeys(named)]
    usable = [task for task in tasks if task.check is not None]
    drawn = {task.id for task in sorted(usable, key=lambda task: _draw(seed, task.id))[:most]}
    return [task for task in usable if task.id in drawn]


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
