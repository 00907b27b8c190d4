"""What `forge status` says of capture."""

from typing import Any

from forge_cli.commands.stack import capture_lines


def health(**more: Any) -> dict[str, Any]:
    fine = {
        "status": "ok",
        "reasons": {},
        "backlog_bytes": 0,
        "backlog_s": 0.0,
        "lost": {},
        "dropped": {},
        "rejected": 0,
    }
    return fine | more


def test_capture_that_works_is_one_line():
    assert capture_lines(health()) == ["capture [green]ok[/]"]


def test_what_waits_is_shown_with_its_age_and_the_reason():
    shown = "\n".join(
        capture_lines(
            health(
                status="degraded",
                reasons={"postgres_down": "Postgres is away"},
                backlog_bytes=12_300_000,
                backlog_s=34.2,
            )
        )
    )

    assert "12.3 MB" in shown
    assert "34 s" in shown
    assert "Postgres is away" in shown


def test_what_was_lost_is_shown_even_when_all_is_well_again_and_counted_once():
    shown = "\n".join(capture_lines(health(lost={"spool": 5, "too_large": 2}, dropped={"disk_full": 5})))

    assert "7 exchanges were not kept" in shown
    assert "disk_full 5" in shown
    assert "too_large 2" in shown
