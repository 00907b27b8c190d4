"""A start that has nothing to migrate sees it without alembic, and agrees with it."""

from importlib.resources import files

from alembic.script import ScriptDirectory

from forge_common.db import migrate


def test_the_newest_revision_is_alembics() -> None:
    folder = files("forge_collector") / "migrations"

    assert migrate._newest("forge_collector") == set(ScriptDirectory(str(folder)).get_heads())
