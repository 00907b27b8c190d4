"""Makes the engine's own `<prefix>:latest` follow a domain's pointer. The pointer is the truth; this only repeats it."""

from __future__ import annotations

from sqlalchemy import Engine as Database

from forge_common.db.session import session_scope
from forge_common.engine import Engine
from forge_common.logging import get_logger
from forge_registry import repository

log = get_logger()


def follow(database: Database, engine: Engine, domain: str) -> None:
    """Copy what is live to `:latest`, until it is still live afterwards.

    Looks again after copying: of two processes that follow two moves, the slower one would else have the last word.
    """
    wanted = live_model(database, domain)
    while wanted is not None:
        model, latest = wanted
        engine.copy(model, latest)
        log.info("alias.moved", domain=domain, model=model, alias=latest)
        now = live_model(database, domain)
        wanted = None if now == wanted else now


def live_model(database: Database, domain: str) -> tuple[str, str] | None:
    """The live version's model, and the alias that shall name it; None while nothing is live."""
    with session_scope(database) as session:
        live = repository.live(session, domain)
        if live is None:
            return None
        prefix = repository.domain(session, domain).document.model_prefix
        return repository.version(session, domain, live).model, f"{prefix}:latest"
