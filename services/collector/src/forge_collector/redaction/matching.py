"""Expressions that hyperscan looks for together, in one pass whose time grows with the text alone. Says where matches end, no more.

Compiling hundreds takes seconds, so that what came of it is kept in a file. A file that is damaged, of other expressions,
of another machine or not ours alone is made anew.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import hyperscan

from forge_common.logging import get_logger

log = get_logger()

_HASH = hashlib.sha256
_HASH_BYTES = _HASH().digest_size


class Expressions:
    """One database for all threads, made when it is first needed. `numbered`: bytes without look-around; equal ones are
    looked for once.

    name: of its file.
    """

    def __init__(self, name: str, numbered: Mapping[int, bytes]) -> None:
        numbers: dict[bytes, list[int]] = {}
        for number, expression in numbered.items():
            numbers.setdefault(expression, []).append(number)
        self._alike = {first: others for first, *others in numbers.values() if others}
        self._name = name
        self._numbered = {first: expression for expression, (first, *_) in numbers.items()}
        self._scratch: hyperscan.Scratch | None = None
        self._database: hyperscan.Database
        self._making = threading.Lock()
        # Scratch space serves one scan at a time, and a scan releases the interpreter's lock.
        self._own = threading.local()

    def find(self, text: bytes, ends: dict[int, list[int]]) -> None:
        """Add where in `text` each expression's matches end, in order, to what `ends` has for its number."""
        try:
            scratch = self._own.scratch
        except AttributeError:
            scratch = self._own.scratch = self.made().clone()
        self._database.scan(text, match_event_handler=_note, context=ends, scratch=scratch)
        for first, others in self._alike.items():
            if first in ends:
                ends.update(dict.fromkeys(others, ends[first]))

    def made(self) -> hyperscan.Scratch:
        """Scratch space to be cloned, once there is a database."""
        with self._making:
            if self._scratch is None:
                self._database = _kept(self._name, self._numbered) or _compiled(self._name, self._numbered)
                self._scratch = hyperscan.Scratch(self._database)
            return self._scratch


def _note(number: int, _start: int, end: int, _flags: int, ends: Any) -> None:
    if (known := ends.get(number)) is None:
        ends[number] = [end]
    else:
        known.append(end)


class _Shelf:
    """Where this process keeps what was compiled; nowhere until it is told."""

    folder: Path | None = None


def keep_in(folder: Path) -> None:
    """Keep in `folder`, from now on, what is compiled, and take what is there. For a process's entry point."""
    _Shelf.folder = folder


def _compiled(name: str, numbered: Mapping[int, bytes]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(numbered.values()),
        ids=list(numbered),
        elements=len(numbered),
        flags=[0] * len(numbered),
    )
    if _Shelf.folder is not None:
        try:
            _keep(_Shelf.folder / name, _key(numbered) + hyperscan.dumpb(database))
        except OSError as error:
            log.info("expressions.not_kept", name=name, reason=str(error))
    return database


def _kept(name: str, numbered: Mapping[int, bytes]) -> hyperscan.Database | None:
    if _Shelf.folder is None:
        return None
    content = _read(_Shelf.folder / name)
    digest, key, database = (
        content[:_HASH_BYTES],
        content[_HASH_BYTES : 2 * _HASH_BYTES],
        content[2 * _HASH_BYTES :],
    )
    if not database or _HASH(key + database).digest() != digest or key != _key(numbered):
        return None
    try:
        # It knows the processor that it was made for, and refuses another that has less.
        return hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
    except hyperscan.HyperscanError as error:
        log.info("expressions.not_taken", name=name, reason=repr(error))
        return None


def _key(numbered: Mapping[int, bytes]) -> bytes:
    """What else the same database depends on."""
    made_by = (hyperscan.__version__, platform.system(), platform.machine())  # type: ignore[attr-defined]
    return _HASH(repr((made_by, sorted(numbered.items()))).encode()).digest()


def _read(path: Path) -> bytes:
    """Nothing when it is not there, or when anybody but us could have written it: hyperscan trusts what it loads."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb") as file:
            if all(map(_is_ours_alone, (os.fstat(fd), path.parent.stat()))):
                return file.read()
    return b""


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(path: Path, content: bytes) -> None:
    """The whole file or none, for us alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Some systems open all of a volume to its group when they mount it.
    path.parent.chmod(0o700)
    fd, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(_HASH(content).digest() + content)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
