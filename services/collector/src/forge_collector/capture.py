"""The tap: watches one exchange pass by, and has it recorded before the reply's last byte leaves.

It sees copies only. Whatever goes wrong in here is counted and costs the copy, never the traffic.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Concatenate, ParamSpec

from forge_collector.decoding import Decode, make_decoder
from forge_collector.dialects.dialect import Answered, AnswerReader, Form, Unreadable
from forge_collector.recorder import Context, Prompt, Recorder, Timing
from forge_common.contracts.base import utc_now
from forge_common.http.proxy import AbortReason, Header, RequestHead
from forge_common.logging import get_logger

log = get_logger()

P = ParamSpec("P")
Watching = Callable[Concatenate["Capture", P], None]

OK = 200
# A larger request is parsed and redacted in a thread, so that other streams do not wait for it.
BIG_BODY = 256 * 1024


def harmless(method: Watching[P]) -> Watching[P]:
    """What goes wrong inside ends this copy, by name; after that nothing more is looked at."""

    @functools.wraps(method)
    def guarded(self: Capture, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.trouble:
            return
        try:
            method(self, *args, **kwargs)
        except Unreadable as error:
            log.info("exchange.unreadable", reason=error.message)
            self.give_up(error.code)
        except Exception:
            log.exception("capture.failed")
            self.give_up("capture_failed")

    return guarded


class TooLarge(Unreadable):
    """More than the collector is told to keep of one exchange."""


class Capture:
    """The tap of one exchange."""

    def __init__(self, recorder: Recorder, form: Form, context: Context) -> None:
        self._recorder, self._form, self._context = recorder, form, context
        self._captured_at, self._started = utc_now(), time.monotonic()
        self._body: list[bytes] = []
        self._awaited: int | None = None
        self._size = 0
        self._decode_request: Decode | None = None
        self._prompt: Prompt | Future[Prompt] | None = None
        self._status = 0
        self._first_byte_s: float | None = None
        self._reader: AnswerReader | None = None
        self._decode: Decode | None = None
        self._is_finished = False
        self.trouble: str | None = None

    @harmless
    def on_request_head(self, head: RequestHead) -> None:
        self._awaited = head.content_length
        self._decode_request = make_decoder(head.get(b"content-encoding"))

    @harmless
    def on_request_body(self, data: bytes) -> None:
        self._measure(data)
        self._body.append(data)
        if self._awaited is not None and self._size >= self._awaited:
            # Not now: the bytes are on their way to the upstream first, and this is done while it thinks.
            self._recorder.later(self._read_prompt)

    @harmless
    def on_response_head(self, status: int, headers: Sequence[Header]) -> None:
        self._read_prompt()
        self._first_byte_s = time.monotonic() - self._started
        self._status = status
        if status == OK:
            fields = {name.lower(): value for name, value in headers}
            self._reader = self._form.reader(fields.get(b"content-type", b"").decode("latin-1"))
            self._decode = make_decoder(fields.get(b"content-encoding"))

    def on_response_body(self, data: bytes) -> None:
        if self._reader is not None:
            self._read_answer(data)
            # Clients leave at a stream's own end mark, before the transfer's: so the exchange must be safe by then.
            if self._reader is not None and self._reader.is_done:
                self._finish(self._answered)

    def before_last_byte(self) -> None:
        self._finish(self._answered)

    def on_abort(self, reason: AbortReason) -> None:
        if self._reader is None:
            self._recorder.stats.unanswered += 1
            log.info("exchange.unanswered", reason=reason, exchange_id=self._context.exchange_id)
        else:
            self._finish(self._broken_off)

    @harmless
    def _read_answer(self, data: bytes) -> None:
        assert self._reader is not None
        data = self._decode(data) if self._decode else data
        self._measure(data)
        self._reader.feed(data)

    def give_up(self, reason: str) -> None:
        self.trouble, self._body = reason, []

    def _finish(self, answered: Callable[[], Answered]) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        self._keep(answered)
        if self.trouble:
            self._recorder.lose(self.trouble, self._context)

    @harmless
    def _keep(self, answered: Callable[[], Answered]) -> None:
        self._read_prompt()
        prompt = self._prompt.result() if isinstance(self._prompt, Future) else self._prompt
        assert prompt is not None
        timing = Timing(self._captured_at, self._first_byte_s, time.monotonic() - self._started)
        self._recorder.keep(self._context, prompt, answered(), self._status, timing)

    def _answered(self) -> Answered:
        # A refusal of the upstream is an exchange without an answer: its status says so, and it is never trained on.
        return self._reader.answered() if self._reader else _nothing(complete=True)

    def _broken_off(self) -> Answered:
        assert self._reader is not None
        try:
            return self._reader.answered()
        except Unreadable:
            return _nothing(complete=False)

    @harmless
    def _read_prompt(self) -> None:
        if self._prompt is not None:
            return
        body, self._body = b"".join(self._body), []
        if len(body) > BIG_BODY:
            self._prompt = self._recorder.pool.submit(self._prompt_of, body)
        else:
            self._prompt = self._prompt_of(body)

    def _prompt_of(self, body: bytes) -> Prompt:
        asked = self._form.asked(self._decode_request(body) if self._decode_request else body)
        return self._recorder.prompt(asked, self._context.conversation or asked.conversation)

    def _measure(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._recorder.max_bytes:
            raise TooLarge("the exchange is larger than what is kept")


def _nothing(*, complete: bool) -> Answered:
    return Answered(message={"role": "assistant", "content": None}, complete=complete)
