"""Before anything is judged: does the engine answer as the trained weights do? If not, nothing is scored."""

from __future__ import annotations

from collections.abc import Iterator

from forge_common.contracts.scorecard import ParityCheck
from forge_common.contracts.stages import EvaluateRequest, ParityProbe, Progress
from forge_common.engine import Engine
from forge_common.errors import DependencyDown, ForgeError
from forge_common.parity import agrees, longest
from forge_common.queue.stage import Beat


class NotAsTrained(ForgeError):
    """The engine serves something else than what was trained: scores would be of that, not of the version."""


def check(request: EvaluateRequest, engine: Engine, beat: Beat) -> tuple[ParityCheck, ...]:
    """Both models, since an incumbent that is served badly would make any candidate look good.

    Raises NotAsTrained, or DependencyDown when the engine is away or broken. Raises Cancelled.
    """
    return tuple(_check(request, engine, beat, model, probes) for model, probes in _asked(request))


def _asked(request: EvaluateRequest) -> Iterator[tuple[str, tuple[ParityProbe, ...]]]:
    if request.candidate_probes:
        yield request.candidate, request.candidate_probes
    if request.incumbent is not None and request.incumbent_probes:
        yield request.incumbent, request.incumbent_probes


def _check(
    request: EvaluateRequest, engine: Engine, beat: Beat, model: str, probes: tuple[ParityProbe, ...]
) -> ParityCheck:
    beat.progress(Progress(message=f"comparing {model} with what was trained"))
    cut_at = longest(probes)
    equal = 0
    for probe in probes:
        beat.check()
        equal += _agrees(engine, model, probe, cut_at)
    if equal < request.parity_share * len(probes):
        raise NotAsTrained(
            f"nothing was judged: in the engine {model} gave the trained weights' answer to {equal} of {len(probes)} "
            f"probes, {request.parity_share:.0%} are needed",
            fix="does the engine still hold this version, and only it, under this name? deploy it again, then retry",
        )
    return ParityCheck(model=model, equal=equal, asked=len(probes))


def _agrees(engine: Engine, model: str, probe: ParityProbe, cut_at: int) -> bool:
    try:
        return agrees(engine, model, probe, cut_at=cut_at)
    except DependencyDown:
        raise
    except ForgeError as error:
        raise NotAsTrained(
            f"nothing was judged: {model} does not answer in the engine: {error.message}",
            fix="`forge status` says what is deployed",
        ) from error
