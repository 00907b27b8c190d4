"""The models' half of Ollama's API: blobs, create, tags, show, copy, delete, ps, version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version as installed_version

from anyio import to_thread
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from forge_engine import creation, names
from forge_engine.errors import BadRequest, ModelUnknown, Unsupported, native_body
from forge_engine.gguf_header import GgufHeader
from forge_engine.library import Library
from forge_engine.models import CopyBody, CreateBody, EmbedBody, NamedBody, parse
from forge_engine.pool import Loaded
from forge_engine.replies import NDJSON, JsonReply, collected, ndjson, streamed
from forge_engine.store import Details, Manifest, Record

CAPABILITIES: list[JsonValue] = ["completion"]


async def root(_: Request) -> Response:
    return PlainTextResponse("The Forge's engine is running")


async def version(_: Request) -> Response:
    return JsonReply({"version": f"{installed_version('forge-engine')}+forge-engine"})


async def head_blob(request: Request) -> Response:
    library: Library = request.app.state.library
    return Response(status_code=200 if library.store.has_blob(request.path_params["digest"]) else 404)


async def post_blob(request: Request) -> Response:
    """201 the first time, 200 when the blob is already there."""
    library: Library = request.app.state.library
    digest = request.path_params["digest"]
    if library.store.has_blob(digest):
        return Response(status_code=200)
    await library.store.receive(digest, request.stream())
    return Response(status_code=201)


async def create(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, CreateBody)
    creation.check(body)
    statuses = creation.create(library, body)
    if body.stream:
        return await streamed(
            request,
            statuses,
            lambda status: ndjson({"status": status}),
            broken=lambda error: ndjson(native_body(error)),
            media_type=NDJSON,
        )
    return JsonReply({"status": (await collected(request, statuses))[-1]})


async def tags(request: Request) -> Response:
    library: Library = request.app.state.library
    records = await to_thread.run_sync(library.store.records)
    return JsonReply({"models": [_listing(record) for record in records]})


async def show(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, NamedBody)
    if body.asked and names.parse(body.asked) is None:
        raise BadRequest("invalid model name")
    record = library.record(body.asked, full_name=True)
    header = await to_thread.run_sync(library.header, record.manifest)
    return JsonReply(_description(library, record, header))


async def copy(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, CopyBody)
    source, destination = names.parse(body.source), names.parse(body.destination)
    if source is None:
        raise BadRequest(f'source "{body.source}" is invalid')
    if destination is None:
        raise BadRequest(f'destination "{body.destination}" is invalid')
    await to_thread.run_sync(library.store.copy, source, destination)
    return Response(status_code=200)


async def delete(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, NamedBody)
    if not body.asked:
        raise BadRequest("model is required")
    name = names.parse(body.asked)
    if name is None:
        raise BadRequest(f'name "{body.asked}" is invalid')
    if not await to_thread.run_sync(library.store.delete, name):
        raise ModelUnknown(f"model '{body.asked}' not found")
    return Response(status_code=200)


async def ps(request: Request) -> Response:
    library: Library = request.app.state.library
    return JsonReply({"models": [_running(one) for one in library.pool.loaded()]})


async def embed(request: Request) -> Response:
    library: Library = request.app.state.library
    body = await parse(request, EmbedBody)
    require(library, body.asked)
    raise Unsupported("this engine does not support embeddings", status=501)


def require(library: Library, asked: str) -> None:
    """The text of the embedding endpoints for a model that is not there."""
    name = names.parse(asked)
    if name is None or library.store.find(name) is None:
        raise ModelUnknown(f'model "{asked}" not found, try pulling it first')


def _listing(record: Record) -> dict[str, JsonValue]:
    details = record.manifest.details
    return {
        "name": record.name,
        "model": record.name,
        "modified_at": record.modified_at.isoformat(),
        "size": record.manifest.size,
        "digest": record.manifest.digest,
        "details": _details(details, record.manifest.parent_model)
        | {"context_length": details.context_length, "embedding_length": details.embedding_length},
        "capabilities": CAPABILITIES,
    }


def _running(one: Loaded) -> dict[str, JsonValue]:
    return {
        "name": one.wanted.name,
        "model": one.wanted.name,
        "size": one.size,
        "digest": one.wanted.digest,
        "details": _details(one.wanted.details, ""),
        "expires_at": one.expires_at.isoformat(),
        "size_vram": 0,
        "context_length": one.plan.context,
    }


def _details(details: Details, parent: str) -> dict[str, JsonValue]:
    return {
        "parent_model": parent,
        "format": "gguf",
        "family": details.family,
        "families": [details.family],
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization_level,
    }


def _description(library: Library, record: Record, header: GgufHeader) -> dict[str, JsonValue]:
    manifest = record.manifest
    parameters = _parameter_lines(manifest.parameters)
    optional = {"parameters": "\n".join(f"{k:<30} {v}" for k, v in parameters), "system": manifest.system}
    return {
        **{key: value for key, value in optional.items() if value},
        "modelfile": _modelfile(library, manifest),
        "template": str(header.metadata.get("tokenizer.chat_template", "")),
        "details": _details(manifest.details, manifest.parent_model),
        "model_info": _model_info(header),
        "tensors": [
            {"name": tensor.name, "type": tensor.kind.name, "shape": list(tensor.shape)}
            for tensor in header.tensors
        ],
        "capabilities": CAPABILITIES,
        "modified_at": record.modified_at.isoformat(),
    }


def _model_info(header: GgufHeader) -> dict[str, JsonValue]:
    """The metadata; long arrays are null. The template has a field of its own."""
    own: dict[str, JsonValue] = {"general.parameter_count": header.parameters}
    for key, value in header.metadata.items():
        if key != "tokenizer.chat_template":
            own[key] = None if key.startswith("tokenizer.") and isinstance(value, list) else value  # type: ignore[assignment]
    return dict(sorted(own.items()))


def _modelfile(library: Library, manifest: Manifest) -> str:
    """Creating from this text gives the same model: it names no TEMPLATE, so the GGUF's own goes on serving."""
    lines = [f"FROM {library.store.blob(manifest.model.digest)}"]
    if manifest.adapter:
        lines.append(f"ADAPTER {library.store.blob(manifest.adapter.digest)}")
    if manifest.system:
        lines.append(f'SYSTEM """{manifest.system}"""')
    lines += [f"PARAMETER {key} {value}" for key, value in _parameter_lines(manifest.parameters)]
    return "\n".join(lines) + "\n"


def _parameter_lines(parameters: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """One line for each value, as Ollama prints them: texts quoted."""
    pairs = [
        (key, value)
        for key, given in sorted(parameters.items())
        for value in (given if isinstance(given, list) else [given])
    ]
    return [(key, json.dumps(value, ensure_ascii=False)) for key, value in pairs]


routes = [
    Route("/", root, methods=["GET"]),
    Route("/api/version", version, methods=["GET"]),
    Route("/api/blobs/{digest}", head_blob, methods=["HEAD"]),
    Route("/api/blobs/{digest}", post_blob, methods=["POST"]),
    Route("/api/create", create, methods=["POST"]),
    Route("/api/tags", tags, methods=["GET"]),
    Route("/api/show", show, methods=["POST"]),
    Route("/api/copy", copy, methods=["POST"]),
    Route("/api/delete", delete, methods=["DELETE"]),
    Route("/api/ps", ps, methods=["GET"]),
    Route("/api/embed", embed, methods=["POST"]),
]
