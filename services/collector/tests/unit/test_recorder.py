"""What a recorder makes of a request: one conversation's requests and replies speak of the same things by the same names."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_collector.dialects.dialect import Answered, Asked, JsonObject
from forge_collector.recorder import Context, Recorder, Timing
from forge_collector.redact import STRICTEST
from forge_collector.redaction.corpus.makers import MAKERS
from forge_collector.spool import Spool
from forge_common.contracts.base import utc_now
from forge_common.contracts.domain import RedactionClass
from forge_common.contracts.exchange import Exchange

PASSWORD = MAKERS["alnum32"](random.Random(3))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, limit_bytes=1 << 26, segment_bytes=1 << 16, fsync_s=0.001)
    yield spool
    spool.close()


def recorder(spool: Spool, **rules: frozenset[RedactionClass]) -> Recorder:
    return Recorder(
        spool,
        lambda: "coding",
        redaction=lambda domain: rules.get(domain, STRICTEST),
        max_bytes=1 << 20,
        later=lambda _: None,
    )


def said(role: str, content: str) -> JsonObject:
    return {"role": role, "content": content}


def exchange(recorder: Recorder, messages: list[JsonObject], answer: str, **context: str) -> Exchange:
    where = Context("ex_1", "openai", "http://up", **context)
    prompt = recorder.prompt(Asked([dict(message) for message in messages]), where)
    timing = Timing(utc_now(), 0.1, 0.2)
    record = recorder.record(where, prompt, Answered(said("assistant", answer)), 200, timing)
    return Exchange.model_validate_json(record.document)


def test_a_derived_conversation_keeps_its_placeholders_from_request_to_request(spool: Spool) -> None:
    ours = recorder(spool)
    opening = [said("user", "ann@mail.org asks")]
    first = exchange(ours, opening, "tell bob@mail.org")
    # The client leaves the answer out, so that the order of addresses is another one.
    later = [*opening, said("user", "then cy@mail.org"), said("user", "and bob@mail.org?")]

    second = exchange(ours, later, "bob@mail.org, cy@mail.org")

    assert first.conversation_id == second.conversation_id
    assert first.answer.content == "tell <EMAIL_2>"
    assert [m.content for m in second.messages] == ["<EMAIL_1> asks", "then <EMAIL_3>", "and <EMAIL_2>?"]
    assert second.answer.content == "<EMAIL_2>, <EMAIL_3>"


def test_a_derived_conversation_goes_on_as_it_began_where_its_client_repeats_everything(spool: Spool) -> None:
    ours = recorder(spool)
    opening = [said("user", "ann@mail.org asks")]
    exchange(ours, opening, "tell bob@mail.org")
    later = [
        *opening,
        said("assistant", "tell bob@mail.org"),
        said("user", "and cy@mail.org? the password is Tr0ub4dor&3x"),
    ]

    second = exchange(ours, later, "Tr0ub4dor&3x of bob@mail.org, dan@mail.org")
    third = exchange(ours, opening, "dan@mail.org")

    assert second.answer.content == "<PASSWORD_1> of <EMAIL_2>, <EMAIL_4>"
    assert third.answer.content == "<EMAIL_4>"


def test_a_password_is_known_in_the_reply_without_its_label(spool: Spool) -> None:
    kept = exchange(
        recorder(spool), [said("user", f'password = "{PASSWORD}"')], f"try psql -W, then {PASSWORD}"
    )

    assert kept.answer.content == "try psql -W, then <PASSWORD_1>"


def test_each_domain_is_redacted_by_its_own_rules(spool: Spool) -> None:
    ours = recorder(spool, coding=frozenset({RedactionClass.CONTACT}))
    talk = [said("user", "Patient: Ada Byron, ann@mail.org")]

    assert exchange(ours, talk, "ok").messages[0].content == "Patient: Ada Byron, <EMAIL_1>"
    assert exchange(ours, talk, "ok", domain="legal").messages[0].content == "Patient: <PERSON_1>, <EMAIL_1>"
