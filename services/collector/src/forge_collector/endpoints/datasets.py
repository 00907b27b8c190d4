"""Datasets: built now, or looked up."""

from __future__ import annotations

from fastapi import APIRouter

from forge_collector import datasets, repository
from forge_collector.endpoints.dependencies import DRAIN_PATIENCE_S, CollectorDep
from forge_common.contracts.base import ArtifactRef, Contract, Sha256, Slug
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.exchange import Origin
from forge_common.db.request import SessionDep
from forge_common.errors import NotFound

router = APIRouter(tags=["datasets"])


class DatasetUnknown(NotFound):
    """No dataset of that hash was built here."""


class DatasetRequest(Contract):
    domain: Slug
    seed: int = 0
    origins: tuple[Origin, ...] = ()


class DatasetView(Contract):
    dataset: ArtifactRef
    manifest: DatasetManifest


@router.post("/datasets", status_code=201)
def build_dataset(collector: CollectorDep, request: DatasetRequest) -> DatasetView:
    """Build the domain's dataset now."""
    domain = collector.registry.domain(request.domain)
    collector.drainer.wait_until_drained(DRAIN_PATIENCE_S)
    ref, manifest = datasets.build(
        collector.engine,
        collector.artifacts,
        domain,
        benchmark=domain.benchmark,
        seed=request.seed,
        origins=request.origins,
    )
    return DatasetView(dataset=ref, manifest=manifest)


@router.get("/datasets/{sha256}")
def show_dataset(session: SessionDep, sha256: Sha256) -> DatasetManifest:
    manifest = repository.find_dataset(session, sha256)
    if manifest is None:
        raise DatasetUnknown(
            f"no dataset {sha256[:12]}… was built here", fix="build one: POST /forge/v1/datasets"
        )
    return manifest
