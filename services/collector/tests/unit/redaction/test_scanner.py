"""The scanner finds what each rule finds by itself, in time that grows with the text alone."""

import gc
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_collector.redaction.corpus.documents import SETS, clean, documents
from forge_collector.redaction.scanner import RULES, scanner

HOSTILE = [
    "a", "1 ", "://::::@@@@", "-----BEGIN PRIVATE " + "KEY-----", "-----BEGIN PRIVATE " + "KEY-----\nMIIEvAIBADANBgkqhkiG9w0B",
    "password=", 'password="', "password=\"'`\\\"", "token: ", "the token is the token ", "eyJhbGciOiJI.", "a@a.", "-",
    "0123456789", "login(a,", "AK" + "IAABCDEFGHIJKLMNOP ", "sk-", "DE89", "Patient: Ada ", "12 Aa ", "\\", '"', "2001:", "1.2.3.4.",
    "sid=", "API_KEY=", "Bearer ", "<password>", 'token "value":', "born ", "tel 1 ", '"password": "x\\" \'', "{", '{"a":',
    "password</b><b>+\n", 'connect("', 'connect("a1:b=', "-U a%", "openssl enc -k ", "]:587 a:", "TRUE\t1\ta\t", '"a".toCharArray', 'pass, <<"',
    "12 is your ", "a1 as the password ", "vpn ana / ", "[10:15] Ada Byron", "Ada de la Byron\nBorn ", "GRANTOR: Ada van ", "Dear Ada Byron ",
    "name,mail\nAda,a@b.c\n", "insert into a (name, mail) values ('a','b'),", "recovery codes: ab12-cd34 ", "- 1. ", "seed: abcdef ", "mysql -p",
    "otp ABCD EFGH ", "Am Weg 5, 12345 Ulm ", "12 rue de la ", "1 Main St, Aa, ", "between Ada Byron and ", "A_KEY=", "$2b$10$", "\\u00e9", "\\t",
]  # fmt: skip


def one_by_one(text: bytes) -> set[tuple[int, int]]:
    return {span for rule in RULES for span in rule.spans(text, 0, len(text))}


def covers(text: bytes, spans: set[tuple[int, int]]) -> bool:
    found = scanner().spans(text, STRICTEST)
    return all(any(s.start <= start and end <= s.end for s in found) for start, end in spans)


@pytest.mark.integration
@pytest.mark.parametrize("which", SETS)
def test_triggers_miss_nothing_that_patterns_find(which: str) -> None:
    for document in documents(which, copies=1):
        text = document.text.encode()
        assert covers(text, one_by_one(text)), document.name


@pytest.mark.parametrize("which", ["clean", "clean_third", "clean_fourth", "clean_fifth"])
def test_triggers_miss_nothing_in_clean_files_either(which: str) -> None:
    for name, text in clean(which).items():
        assert covers(text.encode(), one_by_one(text.encode())), name


PIECES = st.sampled_from(
    [
        "password",
        "=",
        " ",
        '"',
        "'",
        "\n",
        "token",
        ": ",
        "Aa1",
        "x" * 9,
        "@",
        "mail.org",
        "7",
        "192.0.43.8",
        "-",
        "\\n",
        "é",
        "://",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
@example("password@ passwordpasswordpasswordmail.org")
@example("\\n@mail.org=é")
def test_any_text_is_searched_where_its_triggers_say(text: str) -> None:
    data = text.encode()

    assert covers(data, one_by_one(data))


def test_spans_are_in_order_and_apart() -> None:
    for document in documents("planted", copies=1):
        spans = scanner().spans(document.text.encode(), STRICTEST)
        assert all(a.end <= b.start for a, b in pairwise(spans))


def cpu_s(text: str) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    redacted(text, STRICTEST, Numbering())
    gc.enable()
    return time.process_time() - started


def takes_at_most(limit_s: float, text: str) -> bool:
    """In one of three tries: what else the machine does only ever adds."""
    return any(cpu_s(text) <= limit_s for _ in range(3))


def grows_with_the_text_alone(seed: str) -> bool:
    small, large = (seed * (size // len(seed)) for size in (50_000, 400_000))
    # Eight times the text: quadratic time would be 64 times as long.
    return takes_at_most(24 * min(cpu_s(small) for _ in range(3)) + 0.1, large)


@pytest.mark.integration
@pytest.mark.parametrize("seed", HOSTILE)
def test_hostile_texts_take_linear_time(seed: str) -> None:
    assert grows_with_the_text_alone(seed)


@pytest.mark.integration
def test_megabytes_of_code_take_linear_time() -> None:
    # Copies of all that was read so far, one for each name of a secret, only show at this size.
    code = "def load(path, key=None):\n    token = key or DEFAULT\n    rows = [row, key, path]\n"
    small, large = (code * (size // len(code)) for size in (500_000, 4_000_000))

    assert takes_at_most(16 * min(cpu_s(small) for _ in range(3)), large)


@pytest.mark.integration
@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=5).map("".join))
def test_mixtures_of_hostile_texts_take_linear_time(seed: str) -> None:
    assert grows_with_the_text_alone(seed)
