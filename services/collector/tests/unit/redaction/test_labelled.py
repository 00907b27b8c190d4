"""Every syntax crossed with every name and every form of value; the same with what only stands where a secret would."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_collector.redact import STRICTEST, Numbering, redacted
from forge_collector.redaction import labels
from forge_collector.redaction.corpus import carriers
from forge_collector.redaction.corpus.carriers import Probe
from forge_collector.redaction.corpus.documents import wrapped

PRODUCTS = {
    "passwords": lambda rng: carriers.assigned(rng, carriers.PASSWORD_NAMES, carriers.PASSWORDS),
    "keys": lambda rng: carriers.assigned(rng, carriers.KEY_NAMES, carriers.KEYS),
    "sentences": carriers.written,
}


def is_gone(value: str, text: str) -> bool:
    return not any(value[i : i + 8] in text for i in range(max(len(value) - 8, 0) + 1))


def missed(rng: random.Random, probes: list[Probe]) -> list[str]:
    """The probes whose value is left, each in one of the wrappings of traffic."""
    left = []
    for probe in probes:
        wrapping, text = rng.choice(list(wrapped(f"first line\n{probe.text}\nlast line").items()))
        if not is_gone(probe.value, str(redacted(text, STRICTEST, Numbering()))):
            left.append(f"{probe.carrier}, {probe.label}, {probe.form}, {wrapping}")
    return left


@pytest.mark.integration  # seconds of CPU
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("seed", [11, 12])
def test_a_labelled_value_goes_whatever_the_syntax_the_language_and_the_form(product: str, seed: int) -> None:
    rng = random.Random(seed)
    probes = list(PRODUCTS[product](rng))

    left = missed(rng, probes)

    assert len(left) <= 0.01 * len(probes), left


@pytest.mark.integration  # seconds of CPU
@pytest.mark.parametrize("product", PRODUCTS)
def test_no_syntax_lives_on_the_others(product: str) -> None:
    rng = random.Random(13)
    probes = list(PRODUCTS[product](rng))

    left = [entry.split(",")[0] for entry in missed(rng, probes)]

    assert {carrier: left.count(carrier) for carrier in left if left.count(carrier) > 3} == {}


@pytest.mark.parametrize("seed", [11, 12])
def test_what_only_stands_where_a_secret_would_stays(seed: int) -> None:
    rng = random.Random(seed)
    probes = list(carriers.harmless(rng))

    taken = [
        f"{p.carrier}, {p.label}, {p.value}"
        for p in probes
        if redacted(p.text, STRICTEST, Numbering()) != p.text
    ]

    assert len(taken) <= 0.01 * len(probes), taken


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=" =,:\n\tké9x_-iswa", min_size=1, max_size=30))
def test_the_short_way_to_a_names_end_is_that_of_the_expression(text: str) -> None:
    data = text.encode()
    last = data[-1:]
    found = labels._JOIN.search(data, max(len(data) - 24, 0))
    expected = len(data) if last >= b"\x80" or last.isalpha() or found is None else found.start()

    assert labels.end_of_name(data, len(data)) == expected
