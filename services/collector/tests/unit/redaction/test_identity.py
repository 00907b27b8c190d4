"""Numbers that their countries publish as examples, and the same with one digit wrong."""

import pytest

from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_common.contracts.domain import CaptureRules

USUAL = CaptureRules().classes()


def redact(text: str) -> object:
    return redacted(text, USUAL, Numbering())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("SSN 536-90-4399", "SSN 666-90-4399"),
        ("NHS number 943 476 5919", "NHS number 943 476 5918"),
        ("AB 12 34 56 C", "GB 12 34 56 C"),
        ("Steuer-ID 36574261809", "Steuer-ID 36574261890"),
        ("NIR 2 95 10 99 126 111 93", "NIR 2 95 10 99 126 111 94"),
        ("54362315K", "54362315Z"),
        ("X2482300W", "X2482300A"),
        ("RCCMNL83S18D969H", "RCCMNL83S18D969I"),
        ("BSN 111222333", "BSN 111222334"),
        ("85.07.30-033.28", "85.07.30-033.29"),
        ("390.533.447-05", "390.533.447-06"),
        ("2341 2341 2346", "2341 2341 2347"),
        ("SIN 123-456-782", "SIN 123-456-783"),
        ("PESEL 44051401359", "PESEL 44051401358"),
        ("880320-0016", "880320-0018"),
        ("131052-308T", "131052-308U"),
        ("756.9217.0769.85", "756.9217.0769.86"),
        ("S1234567D", "S1234567E"),
    ],
)
def test_a_national_id_is_known_by_its_form_and_its_checksum(right: str, wrong: str) -> None:
    assert "<NATIONAL_ID_1>" in str(redact(right))
    assert redact(wrong) == wrong


@pytest.mark.parametrize(
    "text", ["111222333", "44051401359", "total 123 456 782 in all", "order 36574261809"]
)
def test_a_bare_number_is_no_national_id_because_its_sum_is_right(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "The patient was seen. Client Name is required. Witness statements are attached.",
        "Respondent data, Name Date, Plaintiff's motion of 3 March 2021, section 4.2",
        "at 10 Downloads per Day in 5 Easy Steps",
    ],
)
def test_strict_domains_keep_prose_that_names_nobody(text: str) -> None:
    assert redacted(text, STRICTEST, Numbering()) == text
