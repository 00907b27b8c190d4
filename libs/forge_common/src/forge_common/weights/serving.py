"""Memory shared with the engine that serves on the same machine: it is asked to put idle models aside, and is never stopped.

An answer under way is finished first, and the next question loads its model again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from forge_common.engine import Engine
from forge_common.errors import Cancelled, ForgeError
from forge_common.logging import get_logger

log = get_logger()

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# An engine that is busy loading answers late; training does not wait for it.
ANSWER_S = 15.0
# Ending a runner and giving its memory back takes a second or two.
SETTLE_S = 10.0


def share_memory(
    engine_url: str, is_enough: Callable[[], bool], say: Callable[[str], None], *, settle_s: float = SETTLE_S
) -> tuple[str, ...]:
    """Ask for the memory of the engine's loaded models, unless there is enough; names those that were asked for.

    An engine elsewhere has other memory, and one that does not answer has none: both are left alone. `is_enough` may
    raise Cancelled, which ends the wait.
    """
    if urlsplit(engine_url).hostname not in LOOPBACK or is_enough():
        return ()
    engine = Engine(engine_url, timeout_s=ANSWER_S)
    try:
        asked = tuple(dict.fromkeys(tag.name for tag in engine.ps()))
        if asked:
            say(f"memory is short: the engine puts {', '.join(asked)} aside until somebody asks for it")
        for name in asked:
            engine.unload(name)
        _settle(engine, is_enough, settle_s if asked else 0.0)
    except Cancelled:
        raise
    except ForgeError as error:
        log.info("engine.memory_unshared", reason=str(error))
        return ()
    finally:
        engine.close()
    return asked


def _settle(engine: Engine, is_enough: Callable[[], bool], seconds: float) -> None:
    """Until what was asked for is there, or nothing more will come."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_enough() and engine.ps():
        time.sleep(0.2)
