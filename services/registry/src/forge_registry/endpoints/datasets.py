"""Datasets, as far as the registry knows them: by hash, and forgotten on demand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from forge_common.contracts.base import Sha256
from forge_common.contracts.runs import TrainedVersion
from forge_common.db.request import SessionDep
from forge_registry import datasets, repository
from forge_registry.auth import Admin
from forge_registry.endpoints.dependencies import EVERYWHERE, ContextDep, refuses
from forge_registry.errors import DatasetInUse, DatasetUnreadable

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=EVERYWHERE)


@router.delete("/{sha256}", responses=refuses(DatasetInUse, DatasetUnreadable))
def forget_dataset(
    sha256: Sha256,
    who: Admin,
    session: SessionDep,
    context: ContextDep,
    keep: Annotated[list[Sha256], Query()] = [],  # noqa: B006  FastAPI copies it
) -> list[TrainedVersion]:
    """Remove a dataset's rows for good; the answer names the versions that were trained on them. Idempotent."""
    trained = datasets.forget(session, context.store, sha256, keep)
    repository.audit(session, by=who.name, action="dataset.forgotten", subject=sha256)
    live = {version.domain: repository.live(session, version.domain) for version in trained}
    return [
        TrainedVersion(
            domain=version.domain,
            number=version.number,
            model=version.model,
            is_live=live[version.domain] == version.number,
            dataset=sha256,
        )
        for version in trained
    ]
