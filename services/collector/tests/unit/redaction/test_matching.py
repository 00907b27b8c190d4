"""Expressions say where they end, by number and in order, to as many threads as ask, and are compiled once for many starts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forge_collector.redaction import matching
from forge_collector.redaction.matching import Expressions

NAMES = Expressions("names", {3: rb"pass(?:word)?", 7: rb"(?i:key)"})


def ends(text: bytes) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    NAMES.find(text, found)
    return found


def test_ends_come_by_number_and_in_order() -> None:
    assert ends(b"a KEY, a password, a key") == {3: [13, 17], 7: [5, 24]}


def test_what_was_found_before_is_kept() -> None:
    found = {3: [1]}

    NAMES.find(b"pass", found)

    assert found == {3: [1, 4]}


def test_many_threads_search_at_once() -> None:
    texts = [b"x" * size + b"password " * 300 for size in range(400)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ends, texts))

    assert found == [{3: [size + 9 * i + end for i in range(300) for end in (4, 8)]} for size in range(400)]


WANTED, OTHER = {0: rb"wanted"}, {0: rb"other"}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    matching.keep_in(tmp_path / "expressions")
    yield tmp_path / "expressions"
    matching._Shelf.folder = None


def starts_found(numbered: dict[int, bytes]) -> list[bytes]:
    """What a new process would find, which has compiled nothing yet."""
    found: dict[int, list[int]] = {}
    Expressions("mine", numbered).find(b"wanted other", found)
    return [{6: b"wanted", 12: b"other"}[end] for end in found[0]]


def forge(kept: Path, numbered: dict[int, bytes]) -> None:
    """A file that says it is of `numbered`, and holds another database."""
    of_another = kept.read_bytes()[2 * matching._HASH_BYTES :]
    matching._keep(kept, matching._key(numbered) + of_another)


def test_a_later_start_takes_what_an_earlier_one_compiled(shelf: Path) -> None:
    starts_found(OTHER)
    forge(shelf / "mine", WANTED)

    assert starts_found(WANTED) == [b"other"]


def test_what_was_compiled_of_other_expressions_is_made_anew(shelf: Path) -> None:
    starts_found(OTHER)

    assert starts_found(WANTED) == [b"wanted"]
    forge(shelf / "mine", OTHER)
    assert starts_found(OTHER) == [b"wanted"]


@pytest.mark.parametrize("at", [0, 40, 70, -1])
def test_a_damaged_file_is_made_anew(shelf: Path, at: int) -> None:
    starts_found(OTHER)
    forge(shelf / "mine", WANTED)
    content = bytearray((shelf / "mine").read_bytes())
    content[at] ^= 1
    (shelf / "mine").write_bytes(content)

    assert starts_found(WANTED) == [b"wanted"]
    assert (shelf / "mine").read_bytes() != bytes(content)


@pytest.mark.parametrize("left", [0, 10, 64, 200])
def test_half_a_file_is_made_anew(shelf: Path, left: int) -> None:
    starts_found(OTHER)
    forge(shelf / "mine", WANTED)
    (shelf / "mine").write_bytes((shelf / "mine").read_bytes()[:left])

    assert starts_found(WANTED) == [b"wanted"]


@pytest.mark.parametrize("opened", ["mine", "."])
def test_what_others_could_have_written_is_not_trusted(shelf: Path, opened: str) -> None:
    starts_found(OTHER)
    forge(shelf / "mine", WANTED)
    (shelf / opened).chmod(0o770)

    assert starts_found(WANTED) == [b"wanted"]
    assert [path.stat().st_mode & 0o077 for path in (shelf, shelf / "mine")] == [0, 0]


def test_a_link_is_not_followed(shelf: Path, tmp_path: Path) -> None:
    starts_found(OTHER)
    forge(shelf / "mine", WANTED)
    (shelf / "mine").rename(tmp_path / "elsewhere")
    (shelf / "mine").symlink_to(tmp_path / "elsewhere")

    assert starts_found(WANTED) == [b"wanted"]


def test_only_we_can_read_what_is_kept(shelf: Path) -> None:
    starts_found(OTHER)

    assert [path.stat().st_mode & 0o077 for path in (shelf, *shelf.iterdir())] == [0, 0]


def test_where_nothing_can_be_kept_everything_is_found(tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "expressions").write_text("a file, and no folder")

    assert starts_found(WANTED) == [b"wanted"]
