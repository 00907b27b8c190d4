"""Records that come over the API: filled in, redacted, and the same content is the same exchange."""

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
