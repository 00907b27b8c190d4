"""Records that come over the API: filled in, redacted, and the same content is the same exchange."""

import pytest

from forge_collector.dialects.dialect import Unreadable
from forge_collector.imports import read_line
from forge_collector.ingest import ExchangeIn, fill_in


def given(**fields: object) -> ExchangeIn:
    return ExchangeIn.model_validate(
        {"messages": [{"role": "user", "content": "hi"}], "answer": {"role": "assistant", "content": "ho"}}
        | fields
    )


def test_what_is_left_out_is_filled_in() -> None:
    exchange = fill_in(given(), "coding")

    assert (exchange.domain, exchange.origin, exchange.finish_reason) == ("coding", "ingest", "stop")
    assert exchange.conversation_id.startswith("conv_")


def test_without_an_id_the_content_names_the_exchange() -> None:
    first, again = fill_in(given(), "coding"), fill_in(given(), "coding")
    other = fill_in(given(answer={"role": "assistant", "content": "hm"}), "coding")

    assert first.id == again.id != other.id


def test_an_id_that_is_given_is_kept() -> None:
    assert fill_in(given(id="ex_mine"), "coding").id == "ex_mine"


def test_ingested_text_is_redacted_like_any_other() -> None:
    exchange = fill_in(given(messages=[{"role": "user", "content": "I am ann@mail.org"}]), "coding")

    assert exchange.messages[0].content == "I am <EMAIL_1>"


@pytest.mark.parametrize(
    ("line", "prompt", "answer"),
    [
        (b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}', "a", "b"),
        (b'{"id":"pair_1","prompt":"a","claude_response":"b","local_response":"c"}', "a", "b"),
        (b'{"prompt":"a","claude_response":null,"local_response":"c","local_model":"m"}', "a", "c"),
        (b'{"prompt":"a","response":"b"}', "a", "b"),
        (b'{"prompt":"a","completion":"b"}', "a", "b"),
    ],
)
def test_records_of_each_form_are_read(line: bytes, prompt: str, answer: str) -> None:
    imported = read_line(line)

    assert (imported.messages[-1]["content"], imported.answer["content"]) == (prompt, answer)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"prompt":null,"response":"b"}',
        b'{"prompt":["a"],"response":"b"}',
        b'{"prompt":"a"}',
        b'{"messages":[{"role":"user","content":"a"}]}',
        b'{"messages":[]}',
    ],
)
def test_records_of_no_form_are_refused_by_name(line: bytes) -> None:
    with pytest.raises(Unreadable):
        read_line(line)
