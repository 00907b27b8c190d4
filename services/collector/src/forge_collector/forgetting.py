"""Has the registry forget the datasets that were withdrawn: at once, or as soon as it can, in a thread that outlives refusals."""

from __future__ import annotations

import threading

from sqlalchemy import Engine

from forge_collector import erase, repository
from forge_collector.datasets import DATASETS_LOCK
from forge_common.contracts.base import Sha256
from forge_common.db.session import session_scope
from forge_common.errors import ForgeError
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger

log = get_logger()

# Between two tries at a registry that is away, or at a dataset that a run is still working with.
AGAIN_S = 60.0


class Forgetter:
    def __init__(self, engine: Engine, registry: RegistryClient) -> None:
        self._engine, self._registry = engine, registry
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="forgetter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        # Not joined: it may be waiting for a registry, and whatever it has not done is done after the next start.
        self._stopped.set()

    def forget(self) -> dict[Sha256, str]:
        """Try now. The datasets that still lie in the registry, each with the reason. Raises DatabaseDown."""
        pending: dict[Sha256, str] = {}
        with session_scope(self._engine) as session:
            waiting = erase.withdrawn(session)
        for dataset in waiting:
            if reason := self._forget(dataset):
                pending[dataset] = reason
        return pending

    def _forget(self, dataset: Sha256) -> str | None:
        with session_scope(self._engine) as session:
            # The same dataset may be being built again, and is then no longer to be forgotten.
            session.connection().execute(DATASETS_LOCK)
            if dataset not in erase.withdrawn(session):
                return None
            try:
                versions = self._registry.forget_dataset(
                    dataset, keep=repository.shared_files(session, dataset)
                )
            except ForgeError as error:
                log.warning("dataset.not_forgotten", dataset=dataset, reason=error.message)
                return str(error)
            erase.mark_forgotten(session, dataset)
        log.info("dataset.forgotten", dataset=dataset, versions=[version.model for version in versions])
        return None

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                self.forget()
            except ForgeError as error:
                log.info("forgetter.waiting", reason=error.message)
            self._stopped.wait(AGAIN_S)
