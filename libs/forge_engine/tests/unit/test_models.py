from __future__ import annotations

import pytest

from forge_engine.errors import BadRequest, Unsupported
from forge_engine.models import ChatMessage, OpenAIChatBody, duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("-1m", -60), (0, 0), (-1, -1), ("0", 0)],
)
def test_durations_are_read_as_go_writes_them(text, seconds):
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "5", "", "m5"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(BadRequest, match="invalid duration"):
        duration_s(text)


def test_text_parts_are_joined_and_other_parts_refused():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert ChatMessage(role="user", content=parts).text() == "a\nb"
    with pytest.raises(Unsupported, match="image_url"):
        ChatMessage(role="user", content=[{"type": "image_url"}]).text()


def test_max_completion_tokens_wins_over_max_tokens():
    body = OpenAIChatBody.model_validate({"model": "m", "max_tokens": 9, "max_completion_tokens": 3})

    assert body.options()["num_predict"] == 3


def test_what_an_openai_request_leaves_out_is_left_to_the_model():
    assert OpenAIChatBody.model_validate({"model": "m", "temperature": None}).options() == {}
