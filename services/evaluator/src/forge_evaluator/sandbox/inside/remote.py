"""Tests that are code: they call a candidate which is in another sandbox, and are never shown to it.

A call goes to the judge as `{"ask", "keywords"}`; what it led to comes back. Arguments that are no plain data end the tests
at once, with `{"unsendable"}`: then the judge may run both in one process. An answer that is none is the candidate's error:
it could else bring about by itself that both are run together.
"""

from __future__ import annotations

import builtins
import socket
from typing import Any

from forge_evaluator.sandbox.inside import frames, plain

ANSWER, TESTS = "<answer>", "<tests>"
_CANDIDATE = "candidate"
_FRAME_LIMIT = 2 * plain.MAX_BYTES


class NotPlain(BaseException):
    """Outside of Exception, so that no test takes it for the candidate's failure."""


class CandidateError(Exception):
    """What the candidate raised is of a type of its own, or what it answered is no plain data."""


def execute(code: str, file: str, namespace: dict[str, Any]) -> None:
    exec(compile(code, file, "exec", dont_inherit=True), namespace)  # noqa: S102 (what the walls are for)


def check(tests: str, candidate: Any, namespace: dict[str, Any]) -> None:
    namespace[_CANDIDATE] = candidate
    execute(tests, TESTS, namespace)
    if callable(namespace.get("check")):
        namespace["check"](candidate)


def test(judge: socket.socket, asked: dict[str, Any], namespace: dict[str, Any]) -> bytes:
    """Run the tests and tell how they went."""
    remote = Remote(judge)
    namespace[asked["entry"]] = remote
    try:
        check(asked["tests"], remote, namespace)
    except NotPlain as error:
        return plain.dump({"unsendable": message(error)})
    except BaseException as error:  # noqa: BLE001 (whatever they raise, they have not passed)
        _, line = place(error)
        told = {"raised": type(error).__name__[:80], "message": message(error), "line": line}
        if error is remote.raised:
            told |= {"by": _CANDIDATE, "line": remote.line}
        return plain.dump(told)
    return plain.dump({"value": None})


class Remote:
    """Stands for the candidate. `raised` is the last error that it led to, `line` where in the candidate's code."""

    def __init__(self, judge: socket.socket) -> None:
        self._judge = judge
        self.raised: BaseException | None = None
        self.line: int | None = None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            sent = {name: plain.encode(value) for name, value in keywords.items()}
            asked = plain.dump({"ask": plain.encode(list(arguments)), "keywords": sent})
        except (plain.Unsendable, RecursionError) as error:
            raise NotPlain(str(error)) from None
        frames.send(self._judge, asked)
        return self._read(frames.receive(self._judge, _FRAME_LIMIT), arguments)

    def _read(self, told: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
        if "unsendable" in told:
            self.raised, self.line = CandidateError(told["unsendable"]), None
            raise self.raised
        if "raised" in told:
            self.raised, self.line = _error(told["raised"], told["message"]), told["line"]
            raise self.raised
        if told["args"]:
            for at, after in enumerate(plain.decode(told["args"])):
                _become(arguments[at], after)
        return plain.decode(told["value"])


def _error(name: str, text: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # UnicodeDecodeError and the like take more
            pass
    return CandidateError(f"{name}: {text}")


def _become(argument: Any, after: Any) -> None:
    """Change an argument as the candidate has changed its own copy."""
    if type(argument) is not type(after):
        return
    if type(argument) is list:
        argument[:] = after
    elif type(argument) in (dict, set):
        argument.clear()
        argument.update(after)


def message(error: BaseException) -> str:
    try:
        return str(error)[:400]
    except BaseException:  # noqa: BLE001 (a hostile __str__)
        return ""


def place(error: BaseException) -> tuple[str | None, int | None]:
    """The last line of the candidate's own code, or the tests', that the error passed through."""
    if isinstance(error, SyntaxError):
        return error.filename, error.lineno
    found: tuple[str | None, int | None] = (None, None)
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in (ANSWER, TESTS):
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found
