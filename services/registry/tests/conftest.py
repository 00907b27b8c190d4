"""Factories with plain defaults: documents, references, results. No I/O."""

from __future__ import annotations

import hashlib

import pytest

from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.exchange import Message
from forge_common.contracts.scorecard import Figure, GroupScore, Scorecard, Verdict
from forge_common.contracts.stages import (
    Deployed,
    DeployResult,
    ExportResult,
    ParityProbe,
    PrepareResult,
    TrainResult,
)

BENCHMARK = b"the benchmark's tasks"


class Make:
    BENCHMARK = BENCHMARK

    @staticmethod
    def ref(data: bytes, kind: str = "gguf") -> ArtifactRef:
        return ArtifactRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data), kind=kind)

    @staticmethod
    def document(domain: str = "tiny", **changes) -> DomainDocument:
        fields = {
            "id": domain,
            "name": domain.title(),
            "base_model": "forge/tiny",
            "model_prefix": f"engie-{domain}",
            "system_prompt": "Be brief.",
            "benchmark": Make.ref(BENCHMARK).sha256,
        }
        return DomainDocument.model_validate(fields | changes)

    @staticmethod
    def probe(answer: str, prompt: str = "2 + 2?") -> ParityProbe:
        return ParityProbe(
            messages=(Message(role="user", content=prompt),),
            text=answer,
            tokens=tuple(range(len(answer.split()))),
        )

    @staticmethod
    def scorecard(
        verdict: Verdict, candidate: str = "engie-tiny:v1", incumbent: str | None = "engie-tiny:v0"
    ):
        score = Figure(n=100, mean=84.0, low=75.0, high=90.0, stderr=3.7)
        return Scorecard(
            domain="tiny",
            benchmark=Make.ref(BENCHMARK).sha256,
            tasks=100,
            samples=1,
            seed=0,
            temperature=0.0,
            candidate=candidate,
            incumbent=incumbent,
            sandbox="none",
            overall=GroupScore(group="overall", candidate=score, incumbent=score),
            groups=(),
            outcomes={"passed": 84, "wrong": 16},
            infra_error_share=0.0,
            lower_bound=3.0,
            alpha=0.05,
            detectable=9.0,
            verdict=verdict,
            reasons=("as the test says",),
        )

    @staticmethod
    def prepared(dataset: ArtifactRef) -> PrepareResult:
        return PrepareResult(dataset=dataset, train_rows=300, valid_rows=30)

    @staticmethod
    def trained(adapter: ArtifactRef) -> TrainResult:
        return TrainResult(
            adapter=adapter,
            curve=(),
            steps=10,
            best_step=10,
            train_loss=0.1,
            valid_loss=0.2,
            tokens=1000,
            seconds=1.0,
            peak_memory_bytes=1,
            device="cpu",
            versions={},
        )

    @staticmethod
    def exported(base: ArtifactRef, adapter: ArtifactRef | None, **changes) -> ExportResult:
        fields = {
            "base_gguf": base,
            "adapter_gguf": adapter,
            "base_probes": (Make.probe("base answer"),),
            "probes": (Make.probe("tuned answer"),) if adapter else (),
            "verified": 1,
            "compared": 1,
            "seconds": 1.0,
            "versions": {},
        }
        return ExportResult(**(fields | changes))

    @staticmethod
    def deployed(**digests: str) -> DeployResult:
        return DeployResult(
            deployed=tuple(
                Deployed(model=model, digest=digest, probes_equal=1, probes_asked=1)
                for model, digest in digests.items()
            )
        )


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def document() -> DomainDocument:
    return Make.document()
