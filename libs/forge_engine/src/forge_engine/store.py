"""The model store: content-addressed blobs and one manifest per name. Nothing half-written is ever visible.

Layout: `blobs/sha256-<hex>`, uploads as `blobs/partial-*`, `manifests/<name>.json`. One engine process per store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from urllib.parse import quote

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from forge_common.errors import Conflict
from forge_common.logging import get_logger
from forge_engine.errors import BadRequest, BlobMissing, ModelUnknown
from forge_engine.names import ModelName

log = get_logger()
DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
# An upload comes before the create that names it: what nobody names is kept this long.
ORPHAN_AGE_S = 3600.0
WRITE_BYTES = 1 << 20


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Layer(_Stored):
    sha256: str
    size: int

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}"


class Details(_Stored):
    """What listings show of the GGUF, kept here so that a listing opens no weights."""

    family: str
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int


class Manifest(_Stored):
    """What a name stands for. Equal manifests have equal digests, whatever their names."""

    schema_version: int = 1
    model: Layer
    adapter: Layer | None = None
    system: str = ""
    parameters: dict[str, JsonValue] = {}
    parent_model: str = ""
    details: Details

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.model, self.adapter) if self.adapter else (self.model,)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)


class Record(_Stored):
    """A name in the store. `name` is as it was first written."""

    name: str
    modified_at: datetime
    manifest: Manifest


class ModelStore:
    """Raises Conflict when another engine already has the store open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        for folder in (root, self.blobs, self.manifests):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(root / "lock")
        for leftover in (*self.blobs.glob("partial-*"), *self.manifests.glob("*.partial")):
            leftover.unlink(missing_ok=True)
        self.prune()

    def close(self) -> None:
        self._lock.close()

    def blob(self, digest: str) -> Path:
        """Where the blob is or would be. Raises BadRequest for anything but a sha256 digest."""
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise BadRequest("invalid digest format")
        return self.blobs / f"sha256-{match[1]}"

    def has_blob(self, digest: str) -> bool:
        """Also marks the blob as wanted, so that it is not pruned before the create that follows."""
        path = self.blob(digest)
        if not path.exists():
            return False
        os.utime(path)
        return True

    def layer(self, digest: str) -> Layer:
        path = self.blob(digest)
        if not self.has_blob(digest):
            raise BlobMissing(
                f"blob {digest} is not in the store", fix=f"send it first: POST /api/blobs/{digest}"
            )
        return Layer(sha256=path.name.removeprefix("sha256-"), size=path.stat().st_size)

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Stream a blob to disk. It appears only whole and only if its digest is right; else BadRequest."""
        path = self.blob(digest)
        # Not anonymous: the rename at the end is what makes the blob visible.
        with NamedTemporaryFile(dir=self.blobs, prefix="partial-", delete=False) as file:
            partial = Path(file.name)
            try:
                got = await _write(file, chunks)
                if f"sha256-{got}" != path.name:
                    raise BadRequest(f'digest mismatch, expected "{digest}", got "sha256:{got}"')
                await to_thread.run_sync(_publish, file, path)
            finally:
                await to_thread.run_sync(partial.unlink, True)

    def records(self) -> list[Record]:
        """All names, newest first."""
        found = (self._read(path) for path in self.manifests.glob("*.json"))
        return sorted((r for r in found if r), key=lambda record: record.modified_at, reverse=True)

    def find(self, name: ModelName) -> Record | None:
        return self._read(self._path(name))

    def put(self, name: ModelName, manifest: Manifest) -> None:
        """Point the name at the manifest, atomically."""
        before = self.find(name)
        record = Record(
            name=before.name if before else name.text, modified_at=datetime.now(UTC), manifest=manifest
        )
        path = self._path(name)
        with path.with_suffix(".partial").open("wb") as file:
            file.write(record.model_dump_json(indent=1).encode())
            _publish(file, path)

    def copy(self, source: ModelName, destination: ModelName) -> None:
        record = self.find(source)
        if record is None:
            raise ModelUnknown(f'model "{source.text.removesuffix(":latest")}" not found')
        self.put(destination, record.manifest)

    def delete(self, name: ModelName) -> bool:
        """False when there was no such name."""
        path = self._path(name)
        if not path.exists():
            return False
        path.unlink()
        self.prune()
        return True

    def prune(self) -> None:
        """Remove blobs that no manifest names and that nobody has asked for within the hour."""
        wanted = {layer.sha256 for record in self.records() for layer in record.manifest.layers}
        for path in self.blobs.glob("sha256-*"):
            is_old = path.stat().st_mtime < time.time() - ORPHAN_AGE_S
            if is_old and path.name.removeprefix("sha256-") not in wanted:
                log.info("blob.pruned", blob=path.name)
                path.unlink(missing_ok=True)

    def _path(self, name: ModelName) -> Path:
        return self.manifests / f"{quote(name.key, safe='')}.json"

    def _read(self, path: Path) -> Record | None:
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            log.warning("manifest.unreadable", path=str(path))
            return None


async def _write(file: IO[bytes], chunks: AsyncIterator[bytes]) -> str:
    sha = hashlib.sha256()

    def flush(data: bytes) -> None:
        sha.update(data)
        file.write(data)

    async for block in _blocks(chunks):
        await to_thread.run_sync(flush, block)
    return sha.hexdigest()


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= WRITE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _publish(file: IO[bytes], path: Path) -> None:
    """Make what was written durable, then visible under `path`."""
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(path: Path) -> IO[bytes]:
    """Held until this process ends, however it ends."""
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Conflict(
            f"another engine has {path.parent} open",
            fix="stop it, or set FORGE_ENGINE_HOME to another folder",
        ) from None
    return file
