"""Content-addressed artifacts: the store that the registry keeps, and the client that everyone else uses.

An artifact is immutable and named by its sha256; a file appears under its name only when it is whole and verified.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import httpx2
from pydantic import BaseModel

from forge_common.contracts.base import ArtifactRef, Bundle, BundleFile, Sha256
from forge_common.errors import DependencyDown, Invalid, NotFound
from forge_common.http.client import make_client, raise_for_problem, unreachable
from forge_common.logging import get_logger

M = TypeVar("M", bound=BaseModel)
CHUNK = 1 << 20
# Of a download: small, so that a slow line too can be called off between two.
PIECE = 1 << 16
LONGEST_PAUSE_S = 5.0
# How often somebody who waits for another's download is asked whether it is still wanted.
LOOK_S = 0.1
log = get_logger()


class ArtifactMissing(NotFound):
    """Nothing is stored under that hash."""


class DigestMismatch(Invalid):
    """The bytes are not those that their name promises."""


def sha256_of(path: Path, check: Callable[[], None] = lambda: None) -> Sha256:
    """What `check` raises ends it: a file of gigabytes takes a while."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, check):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path, check: Callable[[], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            check()
            yield chunk


def ref_of(data: bytes, kind: str) -> ArtifactRef:
    """What `push_bytes` would return."""
    return ArtifactRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data), kind=kind)


@contextlib.contextmanager
def locked(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """Held by one thread of one process at a time, and let go of by the end of it. What `check` raises ends the wait."""
    with path.open("ab") as file:
        while not _has_locked(file):
            check()
            time.sleep(LOOK_S)
        yield


def _has_locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class ArtifactStore:
    """A folder of artifacts, `ab/abcdef…`. Safe for many writers: each writes aside and renames."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: Sha256) -> Path:
        """Where the artifact lies. Raises ArtifactMissing."""
        path = self._place(sha256)
        if not path.is_file():
            raise ArtifactMissing(
                f"no artifact {sha256[:12]}…", fix="check the hash, or upload the file again"
            )
        return path

    def has(self, sha256: Sha256) -> bool:
        return self._place(sha256).is_file()

    def put(self, sha256: Sha256, chunks: Iterable[bytes]) -> Path:
        """Store `chunks`. Raises DigestMismatch, and keeps nothing, when they are not what `sha256` names."""
        place = self._place(sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != sha256:
                raise DigestMismatch(f"the bytes hash to {digest.hexdigest()[:12]}…, not to {sha256[:12]}…")
            Path(name).replace(place)
        finally:
            Path(name).unlink(missing_ok=True)
        return place

    def remove(self, sha256: Sha256) -> None:
        """For what must not be kept any longer. What is not there is no error."""
        self._place(sha256).unlink(missing_ok=True)

    def _place(self, sha256: Sha256) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise Invalid(f"{sha256[:80]!r} is not a sha256", fix="use 64 lower-case hexadecimal digits")
        return self.root / sha256[:2] / sha256


def _without(chunks: Iterable[bytes], start: int) -> Iterator[bytes]:
    """`chunks` but for the first `start` bytes."""
    for chunk in chunks:
        skipped = min(start, len(chunk))
        start -= skipped
        if skipped < len(chunk):
            yield chunk[skipped:]


class ArtifactClient:
    """Artifacts of a registry over HTTP, with a local cache. Downloads resume and are verified before they are used."""

    def __init__(self, base_url: str, key: str | None, cache: Path, *, patience_s: float = 0.0) -> None:
        """For `patience_s` a registry that is down is waited for; what is still down then raises DependencyDown."""
        self.base_url = base_url.rstrip("/")
        self._patience_s = patience_s
        self.check: Callable[[], None] = lambda: None
        self._http = make_client(self.base_url, key=key, timeout_s=300.0)
        self._cache = ArtifactStore(cache)

    def checking(self, check: Callable[[], None]) -> ArtifactClient:
        """The same client, which calls `check` while it waits and while it transfers: what that raises ends both."""
        other = copy.copy(self)
        other.check = check
        return other

    def fetch(self, sha256: Sha256) -> Path:
        """The artifact as a local file, read-only by agreement. Raises ArtifactMissing."""
        if self._cache.has(sha256):
            return self._cache.path(sha256)
        self._cache.root.mkdir(parents=True, exist_ok=True)
        partial = self._cache.root / f".partial-{sha256}"
        # One download per artifact at a time, over all threads and processes; a killed one is resumed by the next.
        with locked(partial.with_suffix(".lock"), self.check):
            if not self._cache.has(sha256):
                self._patiently(lambda: self._download(sha256, partial))
                partial.touch()  # of an empty artifact nothing came, and nothing was made
                try:
                    self._cache.put(sha256, _chunks(partial, self.check))
                except DigestMismatch:
                    partial.unlink()
                    raise
                partial.unlink()
        return self._cache.path(sha256)

    def forget(self, sha256: Sha256) -> None:
        """Remove the cached copy of what other people's text is in; the registry's own stays."""
        self._cache.remove(sha256)

    def forget_weights(self, bundle: Sha256) -> None:
        """For one that was laid out: gigabytes are not to lie here twice. Its texts, which others may share, stay."""
        for file in self.read_json(bundle, Bundle).files:
            if file.path.endswith(".safetensors"):
                self.forget(file.sha256)

    def push(self, path: Path, kind: str) -> ArtifactRef:
        """Upload a file; nothing is sent when the registry has it."""
        ref = ArtifactRef(sha256=sha256_of(path, self.check), size=path.stat().st_size, kind=kind)

        def send() -> None:
            if not self._has(ref.sha256):
                self._request("PUT", ref.sha256, content=_chunks(path, self.check))

        self._patiently(send)
        return ref

    def push_bytes(self, data: bytes, kind: str) -> ArtifactRef:
        ref = ref_of(data, kind)

        def send() -> None:
            if not self._has(ref.sha256):
                self._request("PUT", ref.sha256, content=data)

        self._patiently(send)
        return ref

    def push_bundle(self, folder: Path, kind: str) -> ArtifactRef:
        """Upload every file of `folder`, then the bundle document that names them."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        refs = [(path.relative_to(folder).as_posix(), self.push(path, kind)) for path in paths]
        bundle = Bundle(
            kind=kind, files=tuple(BundleFile(path=p, sha256=r.sha256, size=r.size) for p, r in refs)
        )
        return self.push_bytes(bundle.model_dump_json().encode(), kind)

    def fetch_bundle(self, sha256: Sha256, into: Path) -> Path:
        """Lay out a bundle's files in the folder `into`."""
        bundle = self.read_json(sha256, Bundle)
        for file in bundle.files:
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                # Gigabytes that are here already: copying them is called off as a download is.
                out.writelines(_chunks(self.fetch(file.sha256), self.check))
        return into

    def read_json(self, sha256: Sha256, shape: type[M]) -> M:
        return shape.model_validate_json(self.fetch(sha256).read_bytes())

    def _patiently(self, once: Callable[[], None]) -> None:
        pause_s, until = 0.2, time.monotonic() + self._patience_s
        while True:
            try:
                return once()
            except DependencyDown as error:
                if time.monotonic() + pause_s > until:
                    raise
                log.warning("registry.awaited", reason=str(error))
            self.check()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _has(self, sha256: Sha256) -> bool:
        return self._request("HEAD", sha256, missing_ok=True).is_success

    def _download(self, sha256: Sha256, partial: Path) -> None:
        # A broken connection is resumed where it stopped; three breaks in a row without a byte are an outage.
        idle = 0
        while True:
            have = partial.stat().st_size if partial.exists() else 0
            try:
                for chunk in self._stream(sha256, have):
                    with partial.open("ab") as file:
                        file.write(chunk)
                    self.check()
            except httpx2.TransportError as error:
                idle = 0 if partial.exists() and partial.stat().st_size > have else idle + 1
                if idle == 3:
                    raise unreachable(self.base_url, error) from error
            else:
                return

    def _stream(self, sha256: Sha256, start: int) -> Iterator[bytes]:
        headers = {"range": f"bytes={start}-"} if start else {}
        with self._http.stream("GET", f"/v1/artifacts/{sha256}", headers=headers) as reply:
            if reply.status_code == 404:
                raise ArtifactMissing(f"the registry has no artifact {sha256[:12]}…")
            if reply.status_code == 416:  # everything was there already
                return
            raise_for_problem(reply)
            if start and reply.status_code != 206:
                # Something on the way drops ranges: what came before is in the reply again.
                yield from _without(reply.iter_bytes(PIECE), start)
            else:
                yield from reply.iter_bytes(PIECE)

    def _request(
        self,
        method: str,
        sha256: Sha256,
        *,
        missing_ok: bool = False,
        content: bytes | Iterable[bytes] | None = None,
    ) -> httpx2.Response:
        try:
            reply = self._http.request(method, f"/v1/artifacts/{sha256}", content=content)
        except httpx2.TransportError as error:
            raise unreachable(self.base_url, error) from error
        if not (missing_ok and reply.status_code == 404):
            raise_for_problem(reply)
        return reply
