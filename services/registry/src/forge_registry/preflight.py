"""Before a version goes live it is asked a known prompt in the engine: its deployment may be long ago, its model deleted.

By hand, what the engine has lost is put back first; the gate's promotion, right after an evaluation, is not worth it.
"""

from __future__ import annotations

from collections.abc import Callable

from forge_common.contracts.stages import Deployable, Deployed
from forge_common.engine import Engine, EngineRefused
from forge_common.errors import DependencyDown, ForgeError
from forge_common.parity import agrees, longest, says_something
from forge_registry.deploy import is_in
from forge_registry.errors import PreflightRefused
from forge_registry.models import Version
from forge_registry.pipeline import deployable

Preflight = Callable[[Version], None]

# A deployment tolerates probes that a near-tie tipped over, so one of several must agree.
ASKED = 4
ENGINE_FAULT = 500


def check(engine: Engine, version: Version) -> None:
    """Raises PreflightRefused with the reason, EngineUnavailable when the engine is away."""
    try:
        convinced = _convinced(engine, version)
    except EngineRefused as error:
        refusal = _refused(version, f"does not answer in the engine: {error.message}")
        # A runner that crashed or is being restarted may answer next time; a model that is not there will not.
        refusal.retryable = error.status >= ENGINE_FAULT
        raise refusal from error
    if not convinced:
        raise _refused(version, "answers in the engine, but not what the trained weights answer")


def restore(engine: Engine, version: Version, put: Callable[[Deployable], Deployed]) -> Deployed | None:
    """Deploy the version from its artifacts unless the engine has it. Raises PreflightRefused, EngineUnavailable."""
    wanted = deployable(version)
    try:
        return None if is_in(engine, wanted) else put(wanted)
    except DependencyDown:
        raise
    except ForgeError as error:
        why = f"is not in the engine, and cannot be deployed again: {error.message}"
        raise _refused(version, why, fix=error.fix) from error


def _convinced(engine: Engine, version: Version) -> bool:
    if not version.probes:
        return says_something(engine, version.model)
    cut_at = longest(version.probes)
    return any(agrees(engine, version.model, probe, cut_at=cut_at) for probe in version.probes[:ASKED])


def _refused(version: Version, why: str, *, fix: str | None = None) -> PreflightRefused:
    return PreflightRefused(f"{version.model} {why}", fix=fix)
