"""One task: run the candidate's code, then answer calls with plain data until the judge hangs up.

It never sees an expected value. Whatever the candidate breaks in here, it breaks only its own answers.
"""

from __future__ import annotations

import io
import os
import socket
import sys
from typing import Any

from forge_evaluator.sandbox.inside import frames, plain

# Made beforehand: when memory has run out there may be none left to make it.
_OUT_OF_MEMORY = plain.dump({"raised": "MemoryError", "message": ""})


def serve(judge: socket.socket) -> None:
    """Answer the judge's frames: `{"code"}` first, then `{"call", "args"}`. Returns when the judge hangs up."""
    namespace: dict[str, Any] = {"__name__": "answer", "__builtins__": __builtins__}
    while True:
        try:
            asked = frames.receive(judge, 4 * plain.MAX_BYTES)
        except (frames.Closed, OSError):
            return
        _answer(judge, asked, namespace)


def _answer(judge: socket.socket, asked: dict[str, Any], namespace: dict[str, Any]) -> None:
    try:
        data = plain.dump(_perform(asked, namespace))
    except MemoryError:
        data = _OUT_OF_MEMORY
    except BaseException as error:  # noqa: BLE001 (SystemExit and KeyboardInterrupt are the candidate's too)
        data = _raised(error)
    frames.send(judge, data)


def _perform(asked: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    if "code" in asked:
        exec(compile(asked["code"], "<answer>", "exec", dont_inherit=True), namespace)  # noqa: S102 (what the walls are for)
        return {"value": None}
    value = namespace[asked["call"]](*plain.decode(asked["args"]))
    try:
        return {"value": plain.encode(value)}
    except (plain.Unsendable, RecursionError) as error:
        return {"unsendable": str(error)[:200]}


def _raised(error: BaseException) -> bytes:
    if isinstance(error, plain.Unsendable):
        return plain.dump({"unsendable": str(error)[:200]})
    try:
        message = str(error)[:400]
    except BaseException:  # noqa: BLE001 (a hostile __str__)
        message = ""
    line = _line(error)
    return plain.dump({"raised": type(error).__name__[:80], "message": message, "line": line})


def _line(error: BaseException) -> int | None:
    """The last line of the candidate's own code that the error passed through."""
    if isinstance(error, SyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<answer>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def silence() -> None:
    """Standard streams lead nowhere; every other descriptor but 3, the judge's, is closed."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    os.closerange(4, 4096)
