"""Artifacts over HTTP: immutable, named by hash, with ranges. The digest is checked before a byte counts as stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio.from_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from forge_common.artifacts import ArtifactMissing, DigestMismatch
from forge_common.contracts.base import Contract
from forge_registry.auth import Reader, WorkerCaller
from forge_registry.endpoints.dependencies import EVERYWHERE, ContextDep, Responses, refuses

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], responses=EVERYWHERE)


RANGES: Responses = {206: {"description": "the range that was asked for"}}


class Stored(Contract):
    sha256: str
    size: int


@router.put("/{sha256}", responses=refuses(DigestMismatch))
async def put_artifact(sha256: str, request: Request, _: WorkerCaller, context: ContextDep) -> Stored:
    """Upload. Sending what is there already reads the body and changes nothing."""
    place = await run_in_threadpool(context.store.put, sha256, _chunks(request.stream()))
    return Stored(sha256=sha256, size=place.stat().st_size)


@router.head("/{sha256}", response_class=FileResponse, responses=refuses(ArtifactMissing))
def has_artifact(sha256: str, who: Reader, context: ContextDep) -> Response:
    """Whether it is stored, and how large it is."""
    return get_artifact(sha256, who, context)


@router.get("/{sha256}", response_class=FileResponse, responses=RANGES | refuses(ArtifactMissing))
def get_artifact(sha256: str, _: Reader, context: ContextDep) -> Response:
    return FileResponse(
        context.store.path(sha256),
        media_type="application/octet-stream",
        headers={"etag": f'"{sha256}"', "cache-control": "private, max-age=31536000, immutable"},
    )


def _chunks(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The request's body, pulled by the thread that writes it: a slow disk slows the sender, not the memory."""

    async def following() -> bytes | None:
        # None, not StopAsyncIteration: that one cannot leave a coroutine.
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(following)) is not None:
        yield chunk
