from __future__ import annotations

from forge_common.contracts.runs import Pointer, Pointers
from forge_gateway.pointers import Board

ONE = Pointers(
    revision=4, pointers=(Pointer(domain="coding", prefix="engie-coder", live=1, model="engie-coder:v1"),)
)


def test_what_was_posted_is_known_after_a_restart(tmp_path):
    Board(tmp_path / "gateway" / "pointers.json").post(ONE)

    catalogue = Board(tmp_path / "gateway" / "pointers.json").catalogue

    assert catalogue.revision == 4
    assert catalogue.resolve("engie-coder") == "engie-coder:v1"


def test_a_damaged_memory_is_nothing_known_and_is_written_anew(tmp_path):
    file = tmp_path / "pointers.json"
    file.write_text('{"revision": 4, "poin')
    board = Board(file)
    assert board.catalogue.pointers == ()

    board.post(ONE)

    assert Board(file).catalogue.revision == 4


def test_a_folder_that_cannot_be_written_does_not_stop_the_answers(tmp_path):
    (tmp_path / "gateway").write_text("a file where a folder should be")
    board = Board(tmp_path / "gateway" / "pointers.json")

    board.post(ONE)

    assert board.catalogue.resolve("engie-coder") == "engie-coder:v1"


def test_a_restored_registry_with_an_older_revision_is_believed(tmp_path):
    board = Board(tmp_path / "pointers.json")
    board.post(ONE)

    board.post(Pointers(revision=2, pointers=()))

    assert board.catalogue.pointers == ()
