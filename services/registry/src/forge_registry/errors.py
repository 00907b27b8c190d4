"""What the registry refuses, one class per reason; each message names the thing, each fix says what to do now."""

from __future__ import annotations

from forge_common.errors import CallerError, Conflict, ForgeError, Invalid, NotFound


class DomainUnknown(NotFound):
    def __init__(self, domain: str) -> None:
        super().__init__(f"there is no domain {domain!r}", fix="`forge domain` lists them")


class BenchmarkMissing(NotFound):
    """The domain has no benchmark."""


class RunUnknown(NotFound):
    def __init__(self, run: str) -> None:
        super().__init__(f"there is no run {run!r}", fix="`forge runs` lists them")


class StageUnknown(NotFound):
    def __init__(self, stage: str) -> None:
        super().__init__(f"there is no stage {stage!r}")


class VersionUnknown(NotFound):
    def __init__(self, domain: str, number: int) -> None:
        super().__init__(f"domain {domain!r} has no v{number}", fix="`forge versions` lists them")


class ScorecardUnknown(NotFound):
    def __init__(self, scorecard: str) -> None:
        super().__init__(f"there is no scorecard {scorecard!r}")


class KeyUnknown(NotFound):
    def __init__(self, key: str) -> None:
        super().__init__(f"there is no key {key!r}", fix="`forge keys` lists them")


class NoPrivateCa(NotFound):
    """The certificates here are signed by somebody whom everybody trusts, or there are none."""


class RunAlreadyActive(Conflict):
    def __init__(self, domain: str, run: str) -> None:
        super().__init__(
            f"domain {domain!r} already has an active run: {run}",
            fix=f"wait for it, or `forge runs cancel {run}`",
        )


class DatasetInUse(Conflict):
    """A run that is going needs the dataset."""


class DatasetUnreadable(Invalid):
    """The hash names something else."""


class RunFinished(Conflict):
    """The run has ended; nothing about it changes any more."""


class RunNotFinished(Conflict):
    """The run is still going."""


class NoTrainerAlive(Conflict):
    """No live worker consumes any of the training queues."""


class NothingToJudge(Conflict):
    """There is no version, or no benchmark, to evaluate with."""


class StageTaken(Conflict):
    def __init__(self, stage: str, worker: str | None) -> None:
        super().__init__(f"stage {stage} is being worked on by {worker}")


class StageFinished(Conflict):
    def __init__(self, stage: str) -> None:
        super().__init__(f"stage {stage} has ended")


class StaleToken(Conflict):
    def __init__(self, stage: str, token: int) -> None:
        super().__init__(
            f"token {token} of stage {stage} is stale: the stage was given to somebody else",
            fix="drop the work; the result of the newer claim counts",
        )


class WrongResult(Invalid):
    """The delivery does not answer what the claim asked for."""


class ArtifactNotUploaded(Conflict):
    """A result names content that the store does not have."""


class VersionNotDeployed(Conflict):
    """The engine does not have the version, so it cannot go live."""


class PreflightRefused(Conflict):
    """The version did not answer the known prompt in the engine as it should."""


class NothingBelow(Conflict):
    """There is no earlier promotion to go back to."""


class DomainMismatch(Invalid):
    """The document is another domain's than the path says."""


class ImpossibleTransition(ForgeError):
    """A run was about to make a step that its state machine does not have: a bug."""


class KeyRefused(CallerError):
    """No key, or one that is not known here."""

    status = 401


class KeyTooWeak(CallerError):
    """The key is known but may not do this."""

    status = 403
