"""What a command of the evaluator tells whoever started it: a person reads the result, a program (`--events`) JSON lines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from forge_common.errors import ForgeError

_PACE_S = 0.2


class Events:
    """Progress as it goes, then one result or one error. Without `as_lines` only the result is printed."""

    def __init__(self, *, as_lines: bool) -> None:
        self._as_lines = as_lines
        self._began = time.monotonic()
        self._first: int | None = None
        self._told = 0.0

    def progress(self, message: str, step: int, of: int) -> None:
        """At most five times a second, and always at the end. What was done before the first call costs no time."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = step, now
        if not self._as_lines or (now - self._told < _PACE_S and step < of):
            return
        self._told, done = now, step - self._first
        eta_s = (now - self._began) / done * (of - step) if done else None
        self._line({"event": "progress", "message": message, "step": step, "of": of, "eta_s": eta_s})

    def note(self, text: str) -> None:
        """Something to read on the way; kept from the result."""
        if self._as_lines:
            self._line({"event": "note", "text": text})

    def result(self, value: Any) -> None:
        if self._as_lines:
            self._line({"event": "result", "value": value})
        else:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def error(self, error: ForgeError) -> None:
        if self._as_lines:
            told = {"code": error.code, "message": error.message, "fix": error.fix, "status": error.status}
            self._line({"event": "error", **told})
        else:
            sys.stderr.write(f"forge-evaluator: {error}\n")

    def _line(self, value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()
