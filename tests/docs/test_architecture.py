"""The documentation says what the code says."""

from pathlib import Path

from forge_common.contracts.tasks import table

ROOT = Path(__file__).parents[2]


def test_the_task_table_is_the_codes():
    document = (ROOT / "docs/architecture.md").read_text()

    shown = document.partition("<!-- tasks -->")[2].partition("<!-- /tasks -->")[0].strip()
    assert shown == table()


def test_every_decision_has_context_decision_and_consequences():
    for page in (ROOT / "docs/decisions").glob("*.md"):
        text = page.read_text()
        assert all(part in text for part in ("**Context.**", "**Decision.**", "**Consequences.**")), page.name
