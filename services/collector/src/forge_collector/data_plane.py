"""What traffic passes through: routes, capture, redaction, spool. Knows no Postgres and no registry, which take longer to load."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forge_collector.active_domain import ActiveDomain
from forge_collector.capture_rules import CaptureRulesByDomain
from forge_collector.dialects.anthropic import Anthropic
from forge_collector.dialects.engie import Engie
from forge_collector.dialects.ollama import Ollama
from forge_collector.dialects.openai import OpenAI
from forge_collector.model_rules import ModelRules
from forge_collector.prices import Prices
from forge_collector.recorder import Recorder
from forge_collector.routing import Lane, Router, make_lane
from forge_collector.settings import Settings
from forge_collector.spool import Spool

if TYPE_CHECKING:
    from forge_collector.drainer import Drainer


class DataPlane:
    """Raises SpoolInUse when another collector runs on the same home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = settings.installation_key
        self.spool = Spool(
            settings.spool_folder,
            limit_bytes=settings.spool_limit,
            segment_bytes=settings.spool_segment,
            fsync_s=settings.fsync_window.total_seconds(),
            reserve_bytes=settings.spool_reserve,
        )
        memory = settings.spool_folder.parent
        self.capture_rules = CaptureRulesByDomain(settings.capture_rules)
        self.active_domain = ActiveDomain(
            memory / "active-domain", fallback=settings.domain, rules=self.capture_rules
        )
        self.model_rules = ModelRules(memory / "model-rules.json")
        self.prices = Prices(settings.prices)
        # It comes from the collector, which is made later.
        self.drainer: Drainer | None = None
        self.recorder = Recorder(
            self.spool,
            self.active_domain,
            model_rules=self.model_rules,
            redaction=self.capture_rules,
            max_bytes=settings.max_exchange,
            later=lambda do: asyncio.get_running_loop().call_soon(do),
            is_draining=self._is_draining,
            prices=self.prices,
        )
        self.router = Router(lanes(settings), self.recorder, key=self.key if settings.needs_key else None)

    def start(self) -> None:
        self.recorder.warm_up()

    def stop(self) -> None:
        """What passed is in the spool."""
        self.active_domain.stop()
        self.model_rules.stop()
        self.recorder.stop()

    def _is_draining(self) -> bool:
        """Whether the spool is being drained, or is about to be."""
        return self.drainer is None or not self.drainer.stats.is_down


def lanes(settings: Settings) -> dict[str, Lane]:
    """By prefix; where none is given, the first whose paths fit."""
    # Who has taken the Engie proxy's old address answers its chats on the path that they share with OpenAI's.
    is_engie = settings.openai_upstream.rstrip("/") == f"{settings.engie_upstream.rstrip('/')}/v1"
    return {
        "openai": make_lane(Engie() if is_engie else OpenAI(), "/v1", settings.openai_upstream),
        "anthropic": make_lane(Anthropic(), "", settings.anthropic_upstream),
        "ollama": make_lane(Ollama(), "", settings.ollama_upstream),
        "engie": make_lane(Engie(), "", settings.engie_upstream),
    }
