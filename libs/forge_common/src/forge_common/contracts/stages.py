"""Stages of a run: what a worker is asked to do, what it reports while it works, and what it delivers.

A doorbell carries only a stage id. `POST /v1/stages/{id}/claim` answers with a `StageClaim`, whose `request` is one of
the requests below; heartbeats and the result carry the claim's fencing token and are refused once it is stale.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from forge_common.contracts.base import ArtifactRef, Contract, Payload, RunId, Sha256, Slug, StageId
from forge_common.contracts.domain import DomainDocument, Quant, Scoring
from forge_common.contracts.exchange import Message
from forge_common.contracts.scorecard import Scorecard


class StageKind(StrEnum):
    PREPARE = "prepare"
    TRAIN = "train"
    EXPORT = "export"
    DEPLOY = "deploy"
    EVALUATE = "evaluate"


class BaseModelRef(Contract):
    """The base weights. With `bundle` they come from the artifact store, else from the model hub by name and revision."""

    name: str
    revision: str = "main"
    bundle: Sha256 | None = None


class PrepareRequest(Contract):
    kind: Literal["prepare"] = "prepare"
    domain: DomainDocument
    benchmark: Sha256 | None = None


class PrepareResult(Contract):
    kind: Literal["prepare"] = "prepare"
    dataset: ArtifactRef
    train_rows: int
    valid_rows: int


class TrainRequest(Contract):
    """Hyperparameters are in `domain.training`, the system prompt in `domain.system_prompt`.

    `parent` is the adapter to go on from, `replay` the dataset that some rows are taken from as well.
    """

    kind: Literal["train"] = "train"
    domain: DomainDocument
    dataset: Sha256
    base: BaseModelRef
    parent: Sha256 | None = None
    replay: Sha256 | None = None


class CurvePoint(Contract):
    step: int
    train_loss: float | None = None
    valid_loss: float | None = None


class Preferred(Contract):
    """What DPO did, judged by pairs that were held out: its loss, and in what share the better answer gained on the worse.

    `kept` says whether the result's adapter is DPO's or still SFT's.
    """

    pairs: int
    steps: int
    curve: tuple[CurvePoint, ...]
    loss_before: float
    loss_after: float
    share_gained: float
    kept: bool


class TrainResult(Contract):
    """`adapter` is a bundle in PEFT's layout: `adapter_model.safetensors`, `adapter_config.json`."""

    kind: Literal["train"] = "train"
    adapter: ArtifactRef
    curve: tuple[CurvePoint, ...]
    steps: int
    best_step: int
    train_loss: float
    valid_loss: float | None
    tokens: int
    """Tokens that went through the model, padding excluded."""
    seconds: float
    peak_memory_bytes: int
    device: str
    versions: dict[str, str]
    # Python, platform, driver and the like: what made the figures besides the versions.
    environment: dict[str, str] = Field(default_factory=dict)
    # Of the conversations: those that became several rows, and turns that were left out because they are too long.
    split: int = 0
    too_long: int = 0
    # What rows were held to in the end: less than asked for where memory ran out.
    max_seq_length: int | None = None
    # Of the preference pairs: those that are learned without their oldest turns, and those that were left out.
    pairs_split: int = 0
    pairs_too_long: int = 0
    preferred: Preferred | None = None


class ParityProbe(Contract):
    """What the trained weights answer greedily, so that whoever serves them can be checked without torch."""

    messages: tuple[Message, ...]
    text: str
    tokens: tuple[int, ...]
    first_logprob: float | None = None


class ExportRequest(Contract):
    """`adapter=None` exports only the base. `base_gguf` given: the base is not written again."""

    kind: Literal["export"] = "export"
    domain: DomainDocument
    base: BaseModelRef
    base_gguf: ArtifactRef | None = None
    adapter: Sha256 | None = None
    dataset: Sha256 | None = None


class ExportResult(Contract):
    """In adapter mode `adapter_gguf` is set, in fused mode `fused_gguf`; both None for a base-only export."""

    kind: Literal["export"] = "export"
    base_gguf: ArtifactRef
    adapter_gguf: ArtifactRef | None = None
    fused_gguf: ArtifactRef | None = None
    base_probes: tuple[ParityProbe, ...]
    probes: tuple[ParityProbe, ...] = ()
    verified: int
    """Probes whose greedy tokens in llama.cpp equalled those of the trained weights."""
    compared: int
    quant: Quant | None = None
    """What the files are written as; None from exports of before it was said: as the domain asks."""
    notice: str | None = None
    """Why it is another quantisation than the domain asks for."""
    seconds: float
    versions: dict[str, str]


class Deployable(Contract):
    """One version as the engine shall have it."""

    model: str
    gguf: ArtifactRef
    adapter: ArtifactRef | None = None
    system_prompt: str = ""
    parameters: dict[str, float | int | list[str]] = Field(default_factory=dict)
    probes: tuple[ParityProbe, ...] = ()
    digest: str | None = None
    """What the engine listed it as when it was last put there: an engine that still does needs nothing."""


class DeployRequest(Contract):
    kind: Literal["deploy"] = "deploy"
    versions: tuple[Deployable, ...]


class Deployed(Contract):
    """`probes_asked=0` where the engine had it already, or the version has no probes."""

    model: str
    digest: str | None
    probes_equal: int
    probes_asked: int


class DeployResult(Contract):
    kind: Literal["deploy"] = "deploy"
    deployed: tuple[Deployed, ...]


class GuardBenchmark(Contract):
    """Another domain's benchmark, and how that domain scores it. At most `tasks` of its tasks, one answer each."""

    domain: Slug
    benchmark: Sha256
    scoring: Scoring
    temperature: float
    max_tokens: int
    tasks: int = Field(ge=1)


class EvaluateRequest(Contract):
    """`incumbent=None` scores the candidate alone; the verdict is then `insufficient_data`.

    Each model must first give its `probes`' answers in the engine, at least `parity_share` of them: what does not
    answer as the trained weights do is not judged at all.
    """

    kind: Literal["evaluate"] = "evaluate"
    domain: DomainDocument
    benchmark: Sha256
    candidate: str
    incumbent: str | None = None
    seed: int = 0
    # False: the incumbent is a version that somebody named, not what is live.
    is_against_live: bool = True
    # Candidates that were judged on this benchmark version before; the gate's alpha shrinks with them.
    judged_before: int = Field(default=0, ge=0)
    guards: tuple[GuardBenchmark, ...] = ()
    candidate_probes: tuple[ParityProbe, ...] = ()
    incumbent_probes: tuple[ParityProbe, ...] = ()
    parity_share: float = Field(default=0.5, ge=0, le=1)


class EvaluateResult(Contract):
    kind: Literal["evaluate"] = "evaluate"
    scorecard: Scorecard
    report: ArtifactRef
    """JSON lines: a header that names the inputs, one line a sample (prompt, raw answer, extracted code, outcome), and
    the scorecard last.
    """
    page: ArtifactRef | None = None
    """The same for people: one self-contained HTML page, flipped tasks first."""
    junit: ArtifactRef | None = None
    """The same for a build server: JUnit XML, one test case a task."""


StageRequest = Annotated[
    PrepareRequest | TrainRequest | ExportRequest | DeployRequest | EvaluateRequest,
    Field(discriminator="kind"),
]
StageResult = Annotated[
    PrepareResult | TrainResult | ExportResult | DeployResult | EvaluateResult, Field(discriminator="kind")
]


class ClaimRequest(Contract):
    """`claim_id` is made by the worker: a repeated claim with the same one gets the same answer."""

    worker: str
    claim_id: str


class StageClaim(Payload):
    stage_id: StageId
    run_id: RunId
    token: int
    lease_s: float
    attempt: int
    request: StageRequest


class Progress(Contract):
    """`step` of `of`; `metrics` are plain numbers such as loss or tokens_per_s."""

    message: str = ""
    step: int | None = None
    of: int | None = None
    eta_s: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class Heartbeat(Contract):
    token: int
    progress: Progress | None = None


class HeartbeatReply(Contract):
    lease_s: float
    cancel: bool = False


class StageFailure(Contract):
    """Why a stage could not be done; `retryable` failures get another attempt."""

    code: str
    message: str
    fix: str | None = None
    retryable: bool = False


class StageDelivery(Contract):
    """Exactly one of `result` and `failure` is set."""

    token: int
    result: StageResult | None = None
    failure: StageFailure | None = None
