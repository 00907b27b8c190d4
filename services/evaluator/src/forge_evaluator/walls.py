"""A sandbox for a set of tasks, or none where no task has code to run. Raises NoSandbox where one is needed and none holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from forge_evaluator.benchmarks import ChoiceCheck, DocumentCheck, ExactCheck, NumberCheck, Task
from forge_evaluator.sandbox import Execution, Pool, probe
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings

_READ_ONLY = (ChoiceCheck, DocumentCheck, ExactCheck, NumberCheck)


@contextlib.contextmanager
def walls_for(tasks: Iterable[Task], settings: Settings) -> Iterator[tuple[Runs, str]]:
    """The sandbox, and its description as reports print it."""
    if all(task.check is None or isinstance(task.check, _READ_ONLY) for task in tasks):
        yield _NoCode(), "none: no task has code to run"
        return
    tier = probe()
    with Pool(tier, workers=settings.sandboxes, limits=settings.limits) as pool:
        yield pool, tier.description


class _NoCode:
    """Stands where no code is ever run."""

    def run(self, job: object) -> Execution:
        raise AssertionError(job)
