"""Numbers as a person reads them."""

from datetime import UTC, datetime

import pytest

from forge_cli.bars import ago, bar, share, sparkline

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 100_000, "1 %"),
        (99_999, 100_000, "99 %"),
        (1, 2, "50 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part, whole, shown):
    assert share(part, whole) == shown


def test_the_longest_bar_is_as_wide_as_asked_and_the_smallest_is_seen():
    assert bar(1000, 1000, width=10) == "█" * 10
    assert bar(1, 1_000_000, width=10) == "▏"
    assert bar(0, 1000) == ""
    assert bar(0, 0) == ""
    assert len(bar(999, 1000, width=10)) == 10


def test_a_line_of_days_tells_nothing_from_little():
    assert sparkline([0, 1, 50, 100]) == "·▁▄█"
    assert sparkline([3, 3]) == "██"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "··"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", "2026-11-21T12:00:00+00:00"),
        ("7d", "2026-11-15T12:00:00+00:00"),
        ("2w", "2026-11-08T12:00:00+00:00"),
        ("2026-11-01T00:00:00+02:00", "2026-10-31T22:00:00+00:00"),
    ],
)
def test_a_time_is_an_age_or_a_moment(text, moment):
    assert ago(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["", "d", "7", "7x", "-7d", "yesterday", "2026-13-01", "9999999999d"])
def test_what_is_no_time_is_none(text):
    assert ago(text, NOW) is None
