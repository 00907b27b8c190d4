"""The floors: what must be found in the corpus, and what must be left alone in code that is clean."""

import pytest

from forge_collector.redaction.corpus.documents import SETS
from forge_collector.redaction.report import clean_files, installed_code, measure, measure_clean, total


@pytest.mark.parametrize("which", SETS)
def test_what_is_planted_is_found(which: str) -> None:
    found = measure(which, copies=1)

    assert total(found.secrets).recall >= 0.98, sorted(found.missed)
    assert total(found.personal).recall >= 0.95, sorted(found.missed)


@pytest.mark.integration  # seconds of CPU
def test_no_kind_lives_on_the_others() -> None:
    # Keys of issuers are planted far more often than all else; so each kind counts once here.
    found = measure("planted", copies=1)

    for kinds, least in ((found.secrets, 30), (found.personal, 10)):
        assert len(kinds) >= least
        assert sum(tally.recall for tally in kinds.values()) / len(kinds) >= 0.98


@pytest.mark.integration  # seconds of CPU
def test_little_but_the_value_is_taken() -> None:
    found = measure("planted", copies=1)

    assert len(found.damaged) <= 0.02 * found.documents


@pytest.mark.parametrize("is_strict", [False, True])
def test_look_alikes_are_left_alone(is_strict: bool) -> None:
    touched = measure_clean(clean_files(), is_strict=is_strict)

    assert touched.looked_at >= 240
    assert touched.files == {}


def test_ordinary_code_is_left_alone() -> None:
    touched = measure_clean(installed_code(400))

    assert touched.looked_at >= 400
    assert touched.rate <= 0.007, touched.files
