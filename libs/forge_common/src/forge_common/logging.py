"""Structured logging: one event name, facts as fields, ids bound at the edge.

Never log prompts, completions or keys. Standard-library loggers (uvicorn, celery, sqlalchemy) go through the same renderer.
"""

from __future__ import annotations

import logging as stdlib
import sys
from typing import TYPE_CHECKING

# structlog imports rich wherever it is installed, for tracebacks that we do not use: a sixth of the collector's start.
_rich = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]

if TYPE_CHECKING:
    from forge_common.settings import CommonSettings


def configure(service: str, settings: CommonSettings) -> None:
    """Set up logging for this process, to stderr; once, at its entry point."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        # A traceback with local variables would show prompts.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = stdlib.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = stdlib.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # One line per request of our own polling clients is noise, not news.
    for chatty in ("httpx2", "httpx", "httpcore", "httpcore2", "uvicorn.access"):
        stdlib.getLogger(chatty).setLevel(stdlib.WARNING)
    structlog.contextvars.bind_contextvars(service=service)


def get_logger() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger
