"""One task: run the candidate's code, then answer calls with plain data until the judge hangs up.

It never sees an expected value. Whatever the candidate breaks in here, it breaks only its own answers.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from forge_evaluator.sandbox.inside import frames, plain, remote

# Made beforehand: when memory has run out there may be none left to make it.
_OUT_OF_MEMORY = plain.dump({"raised": "MemoryError", "message": ""})


def serve(judge: socket.socket) -> None:
    """Answer the judge's frames until it hangs up: `{"code"}` first, then one of

    `{"call", "args", "keywords"}`: a call of the candidate;
    `{"tests", "entry"}`: tests that are code, whose candidate is elsewhere and asked through the judge;
    `{"together", "entry", "nonce"}`: tests that are code and the candidate in this one process.
    """
    namespace: dict[str, Any] = {"__name__": "answer", "__builtins__": __builtins__}
    while True:
        try:
            asked = frames.receive(judge, 4 * plain.MAX_BYTES)
        except (frames.Closed, OSError):
            return
        if "tests" in asked:
            frames.send(judge, remote.test(judge, asked, namespace))
        else:
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
        remote.execute(asked["code"], asked.get("file", remote.ANSWER), namespace)
        return {"value": None}
    if "together" in asked:
        remote.check(asked["together"], namespace[asked["entry"]], namespace)
        return {"value": asked["nonce"]}
    return _call(asked, namespace)


def _call(asked: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    arguments = plain.decode(asked["args"])
    keywords = {name: plain.decode(value) for name, value in asked.get("keywords", {}).items()}
    value = namespace[asked["call"]](*arguments, **keywords)
    try:
        told = {"value": plain.encode(value)}
    except (plain.Unsendable, RecursionError) as error:
        return {"unsendable": str(error)[:200]}
    if "keywords" in asked:
        told["args"] = _afterwards(arguments, asked["args"])
    return told


def _afterwards(arguments: list[Any], before: list[Any]) -> list[Any] | None:
    """The arguments, where the call has changed one: tests may look at what they passed."""
    try:
        after = plain.encode(arguments)
    except (plain.Unsendable, RecursionError):
        return None
    return after if after != before else None


def _raised(error: BaseException) -> bytes:
    if isinstance(error, plain.Unsendable):
        return plain.dump({"unsendable": str(error)[:200]})
    file, line = remote.place(error)
    told = {"raised": type(error).__name__[:80], "message": remote.message(error), "line": line, "file": file}
    return plain.dump(told)


def silence(building: int, keep: int = -1) -> int:
    """Standard error leads nowhere, as the other streams do already. Closed are all descriptors but 3, the judge's, `keep`,

    and `building`, which is returned under its new number.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    building = os.dup2(building, 4)
    os.closerange(5, keep if keep > 4 else 5)
    os.closerange(max(keep, 4) + 1, 4096)
    return building
