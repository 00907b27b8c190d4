"""What is sent to a model, and how what it says about failing is read."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from forge_collector.completion import A_DAY_S, ChatModel, delta_of, question, retry_after_s
from forge_common.contracts.base import utc_now
from forge_common.contracts.exchange import Message
from forge_common.errors import Invalid

MODEL = ChatModel("http://host:1/v1", "m")


def test_a_question_is_a_chat_in_openais_shape():
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        Message(role="developer", content="be brief"),
        Message(role="user", content=({"type": "text", "text": "a"}, {"type": "text", "text": "b"})),
        Message(role="assistant", content=None, tool_calls=(call,), thinking="secret thoughts"),
        Message(role="tool", content="found", tool_call_id="c1"),
    ]

    body = question(MODEL, messages, max_tokens=7, sampling={"stop": ["."]})

    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
    ]
    assert (body["model"], body["max_tokens"], body["stop"], body["stream"]) == ("m", 7, ["."], True)
    assert "tools" not in body


def test_openai_itself_is_asked_by_the_name_that_its_newer_models_know():
    body = question(ChatModel("https://api.openai.com/v1", "m"), [Message(role="user")], max_tokens=7)

    assert body["max_completion_tokens"] == 7
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/v1",
        "ftp://host/v1",
        "http:///v1",
        "https://me:pw@host/v1",
        "https://host/v1?key=1",
        "http://h:99999999/",
    ],
)
def test_a_url_that_could_not_be_kept_as_it_is_is_refused_and_not_repeated(url):
    with pytest.raises(Invalid) as refused:
        ChatModel.at(url, "m", None)

    assert "pw" not in str(refused.value)
    assert "FORGE_TEACHER_KEY" in str(refused.value)


def test_a_model_shows_its_host_and_never_its_key():
    model = ChatModel.at("https://host/openai/v1/", "m", "the-key")

    assert (model.url, model.upstream) == ("https://host/openai/v1", "https://host:443")
    assert "the-key" not in repr(model)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0), ("", 0), ("7", 7), ("0.5", 0.5), ("-3", 0), ("nan", 0), ("inf", A_DAY_S), ("1e9", A_DAY_S),
     ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_read_in_any_form_and_never_believed_beyond_a_day(value, seconds):
    assert retry_after_s(value) == seconds


def test_retry_after_as_a_date_is_so_many_seconds_from_now():
    assert 50 <= retry_after_s(format_datetime(utc_now() + timedelta(seconds=60), usegmt=True)) <= 60


@pytest.mark.parametrize(
    ("event", "delta"),
    [
        (b'{"choices":[{"index":0,"delta":{"content":"a"}}]}', ("a", "")),
        (b'{"choices":[{"delta":{"reasoning_content":"hm"}}]}', ("", "hm")),
        (b'{"choices":[{"delta":{"reasoning":"hm","content":"a"}}]}', ("a", "hm")),
        (b'{"choices":[{"index":1,"delta":{"content":"another"}}]}', ("", "")),
        (b'{"choices":[{"index":0,"delta":{"refusal":"no"}}]}', ("no", "")),
        (b'{"choices":[],"usage":{}}', ("", "")),
        (b'{"choices":[{"delta":null}]}', ("", "")),
        (b"[DONE]", ("", "")),
        (b"\xff", ("", "")),
    ],
)
def test_a_delta_is_the_first_choices_text_and_thinking(event, delta):
    assert delta_of(event) == delta
