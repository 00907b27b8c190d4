from __future__ import annotations

import math
import time

import pytest

from forge_common.contracts.exchange import Message
from forge_common.errors import Cancelled
from forge_engine.errors import RunnerFailed
from forge_engine.verify import greedy

pytestmark = pytest.mark.integration
ASK = [{"role": "user", "content": "hi"}]


def test_it_returns_tokens_text_and_log_probabilities_of_the_greedy_answer(ggufs):
    (answer,) = greedy(ggufs["hello"], [ASK])

    # 256 bytes, then the words letter by letter: "hello" is 259, " world" 264; the end token is the last of 284.
    assert answer.tokens == (259, 264, 283)
    assert answer.text == "hello world"
    assert all(-0.01 < logprob <= 0 for logprob in answer.logprobs)
    assert answer.prompt[-1] == ord("\n")


def test_an_adapter_is_applied(ggufs):
    (answer,) = greedy(ggufs["hello"], [ASK], adapter=ggufs["goodbye"])

    assert answer.text == "goodbye dog"


def test_several_conversations_are_answered_in_order_whatever_their_form(ggufs):
    prompts = [
        ASK,
        [
            Message(role="user", content="hi"),
            Message(role="assistant", content="x"),
            *map(Message.model_validate, ASK),
        ],
    ]

    short, long = greedy(ggufs["hello"], prompts)

    assert short.text == long.text == "hello world"
    assert len(long.prompt) > len(short.prompt)


def test_it_stops_at_max_tokens(ggufs):
    (answer,) = greedy(ggufs["endless"], [ASK], max_tokens=5)

    assert len(answer.tokens) == 5
    assert answer.text == "tick tocktick tocktick"


def test_tokens_that_end_inside_a_character_are_kept(ggufs):
    (answer,) = greedy(ggufs["broken-text"], [ASK])

    assert answer.tokens == (0xE2, 0x82, 259, 283)
    assert [math.isnan(logprob) for logprob in answer.logprobs] == [True, True, False, False]


def test_a_file_that_cannot_be_loaded_is_an_error_with_llama_cpps_reason(ggufs):
    with pytest.raises(RunnerFailed, match="incorrect shape"):
        greedy(ggufs["hello"], [ASK], adapter=ggufs["wide"])


def test_a_conversation_longer_than_the_context_is_an_error(ggufs):
    with pytest.raises(RunnerFailed, match="exceeds the available context"):
        greedy(ggufs["hello"], [[{"role": "user", "content": "x" * 3000}]])


def test_answers_that_are_called_off_end_within_seconds(ggufs):
    begun = time.monotonic()

    def check() -> None:
        if time.monotonic() > begun + 1:
            raise Cancelled("the run was cancelled")

    with pytest.raises(Cancelled):
        greedy(ggufs["endless"], [ASK] * 100_000, max_tokens=100, check=check)

    assert time.monotonic() < begun + 60  # of many minutes
