"""Legacy completions, as an exchange keeps them."""

import json
from pathlib import Path

import pytest

from forge_collector.dialects.dialect import Unreadable
from forge_collector.dialects.openai.completions import Completions

RECORDED = Path(__file__).parents[3] / "recorded/openai/v1/completions"


@pytest.mark.parametrize("prompt", ["The capital of France is", ["The capital of France is"]])
def test_a_prompt_is_one_user_message_and_marked_as_raw(prompt: object) -> None:
    body = {
        "model": "m",
        "prompt": prompt,
        "suffix": ".",
        "max_tokens": 4,
        "user": "somebody",
        "stream": True,
    }

    asked = Completions().asked(json.dumps(body).encode())

    assert asked.messages == [{"role": "user", "content": "The capital of France is"}]
    assert asked.sampling == {"raw": True, "suffix": ".", "max_tokens": 4}
    assert (asked.model, asked.tools) == ("m", None)


def test_where_the_server_puts_a_template_around_it_the_prompt_is_not_raw() -> None:
    assert Completions(is_raw=False).asked(b'{"prompt":"x"}').sampling == {}


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (["a", "b"], "2 prompts"),
        ([1, 2, 3], "not text"),
        ([[1, 2]], "not text"),
        (None, "not text"),
        ([], "0 prompts"),
    ],
)
def test_what_is_not_one_text_is_unreadable_and_says_why(prompt: object, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        Completions().asked(json.dumps({"prompt": prompt}).encode())


def test_a_stream_is_read() -> None:
    reader = Completions().reader("text/event-stream")
    reader.feed((RECORDED / "stream.sse").read_bytes())

    answered = reader.answered()

    assert answered.message == {"role": "assistant", "content": " Paris, naïvement"}
    assert (answered.finish_reason, answered.complete, answered.model) == (
        "length",
        True,
        "gpt-3.5-turbo-instruct",
    )
    assert answered.usage == {"prompt_tokens": 5, "completion_tokens": 16}


def test_several_whole_choices_are_alternatives() -> None:
    reader = Completions().reader("application/json")
    choices = [
        {"text": "b", "index": 1, "finish_reason": "stop"},
        {"text": "", "index": 0, "finish_reason": "stop"},
    ]
    reader.feed(json.dumps({"choices": choices}).encode())

    answered = reader.answered()

    assert answered.message == {"role": "assistant", "content": ""}
    assert answered.alternatives == [{"role": "assistant", "content": "b"}]
