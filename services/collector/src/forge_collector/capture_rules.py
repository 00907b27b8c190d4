"""What each domain has redacted: as the registry said last, kept on disk for when it is away. Never fails, never waits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from forge_collector.redact import STRICTEST
from forge_common import domains
from forge_common.contracts.domain import CaptureRules, DomainDocument, RedactionClass
from forge_common.logging import get_logger

log = get_logger()

_Known = TypeAdapter(dict[str, CaptureRules])


class CaptureRulesByDomain:
    """Calling it says what a domain's exchanges must lose: as a shipped domain has it until the registry was heard of,
    and everything for a domain that nobody knows.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        shipped = {domain: domains.load(domain).capture for domain in domains.shipped()}
        self._use(shipped | self._remembered())

    def __call__(self, domain: str) -> frozenset[RedactionClass]:
        return self._classes.get(domain, STRICTEST)

    def take(self, documents: Iterable[DomainDocument]) -> None:
        """Remember the registry's documents; one that it dropped stays known. Raises OSError."""
        known = self._known | {document.id: document.capture for document in documents}
        if known == self._known:
            return
        log.info("capture_rules.changed", domains=sorted(d for d in known if known[d] != self._known.get(d)))
        self._use(known)
        aside = self._memory.with_suffix(".new")
        aside.write_bytes(_Known.dump_json(known))
        aside.replace(self._memory)

    def _use(self, known: dict[str, CaptureRules]) -> None:
        # Asked for every exchange.
        self._known, self._classes = known, {domain: rules.classes() for domain, rules in known.items()}

    def _remembered(self) -> dict[str, CaptureRules]:
        try:
            return _Known.validate_json(self._memory.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            log.warning("capture_rules.unreadable", path=str(self._memory), reason=type(error).__name__)
            return {}
