"""Following the registry's pointers: by long poll in a thread, remembered on disk, so that answers outlive the registry."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from pydantic import ValidationError

from forge_common.contracts.runs import Pointers
from forge_common.errors import ForgeError
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger
from forge_gateway.catalogue import Catalogue

log = get_logger()

NOTHING_KNOWN = Pointers(revision=-1, pointers=())
# A promotion must reach requests within a second, also one made in the moment when the registry comes back.
RETRY_S = (0.1, 0.2, 0.4, 0.8)
QUICK_S = 0.2


class Board:
    """The catalogue in force. Replaced as a whole, so that a request never sees half of a change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.catalogue = Catalogue(_stored(file))

    def post(self, pointers: Pointers) -> None:
        if pointers.revision != self.catalogue.revision or pointers.pointers != self.catalogue.pointers:
            self.catalogue = Catalogue(pointers)
            self._remember(pointers)
            log.info("pointers.changed", revision=pointers.revision, models=self.catalogue.names())

    def _remember(self, pointers: Pointers) -> None:
        """A full disk must not stop the answers."""
        scratch = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch.write_text(pointers.model_dump_json(), encoding="utf-8")
            scratch.replace(self._file)
        except OSError as error:
            log.warning("pointers.not_remembered", reason=str(error))


class Follower:
    """Keeps the board true for as long as it runs. The registry's client is used by this thread alone."""

    def __init__(self, registry: RegistryClient, board: Board, *, wait_s: float) -> None:
        self._registry = registry
        self._board = board
        self._wait_s = wait_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="pointers", daemon=True)
        self.is_following = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait: a long poll may still be out, and the thread dies with the process."""
        self._stopped.set()

    def _follow(self) -> None:
        after: int | None = None
        failures = 0
        while not self._stopped.is_set():
            asked = time.monotonic()
            try:
                pointers = self._registry.pointers(after=after, wait_s=self._wait_s)
            except (ForgeError, ValidationError) as error:
                self._lost(error)
                self._stopped.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                # It may have been restored to an older state meanwhile: ask for what is, not for what is newer.
                after = None
                continue
            failures = 0
            self.is_following = True
            if pointers.revision == after and time.monotonic() - asked < QUICK_S:
                self._stopped.wait(QUICK_S)
            after = pointers.revision
            if not self._stopped.is_set():
                self._board.post(pointers)

    def _lost(self, error: Exception) -> None:
        if self.is_following or self._board.catalogue.revision == NOTHING_KNOWN.revision:
            log.warning("registry.lost", reason=str(error))
        self.is_following = False


def _stored(file: Path) -> Pointers:
    try:
        return Pointers.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return NOTHING_KNOWN
    except (OSError, ValidationError) as error:
        log.warning("pointers.not_recalled", reason=str(error))
        return NOTHING_KNOWN
