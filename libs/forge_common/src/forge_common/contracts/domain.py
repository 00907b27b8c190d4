"""The domain document: everything that makes one domain differ from another is data in here, never code.

The seed's keys (`iterations`, `dedup_by_hash`, `has_executable_tests`, …) are accepted unchanged.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from forge_common.contracts.base import Contract, Payload, Sha256, Slug

# From the most exact to the smallest. The K-quants and Q4_0 are llama.cpp's mixes of that name.
Quant = Literal["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]


class DeployMode(StrEnum):
    ADAPTER = "adapter"
    FUSED = "fused"


class RedactionClass(StrEnum):
    """What is taken out of captured text. Each value found belongs to exactly one class."""

    # Keys, tokens, passwords: always, whatever a domain says.
    SECRETS = "secrets"
    # E-mail addresses and phone numbers.
    CONTACT = "contact"
    # Card and account numbers.
    FINANCIAL = "financial"
    # National ids, passports, licences, dates of birth.
    IDENTITY = "identity"
    # Public IP addresses and MAC addresses.
    NETWORK = "network"
    # Names, postal addresses and record numbers, where a label says that they are one.
    PERSON = "person"


class CaptureRules(Contract):
    """What the collector takes out of this domain's exchanges before they are written. Secrets need not be listed."""

    redact: tuple[RedactionClass, ...] = (
        RedactionClass.CONTACT,
        RedactionClass.FINANCIAL,
        RedactionClass.IDENTITY,
        RedactionClass.NETWORK,
    )

    def classes(self) -> frozenset[RedactionClass]:
        return frozenset(self.redact) | {RedactionClass.SECRETS}


class DataRules(Contract):
    """How captured exchanges become training rows."""

    min_prompt_length: int = 1
    min_response_length: int = 1
    max_response_length: int = 24_000
    require_code_blocks: bool = False
    dedup_by_hash: bool = True
    min_examples: int = 50
    valid_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    # Instances of the benchmark's own task families may be trained on; reports repeat that they were.
    allow_same_family: bool = False


class Weight(Contract):
    weight: float = Field(ge=0)


class Scoring(Contract):
    structure: Weight = Weight(weight=25)
    correctness: Weight = Weight(weight=40)
    similarity: Weight = Weight(weight=20)
    completeness: Weight = Weight(weight=15)


# What remains of a gate's alpha for the first, the second, and every later candidate of one benchmark version.
_SPENT = (1.0, 0.5, 0.2)


class GateRules(Contract):
    """When a candidate is better. `alpha` is the one-sided level of the paired bound; gains are points of 100."""

    min_tasks: int = Field(default=100, ge=2)
    samples: int = Field(default=4, ge=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    min_gain: float = 1.0
    max_group_drop: float = 5.0
    # How sure the gate must be of a loss of `max_group_drop` before it counts as harm; over all categories together, so
    # that a benchmark of many small categories does not cry harm by chance.
    harm_evidence: float = Field(default=0.8, ge=0.5, lt=1)
    max_infra_errors: float = Field(default=0.02, ge=0, lt=1)
    # Groups that decide the verdict; the others are only guarded by max_group_drop. Empty: all.
    decide_on: tuple[str, ...] = ()

    def alpha_for(self, judged_before: int) -> float:
        """The level for a candidate when so many others were judged on the same benchmark version: .05, .025, then .01.

        Ten unchanged candidates in a row would else be promoted once, by chance, one time in three.
        """
        return self.alpha * _SPENT[min(judged_before, len(_SPENT) - 1)]


class EvalRules(Contract):
    has_executable_tests: bool = False
    scoring: Scoring = Scoring()
    gate: GateRules = GateRules()
    temperature: float = 0.0
    max_tokens: int = 1024
    # Domains whose benchmarks a candidate must not forget. None: every domain on the same base model.
    guard_domains: tuple[Slug, ...] | None = None
    # At most so many tasks of each of them, one answer a task; 0: none is looked at.
    guard_tasks: int = Field(default=40, ge=0)


class DpoRules(Contract):
    """Direct preference optimisation on top of SFT (Rafailov 2023), where the dataset has preference rows."""

    # How far the policy may move from where SFT left it: larger holds it closer.
    beta: float = Field(default=0.1, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=5e-6, gt=0)
    batch_size: int = Field(default=8, ge=1)
    # Fewer pairs than this are left alone.
    min_pairs: int = Field(default=16, ge=1)


class TrainingRules(Contract):
    """Field meanings are the same on every trainer; `alpha / rank` is the scale of the update (mlx-lm's `scale`)."""

    method: Literal["lora", "qlora", "dora"] = "lora"
    rank: int = Field(default=16, ge=1, le=512)
    alpha: float = Field(default=32.0, gt=0)
    # Which linear maps of a block get an adapter, e.g. `q_proj`; none named means all of them.
    targets: tuple[str, ...] = ()
    epochs: float = Field(default=3.0, gt=0)
    # The seed's fixed step count; when given it wins over `epochs`.
    iterations: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    # When given, a step takes rows of so many tokens, and `batch_size` is the most rows that it takes.
    batch_tokens: int | None = Field(default=None, ge=32)
    learning_rate: float = Field(default=2e-4, gt=0)
    # After the warm-up, down to a twentieth of the rate.
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    # Adapters go on the last `num_layers` transformer blocks; None means all.
    num_layers: int | None = Field(default=None, ge=1)
    max_seq_length: int = Field(default=4096, ge=32)
    warmup_steps: int = Field(default=5, ge=0)
    weight_decay: float = 0.0
    evaluate_every: int = Field(default=20, ge=1)
    # Evaluations without a better validation loss before training stops.
    patience: int = Field(default=5, ge=1)
    seed: int = 1
    # Training ends in order once it has taken so long, with the best checkpoint so far.
    max_seconds: float | None = Field(default=None, gt=0)
    # Of the card, or of the machine's memory where there is none.
    max_memory_gb: float | None = Field(default=None, gt=0)
    # `live` goes on from the live version's adapter instead of from a fresh one.
    start_from: Literal["base", "live"] = "base"
    # Rows of the parent's dataset among those of this one, as a share of the latter: against forgetting.
    replay: float = Field(default=0.0, ge=0, le=1)
    # None: preference rows are not trained on.
    dpo: DpoRules | None = None


class OllamaRules(Contract):
    temperature: float = 0.7
    top_p: float = 0.9
    num_ctx: int = 8192
    # Ollama's own default of 1.1 changes answers even at temperature 0: what it served would not be what was verified.
    repeat_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    def parameters(self) -> dict[str, float | int | list[str]]:
        """As `/api/create` takes them."""
        values: dict[str, float | int | list[str]] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "num_ctx": self.num_ctx,
            "repeat_penalty": self.repeat_penalty,
        }
        if self.stop:
            values["stop"] = list(self.stop)
        return values


class DeployRules(Contract):
    mode: DeployMode = DeployMode.ADAPTER
    # Quantisation of the base GGUF, and of the fused one.
    quant: Quant = "f16"
    # Where nothing on the trainer's machine writes `quant`: say so, or take Q8_0 with a notice on the run.
    without_quantiser: Literal["refuse", "q8_0"] = "refuse"


class DomainDocument(Payload):
    """One domain. `base_model` is a model hub id, or the name of a base registered with the registry."""

    id: Slug
    name: str
    description: str = ""
    base_model: str
    base_revision: str = "main"
    model_prefix: Slug
    # Sent as the deployed model's own system prompt; training rows carry it too, so both must be the same text.
    system_prompt: str = ""
    task_types: tuple[str, ...] = ()
    capture: CaptureRules = CaptureRules()
    data: DataRules = DataRules()
    eval: EvalRules = EvalRules()
    training: TrainingRules = TrainingRules()
    ollama: OllamaRules = OllamaRules()
    deploy: DeployRules = DeployRules()
    # Filled in by the registry when a benchmark is uploaded for the domain.
    benchmark: Sha256 | None = None

    def model_name(self, number: int) -> str:
        """The engine's name of version `number`, e.g. `engie-coder:v3`."""
        return f"{self.model_prefix}:v{number}"

    @model_validator(mode="before")
    @classmethod
    def _drop_comment(cls, data: object) -> object:
        return {k: v for k, v in data.items() if k != "$comment"} if isinstance(data, dict) else data
