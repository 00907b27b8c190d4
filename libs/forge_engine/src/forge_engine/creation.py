"""`/api/create`: one finished GGUF, or a model in the store, with an adapter, a system prompt and parameters.

Converts nothing and quantises nothing. Takes no template: the GGUF's own serves. What it accepts has been loaded once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import PurePosixPath

from anyio import to_thread

from forge_engine import gguf_header, names
from forge_engine.errors import AdapterMismatch, BadRequest, ModelUnknown, Unsupported
from forge_engine.gguf_header import GgufHeader
from forge_engine.library import Library, read_blob, short_count
from forge_engine.models import CreateBody
from forge_engine.names import ModelName
from forge_engine.pool import Wanted
from forge_engine.process import LoadPlan
from forge_engine.store import Details, Layer, Manifest

# Long enough for llama.cpp to build its context, short enough to cost nothing.
TRIAL_CONTEXT = 64
NOT_SERVED = {
    "template": "the GGUF's own chat template serves; send none",
    "quantize": "send a GGUF that is already quantised",
    "messages": "put examples into the conversation instead",
}


def check(body: CreateBody) -> ModelName:
    """Raises what Ollama refuses before it answers with a first line."""
    name = names.parse(body.asked) if body.asked else None
    if name is None or (body.from_ and names.parse(body.from_) is None):
        raise BadRequest("invalid model name")
    for field, fix in NOT_SERVED.items():
        if getattr(body, field):
            raise Unsupported(f"this engine does not take {field!r}", fix=fix)
    if not body.from_ and not body.files:
        raise BadRequest("neither 'from' or 'files' was specified")
    if body.from_ and body.files:
        raise BadRequest("both 'from' and 'files' were specified")
    if any(PurePosixPath(path).is_absolute() for path in (*body.files, *body.adapters)):
        raise BadRequest("file path must be relative")
    if len(body.adapters) > 1:
        raise BadRequest("only one adapter is currently supported")
    if len(body.files) > 1:
        raise Unsupported(
            "this engine takes one finished GGUF and converts nothing", fix="convert the model to GGUF first"
        )
    return name


async def create(library: Library, body: CreateBody) -> AsyncGenerator[str, None]:
    """Yields statuses, the last one `success`. Nothing is visible under the name before that."""
    name = check(body)
    yield "parsing GGUF"
    manifest = await _manifest(library, body)
    if not _is_proven(library, manifest):
        yield "verifying model"
        await _load_once(library, name, manifest)
    for layer in manifest.layers:
        yield f"using existing layer {layer.digest}"
    yield "writing manifest"
    await to_thread.run_sync(library.store.put, name, manifest)
    yield "success"


async def _manifest(library: Library, body: CreateBody) -> Manifest:
    start = await (_from_model(library, body.from_) if body.from_ else _from_file(library, body))
    adapter = start.adapter
    for digest in body.adapters.values():
        if adapter is not None:
            # Ollama would apply both without a word.
            raise AdapterMismatch(
                f"{body.from_!r} already carries an adapter", fix="take the bare base for `from`"
            )
        adapter = await _adapter(library, digest, start)
    return start.model_copy(
        update={
            "adapter": adapter,
            "system": body.system or start.system,
            "parameters": start.parameters | body.parameters,
        }
    )


async def _from_model(library: Library, asked: str) -> Manifest:
    name = names.parse(asked)
    record = library.store.find(name) if name else None
    if record is None:
        raise ModelUnknown(
            f"model '{asked}' not found", fix="create the base first; this engine pulls nothing"
        )
    for layer in record.manifest.layers:
        library.store.layer(layer.digest)
    return record.manifest.model_copy(update={"parent_model": record.name})


async def _from_file(library: Library, body: CreateBody) -> Manifest:
    (digest,) = body.files.values()
    layer = library.store.layer(digest)
    header = await to_thread.run_sync(read_blob, library.store.blob(digest))
    gguf_header.check_model(header)
    return Manifest(model=layer, details=_details(header))


async def _adapter(library: Library, digest: str, base: Manifest) -> Layer:
    layer = library.store.layer(digest)
    header = await to_thread.run_sync(read_blob, library.store.blob(digest))
    gguf_header.check_adapter(header, library.header(base))
    return layer


def _details(header: GgufHeader) -> Details:
    return Details(
        family=header.architecture,
        parameter_size=short_count(header.parameters),
        quantization_level=header.file_type,
        context_length=header.number("context_length"),
        embedding_length=header.number("embedding_length"),
    )


def _is_proven(library: Library, manifest: Manifest) -> bool:
    """The same weights already serve under another name."""
    return any(record.manifest.layers == manifest.layers for record in library.store.records())


async def _load_once(library: Library, name: ModelName, manifest: Manifest) -> None:
    """A header can be right and the file still not loadable: only llama.cpp knows. Raises RunnerFailed."""
    plan = LoadPlan(
        model=library.store.blob(manifest.model.digest),
        adapter=library.store.blob(manifest.adapter.digest) if manifest.adapter else None,
        context=TRIAL_CONTEXT,
    )
    wanted = Wanted(plan, library.header(manifest), name.text, manifest.digest, manifest.details)
    async with library.pool.lease(wanted, keep_alive_s=0):
        pass
