"""Expressions say where they end, by number and in order, to as many threads as ask."""

from concurrent.futures import ThreadPoolExecutor

from forge_collector.redaction.matching import Expressions

NAMES = Expressions({3: rb"pass(?:word)?", 7: rb"(?i:key)"})


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
