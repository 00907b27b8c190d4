"""Which domain unmarked traffic belongs to: the registry's active one, or the last one heard of while it is away.

The same news say when a domain's document changed, so its capture rules are asked for then.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from forge_collector.capture_rules import CaptureRulesByDomain
from forge_common.errors import ForgeError
from forge_common.logging import get_logger

if TYPE_CHECKING:
    from forge_common.http.registry import RegistryClient

log = get_logger()

# How long one question is held open; news ends it at once.
WAIT_S = 25.0
# A registry that answers every question at once must not be asked in a circle.
BREATH_S = 0.25
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class ActiveDomain:
    """Follows the registry in a thread, once it is started. Calling it costs nothing and never fails."""

    def __init__(self, memory: Path, *, fallback: str, rules: CaptureRulesByDomain) -> None:
        self._memory, self._rules = memory, rules
        self._name = memory.read_text().strip() if memory.exists() else fallback
        self._stopped = threading.Event()
        self._revision: int | None = None

    def __call__(self) -> str:
        return self._name

    def start(self, registry: RegistryClient) -> None:
        threading.Thread(target=self._follow, args=(registry,), name="active-domain", daemon=True).start()

    def stop(self) -> None:
        # Not joined: it may be inside a long poll, and holds nothing.
        self._stopped.set()

    def refresh(self, registry: RegistryClient) -> None:
        """Ask once; all but the first question wait for news. Raises ForgeError."""
        # Forgotten if this fails: the registry may have been restored to an older state, so ask for what is then.
        asked, self._revision = self._revision, None
        pointers = registry.pointers(after=asked, wait_s=WAIT_S if asked is not None else 0)
        if pointers.active is not None:
            self._take(pointers.active)
        if pointers.revision != asked:
            self._rules.take(registry.domains())
        self._revision = pointers.revision

    def _take(self, name: str) -> None:
        if name != self._name:
            log.info("active_domain.changed", domain=name, previous=self._name)
            self._name = name
            aside = self._memory.with_suffix(".new")
            aside.write_text(name)
            aside.replace(self._memory)

    def _follow(self, registry: RegistryClient) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                self.refresh(registry)
                failures = 0
                self._stopped.wait(BREATH_S)
            except (ForgeError, OSError, ValidationError) as error:
                pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                log.info("registry.awaited", reason=str(error)[:300], domain=self._name)
                self._stopped.wait(pause)
