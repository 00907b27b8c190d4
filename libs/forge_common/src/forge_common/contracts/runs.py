"""Runs, versions and promotions as the registry shows them, and the run's state machine."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue, model_validator

from forge_common.contracts.base import ArtifactRef, Contract, Moment, RunId, Sha256, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.scorecard import Scorecard, Verdict
from forge_common.contracts.stages import BaseModelRef, StageKind


class RunKind(StrEnum):
    """TRAIN is the whole loop; BASE deploys a domain's bare base as v0; EVAL only judges a version."""

    TRAIN = "train"
    BASE = "base"
    EVAL = "eval"


class RunState(StrEnum):
    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    EXPORTING = "exporting"
    DEPLOYING = "deploying"
    EVALUATING = "evaluating"
    DECIDING = "deciding"
    PROMOTED = "promoted"
    KEPT = "kept"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({RunState.PROMOTED, RunState.KEPT, RunState.FAILED, RunState.CANCELLED})
_STOPS = frozenset({RunState.FAILED, RunState.CANCELLED})

# The only transitions there are. A run skips the stages that its kind does not have.
NEXT: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: _STOPS | {RunState.PREPARING, RunState.TRAINING, RunState.EXPORTING, RunState.DEPLOYING},
    RunState.PREPARING: _STOPS | {RunState.TRAINING},
    RunState.TRAINING: _STOPS | {RunState.EXPORTING},
    RunState.EXPORTING: _STOPS | {RunState.DEPLOYING},
    RunState.DEPLOYING: _STOPS | {RunState.EVALUATING, RunState.DECIDING},
    RunState.EVALUATING: _STOPS | {RunState.DECIDING},
    RunState.DECIDING: _STOPS | {RunState.PROMOTED, RunState.KEPT},
    RunState.PROMOTED: frozenset(),
    RunState.KEPT: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

# Stages of each kind of run, in order, with the state the run is in while the stage is worked on.
STAGES: dict[RunKind, tuple[tuple[StageKind, RunState], ...]] = {
    RunKind.TRAIN: (
        (StageKind.PREPARE, RunState.PREPARING),
        (StageKind.TRAIN, RunState.TRAINING),
        (StageKind.EXPORT, RunState.EXPORTING),
        (StageKind.DEPLOY, RunState.DEPLOYING),
        (StageKind.EVALUATE, RunState.EVALUATING),
    ),
    RunKind.BASE: ((StageKind.EXPORT, RunState.EXPORTING), (StageKind.DEPLOY, RunState.DEPLOYING)),
    RunKind.EVAL: ((StageKind.DEPLOY, RunState.DEPLOYING), (StageKind.EVALUATE, RunState.EVALUATING)),
}


class AttemptState(StrEnum):
    RUNG = "rung"
    CLAIMED = "claimed"
    DONE = "done"
    LOST = "lost"
    FAILED = "failed"


class Hardware(StrEnum):
    AUTO = "auto"
    CUDA = "cuda"
    MLX = "mlx"
    CPU = "cpu"


class RunRequest(Contract):
    """Start a run. `dataset` skips preparing; `version` names what an EVAL run judges (default: the live one).

    An EVAL run judges against `opponent` (default: the live version) and on `benchmark` (default: the domain's own).
    """

    domain: str
    kind: RunKind = RunKind.TRAIN
    hardware: Hardware = Hardware.AUTO
    dataset: Sha256 | None = None
    version: int | None = None
    opponent: int | None = Field(default=None, ge=0)
    benchmark: Sha256 | None = None
    # The second click: a request with the key of an existing run returns that run.
    idempotency_key: str | None = Field(default=None, max_length=128)

    @model_validator(mode="after")
    def _only_evaluations_choose(self) -> RunRequest:
        if self.kind is not RunKind.EVAL and (self.opponent is not None or self.benchmark is not None):
            raise ValueError("only a run of kind `eval` names an opponent or a benchmark")
        return self


class AttemptView(Contract):
    number: int
    state: AttemptState
    worker: str | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    error: str | None = None


class StageView(Contract):
    id: StageId
    kind: StageKind
    queue: str
    attempts: tuple[AttemptView, ...]
    result: dict[str, JsonValue] | None = None


class RunView(Contract):
    id: RunId
    domain: str
    kind: RunKind
    state: RunState
    hardware: Hardware
    created_at: Moment
    ended_at: Moment | None = None
    dataset: Sha256 | None = None
    version: int | None = None
    opponent: int | None = None
    """The version that `version` is judged against, once that is settled."""
    verdict: Verdict | None = None
    error: str | None = None
    fix: str | None = None
    stages: tuple[StageView, ...] = ()
    scorecard: Scorecard | None = None


class RunEvent(Contract):
    """One line of a run's history, as `/v1/runs/{id}/events` streams it. `seq` grows and survives a reconnect."""

    seq: int
    run_id: RunId
    at: Moment
    event: str
    """`run.state`, `stage.progress`, `stage.attempt`."""
    state: RunState
    stage: StageKind | None = None
    message: str = ""
    step: int | None = None
    of: int | None = None
    eta_s: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class VersionView(Contract):
    """A version is an adapter on a base; `v0` is the bare base."""

    domain: str
    number: int
    model: str
    is_live: bool
    is_deployed: bool
    created_at: Moment
    run_id: RunId | None = None
    adapter: ArtifactRef | None = None
    dataset: Sha256 | None = None
    score: float | None = None
    scorecard_id: str | None = None


class Provenance(Contract):
    """What a version was made of: `document` and `base` as they were when its run began."""

    version: VersionView
    document: DomainDocument
    base: BaseModelRef
    base_gguf: ArtifactRef
    adapter_gguf: ArtifactRef | None = None
    fused_gguf: ArtifactRef | None = None


class TrainedVersion(Contract):
    """A version, named because of the dataset that it was trained on."""

    domain: str
    number: int
    model: str
    is_live: bool
    dataset: Sha256


class PromotionView(Contract):
    """One move of a domain's pointer."""

    id: int
    domain: str
    version: int
    previous: int | None
    at: Moment
    reason: str
    by: str
    kind: str
    """`gate`, `manual` or `rollback`."""


class PromoteRequest(Contract):
    version: int
    reason: str = "promoted by hand"


class RollbackRequest(Contract):
    """`to=None` goes back to what was live before the present version."""

    to: int | None = None
    reason: str = "rolled back by hand"


class Pointer(Contract):
    """Where a domain's `:latest` points. `live=None` until v0 is deployed."""

    domain: str
    prefix: str
    live: int | None
    model: str | None
    system_prompt: str = ""
    # As the engine has them: whoever asks by a dialect that ignores them sends them along.
    parameters: dict[str, float | int | list[str]] = Field(default_factory=dict)


class Pointers(Contract):
    """All pointers; `revision` changes whenever one of them or the active domain does, and can be waited for."""

    revision: int
    active: str | None = None
    """The domain that is meant where none is named; None when the registry does not say."""
    pointers: tuple[Pointer, ...]
