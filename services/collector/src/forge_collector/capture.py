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
from forge_collector.dialects.dialect import Answered, AnswerReader, Form, NoExchange, Unreadable
from forge_collector.recorder import Context, Prompt, Record, Recorder, Timing
from forge_common.contracts.base import utc_now
from forge_common.http.proxy import AbortReason, Header, Held, RequestHead
from forge_common.logging import get_logger

log = get_logger()

P = ParamSpec("P")
Watching = Callable[Concatenate["Capture", P], None]

OK = 200
NO_EXCHANGE = "no_exchange"
# What is larger is parsed and redacted in a thread, so that other streams do not wait for it. Of a stream this is
# another size: its events carry a few characters in a few hundred bytes.
LARGE, LARGE_STREAM = 32 * 1024, 256 * 1024
# What is larger when it is whole costs milliseconds even to write down.
HUGE = 1024 * 1024


def harmless(method: Watching[P]) -> Watching[P]:
    """What goes wrong inside ends this copy, by name; after that nothing more is looked at."""

    @functools.wraps(method)
    def guarded(self: Capture, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.trouble:
            return
        try:
            method(self, *args, **kwargs)
        except NoExchange as error:
            self.give_up(error.code)
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
        self._size = self._asked_size = 0
        self._decode_request: Decode | None = None
        self._prompt: Prompt | Future[Prompt] | None = None
        self._status = 0
        self._first_byte_s: float | None = None
        self._reader: AnswerReader | None = None
        self._decode: Decode | None = None
        self._large = LARGE
        self._total_s = 0.0
        self._record: Record | None = None
        self._is_finished = False
        self.trouble: str | None = None

    @harmless
    def on_request_head(self, head: RequestHead) -> None:
        self._awaited = head.content_length
        self._decode_request = make_decoder(head.get(b"content-encoding"), self._recorder.max_bytes)

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
        self._status, self._asked_size = status, self._size
        if status == OK:
            fields = {name.lower(): value for name, value in headers}
            content_type = fields.get(b"content-type", b"").decode("latin-1")
            self._reader = self._form.reader(content_type)
            self._large = LARGE if content_type.startswith("application/json") else LARGE_STREAM
            self._decode = make_decoder(fields.get(b"content-encoding"), self._recorder.max_bytes)

    def on_response_body(self, data: bytes) -> Held | None:
        if self._reader is None or self._is_finished:
            return None
        self._read_answer(data)
        # Clients leave at a stream's own end mark, before the transfer's: so the exchange must be safe by then.
        return self._finish(self._answered) if self._reader.is_done else None

    def before_last_byte(self) -> Held | None:
        return self._finish(self._answered)

    def on_abort(self, reason: AbortReason) -> None:
        if self._is_finished:
            return
        if self._reader is None:
            if isinstance(self._prompt, Future):
                self._prompt.cancel()
            self._is_finished, self._prompt, self._body = True, None, []
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

    def _finish(self, answered: Callable[[], Answered]) -> Held | None:
        if self._is_finished:
            return None
        self._read_prompt()
        self._is_finished = True
        self._total_s = time.monotonic() - self._started
        if self._takes_long() and not self.trouble:
            return self._recorder.aside(self._size, lambda: self._write_down(answered), self._settle)
        self._write_down(answered)
        return self._settle()

    def _takes_long(self) -> bool:
        is_waiting = isinstance(self._prompt, Future) and not self._prompt.done()
        return is_waiting or self._size - self._asked_size > self._large or self._size > HUGE

    @harmless
    def _write_down(self, answered: Callable[[], Answered]) -> None:
        prompt = self._prompt.result() if isinstance(self._prompt, Future) else self._prompt
        assert prompt is not None
        timing = Timing(self._captured_at, self._first_byte_s, self._total_s)
        self._record = self._recorder.record(self._context, prompt, answered(), self._status, timing)

    def _settle(self) -> Held | None:
        """In the event loop, as all that counts and appends."""
        record, self._record = self._record, None
        # Megabytes perhaps, while the reply still trickles to a slow client.
        self._prompt = self._reader = None
        if record is not None:
            return self._recorder.keep(record)
        if self.trouble == NO_EXCHANGE:
            self._recorder.stats.unanswered += 1
        else:
            self._recorder.lose(self.trouble or "capture_failed", self._context)
        return None

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
        if self._prompt is not None or self._is_finished:
            return
        if self._size > LARGE or self._decode_request or not self._recorder.is_warm:
            self._prompt = self._recorder.lane(self._size).submit(self._take_prompt)
        else:
            self._prompt = self._take_prompt()

    def _take_prompt(self) -> Prompt:
        # Nobody keeps the body, and what it becomes on the way, longer than it takes to read it.
        return self._recorder.prompt(self._form.asked(self._take_body()), self._context)

    def _take_body(self) -> bytes:
        body, self._body = b"".join(self._body), []
        return self._decode_request(body) if self._decode_request else body

    def _measure(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._recorder.max_bytes:
            raise TooLarge("the exchange is larger than what is kept")


def _nothing(*, complete: bool) -> Answered:
    return Answered(message={"role": "assistant", "content": None}, complete=complete)
