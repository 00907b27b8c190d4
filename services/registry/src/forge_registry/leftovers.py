"""Removes what a killed upload left in the artifact store. Never touches an artifact, nor an upload that may still be going on."""

from __future__ import annotations

import time
from pathlib import Path

from forge_common.logging import get_logger

log = get_logger()

# Every chunk that arrives makes the file younger.
ABANDONED_AFTER_S = 3600.0


def remove_leftovers(store: Path) -> int:
    """How many files were removed."""
    removed = 0
    for file in store.glob("*/.incoming-*"):
        try:
            if time.time() - file.stat().st_mtime > ABANDONED_AFTER_S:
                file.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    if removed:
        log.info("uploads.removed", count=removed)
    return removed
