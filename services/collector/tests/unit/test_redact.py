"""What happens to a value that holds something: it stays what it was, without what must go."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.redact import STRICTEST, Numbering, Numberings, Redactor, redacted
from forge_collector.redaction.corpus.makers import MAKERS
from forge_common.contracts.domain import CaptureRules, RedactionClass

USUAL = CaptureRules().classes()
RNG = random.Random(5)


def make(kind: str) -> str:
    return MAKERS[kind](RNG)


def redact(value: object, classes: frozenset[RedactionClass] = USUAL) -> object:
    return redacted(value, classes, Numbering())  # type: ignore[arg-type]


def test_a_value_without_anything_to_hide_is_returned_itself() -> None:
    value = {"messages": [{"role": "user", "content": "def add(a, b): return a + b"}], "n": 1}

    assert redact(value) is value


def test_what_was_given_is_not_changed() -> None:
    value = [{"content": "ann@mail.org"}]

    assert redact(value) == [{"content": "<EMAIL_1>"}]
    assert value == [{"content": "ann@mail.org"}]


def test_strings_are_redacted_wherever_they_stand() -> None:
    key, mail = make("github token"), make("email")
    value = {"a": [{"text": f"use {key}\n"}, 7, None, True, 1.5], mail: {"deep": [[f"<{mail}>"]]}}

    assert redact(value) == {
        "a": [{"text": "use <API_KEY_1>\n"}, 7, None, True, 1.5],
        "<EMAIL_1>": {"deep": [["<<EMAIL_1>>"]]},
    }


def test_a_field_that_is_named_like_a_secret_loses_its_whole_value() -> None:
    password = make("password") + "\"'x"

    assert redact({"db_password": password}) == {"db_password": "<PASSWORD_1>"}


def test_a_name_and_its_value_may_be_two_fields() -> None:
    value = [{"name": "X-Api-Key", "value": make("alnum32")}, {"name": "Accept", "value": "application/json"}]

    assert redact(value) == [
        {"name": "X-Api-Key", "value": "<TOKEN_1>"},
        {"name": "Accept", "value": "application/json"},
    ]


def test_numbers_are_redacted_too() -> None:
    value = {
        "phone": int(make("phone, bare digits")),
        "card": int(make("card, bare")),
        "total": 1999,
        "at": 1700000000000,
    }

    assert redact(value) == {"phone": "<PHONE_1>", "card": "<CARD_1>", "total": 1999, "at": 1700000000000}


ARGUMENTS = [
    lambda key: json.dumps({"cmd": f'curl -H "X: {key}"', "n": 1.50, "ok": True}),
    lambda key: json.dumps({"files": [{"text": f'KEY="{key}"\n'}]}, separators=(",", ":")),
    lambda key: json.dumps({"body": json.dumps({"inner": f"a\t{key}\\"})}, indent=2),
    lambda key: f'{{"big": 123456789012345678901234567890, "f": 1e5, "u": "\\u00e9", "k": "{key}"}}',
]


@pytest.mark.parametrize("form", ARGUMENTS)
def test_json_in_a_string_stays_json_and_is_otherwise_as_it_was(form: object) -> None:
    key = make("openai key")
    text = form(key)  # type: ignore[operator]

    clean = redact(text)

    assert clean == text.replace(key, "<API_KEY_1>")
    json.loads(str(clean))


def test_a_number_in_json_in_a_string_becomes_a_string() -> None:
    clean = redact(f'{{"phone": {make("phone, bare digits")}, "n": 3}}')

    assert json.loads(str(clean)) == {"phone": "<PHONE_1>", "n": 3}


HARMLESS = st.text('ab {}[]"\\:,\n', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**7), 10**7) | st.floats(allow_nan=False) | HARMLESS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(HARMLESS, values, max_size=4),
)


@given(VALUES)
def test_what_stands_around_a_find_stays_as_it_was(value: object) -> None:
    assert redact([value, "ann@mail.org", {"a": value}]) == [value, "<EMAIL_1>", {"a": value}]


def test_json_that_is_no_json_is_redacted_as_text() -> None:
    assert redact("{not json: ann@mail.org}") == "{not json: <EMAIL_1>}"
    assert redact("[" * 5000 + "ann@mail.org" + "]" * 5000) == "[" * 5000 + "<EMAIL_1>" + "]" * 5000


def test_the_same_value_is_the_same_placeholder_and_another_is_another() -> None:
    assert (
        redact("ann@mail.org wrote to bob@mail.org; ann@mail.org waits")
        == "<EMAIL_1> wrote to <EMAIL_2>; <EMAIL_1> waits"
    )


def test_what_a_label_betrayed_is_found_without_it_and_in_the_reply() -> None:
    password = make("alnum32")
    redactor = Redactor(USUAL, Numbering())

    asked = redactor(f'password = "{password}"\nWhy is {password} refused?')
    answered = redactor({"content": f"{password} has expired. x{password} is another."})

    assert asked == 'password = "<PASSWORD_1>"\nWhy is <PASSWORD_1> refused?'
    assert answered == {"content": f"<PASSWORD_1> has expired. x{password} is another."}


def test_secrets_go_whatever_a_domain_says() -> None:
    key, mail = make("stripe key"), make("email")

    assert redact(f"{key} {mail}", frozenset()) == f"<API_KEY_1> {mail}"


@pytest.mark.parametrize(
    ("group", "text", "clean"),
    [
        ("contact", "ann@mail.org", "<EMAIL_1>"),
        ("network", "ping 91.12.4.77", "ping <IP_1>"),
        ("identity", "born 12.03.1961 in Ulm", "born <BIRTH_DATE_1> in Ulm"),
        ("person", "Patient: Ada Byron", "Patient: <PERSON_1>"),
    ],
)
def test_each_class_is_redacted_only_where_it_is_asked_for(group: str, text: str, clean: str) -> None:
    one = RedactionClass(group)

    assert redact(text, frozenset({one})) == clean
    assert redact(text, STRICTEST - {one}) == text


def test_a_conversation_keeps_its_placeholders_from_turn_to_turn() -> None:
    numberings = Numberings()
    first = redacted("ann@mail.org", USUAL, numberings.of("c1"))
    other = redacted("bob@mail.org", USUAL, numberings.of("c2"))

    again = redacted("bob@mail.org, ann@mail.org", USUAL, numberings.of("c1"))

    assert (first, other, again) == ("<EMAIL_1>", "<EMAIL_1>", "<EMAIL_2>, <EMAIL_1>")


def test_numberings_merge_where_they_say_the_same_of_what_both_know() -> None:
    ours, later = Numbering(), Numbering()
    redacted("ann@mail.org, bob@mail.org", USUAL, ours)
    redacted("ann@mail.org, bob@mail.org, cy@mail.org", USUAL, later)

    assert ours.merge(later)
    assert redacted("cy@mail.org dan@mail.org", USUAL, ours) == "<EMAIL_3> <EMAIL_4>"


@pytest.mark.parametrize("text", ["bob@mail.org", "ann@mail.org, cy@mail.org, bob@mail.org"])
def test_numberings_that_differ_learn_nothing_of_one_another(text: str) -> None:
    ours, other = Numbering(), Numbering()
    redacted("ann@mail.org, bob@mail.org", USUAL, ours)
    redacted(text, USUAL, other)

    assert not ours.merge(other)
    assert redacted("dan@mail.org, bob@mail.org", USUAL, ours) == "<EMAIL_3>, <EMAIL_2>"


def test_conversations_that_were_not_spoken_of_for_long_are_forgotten() -> None:
    numberings = Numberings(limit=2)
    first = numberings.of("a")
    numberings.of("b")
    numberings.of("c")

    assert numberings.of("a") is not first


def test_no_numbering_keeps_the_value_in_memory() -> None:
    numbering = Numbering()
    redacted("ann@mail.org", USUAL, numbering)

    assert "ann@mail.org" not in repr([numbering._names, numbering._counts])


def test_many_threads_may_redact_at_once() -> None:
    texts = [f"{make('github token')} {make('email')} {i}" for i in range(400)]

    with ThreadPoolExecutor(8) as pool:
        clean = list(pool.map(redact, texts))

    assert clean == [f"<API_KEY_1> <EMAIL_1> {i}" for i in range(400)]
