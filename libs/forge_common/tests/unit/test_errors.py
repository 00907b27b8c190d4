"""The error tree."""

from forge_common.errors import Conflict, ForgeError


class RunAlreadyActive(Conflict):
    """Made up for the test."""


def test_an_error_is_named_after_its_class():
    error = RunAlreadyActive("run 7 is active")

    assert (error.code, error.status) == ("run_already_active", 409)


def test_the_fix_is_part_of_what_is_printed():
    assert str(ForgeError("no disk", fix="free 4 GB")) == "no disk → free 4 GB"
