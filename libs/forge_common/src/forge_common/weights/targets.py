"""Which linear maps of a block get an adapter. What the base does not have is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from forge_common.contracts.domain import TrainingRules
from forge_common.errors import Invalid
from forge_common.weights.checkpoint import Checkpoint

_MATRIX = 2


class TargetsUnknown(Invalid):
    """`training.targets` names a map that the base model does not have."""


def targets_of(base: Path, rules: TrainingRules) -> tuple[str, ...]:
    """Names as in `q_proj`, sorted; all linear maps of a block where the rules name none. Raises TargetsUnknown."""
    there = {
        name.split(".")[-2]
        for name, stored in Checkpoint(base).stored.items()
        if ".layers." in name and name.endswith(".weight") and len(stored.shape) == _MATRIX
    }
    strangers = sorted(set(rules.targets) - there)
    if strangers:
        raise TargetsUnknown(
            f"training.targets names {', '.join(strangers)}, which the base model does not have",
            fix=f"choose among {', '.join(sorted(there))}; none named means all of them",
        )
    return tuple(sorted(set(rules.targets) or there))
