"""Large files of the model hub, into the hub client's own cache, going on where an earlier try broke off.

The client itself starts anew after a kill: it keeps no partial file that another process could go on with.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, cast

from forge_common.artifacts import sha256_of
from forge_common.logging import get_logger

log = get_logger()

T = TypeVar("T")

# How often somebody who waits for the hub is asked whether it is still wanted.
LOOK_S = 0.2
# Smaller ones are fetched again in seconds.
LARGE_BYTES = 16 << 20


class Planned(Protocol):
    """A file of a dry run."""

    commit_hash: str
    file_size: int | None
    filename: str
    will_download: bool


def prefetch(name: str, plan: Iterable[Planned], cache: Path, check: Callable[[], None]) -> None:
    """Leaves each large file of `plan` where the client looks for it. Raises what the client does, and what `check` does."""
    for file in plan:
        if file.will_download and (file.file_size or 0) >= LARGE_BYTES:
            _fetch(name, file, cache, check)


class NotWanted(Exception):
    """Ends a download that was left behind."""


def while_wanted(work: Callable[[Callable[[], None]], T], check: Callable[[], None]) -> T:
    """`work`, and what it raises; or what `check` raises, at once: the client waits ten seconds for a hub that says nothing,
    several times, and cannot be told to stop. `work` is then left behind, and ends at the next check that it is given.
    """
    done: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()
    is_over = threading.Event()

    def check_inside() -> None:
        if is_over.is_set():
            raise NotWanted

    def run() -> None:
        try:
            done.put((work(check_inside), None))
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            done.put((None, error))

    threading.Thread(target=run, daemon=True, name="hub-download").start()
    try:
        while True:
            check()
            with suppress(queue.Empty):
                found, error = done.get(timeout=LOOK_S)
                break
    finally:
        is_over.set()
    if error is not None:
        raise error
    return cast("T", found)


def _fetch(name: str, file: Planned, cache: Path, check: Callable[[], None]) -> None:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        WeakFileLock,
        build_hf_headers,
    )

    url = hf_hub_url(name, file.filename, revision=file.commit_hash)
    about = get_hf_file_metadata(url)
    # Beyond this size the hub hands nothing out over plain HTTP.
    if not about.etag or not about.size or about.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        return
    blobs = cache / repo_folder_name(repo_id=name, repo_type="model") / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    blob, partial = blobs / about.etag, blobs / f"{about.etag}.forge-partial"
    with WeakFileLock(blobs / f"{about.etag}.forge-lock"):
        if blob.exists():
            return
        with partial.open("ab") as out:
            kept = out.tell()
            log.info("base.fetching", file=file.filename, bytes=about.size, kept=kept)
            checked = cast("BinaryIO", _Checked(out, check))
            http_get(url, checked, resume_size=kept, headers=build_hf_headers(), expected_size=about.size)
        if _is_whole(partial, about.etag, about.size):
            partial.rename(blob)
        else:
            # The client fetches it from the beginning.
            partial.unlink()


class _Checked:
    """A file that asks before each piece whether it is still wanted."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._file, self._check = file, check

    def write(self, piece: bytes) -> int:
        self._check()
        return self._file.write(piece)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def _is_whole(path: Path, etag: str, size: int) -> bool:
    """Large files are named by their sha256."""
    if re.fullmatch(r"[0-9a-f]{64}", etag):
        return sha256_of(path) == etag
    return path.stat().st_size == size
