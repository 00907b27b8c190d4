"""Public benchmarks' files, turned into ours by named adapters: `humaneval`, `mbpp`, `evalplus`, `gsm8k`, `choice`, `qa`."""

from __future__ import annotations

from collections.abc import Callable

from forge_common.errors import NotFound
from forge_evaluator.benchmarks import Task
from forge_evaluator.imports import choice, evalplus, gsm8k, humaneval, mbpp, qa
from forge_evaluator.imports.records import Fields

Adapter = Callable[[Fields, int], Task]

ADAPTERS: dict[str, Adapter] = {
    "humaneval": humaneval.task,
    "mbpp": mbpp.task,
    "evalplus": evalplus.task,
    "gsm8k": gsm8k.task,
    "choice": choice.task,
    "qa": qa.task,
}


class AdapterUnknown(NotFound):
    """No adapter has that name."""


def adapter(name: str) -> Adapter:
    if name not in ADAPTERS:
        raise AdapterUnknown(
            f"nothing reads files of the kind {name!r}", fix=f"one of: {', '.join(ADAPTERS)}"
        )
    return ADAPTERS[name]
