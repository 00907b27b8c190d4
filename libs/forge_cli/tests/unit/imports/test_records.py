"""Files of every kind and state cut into records: nothing is lost in silence, and one broken record costs no other."""

import csv
import gzip
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_cli.imports.files import Kind, Source, found
from forge_cli.imports.json_records import Values, lines
from forge_cli.imports.sqlite_records import ForgeDatabase
from forge_cli.imports.text import FileUnreadable
from forge_common.contracts.imports import MAX_RECORD_BYTES, ImportStart, Record

OBJECTS = st.lists(
    st.recursive(
        st.none()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(['"', "\\", '\\"', "}{", "[]", "é😀"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ).map(lambda value: {"v": value}),
    max_size=6,
)


def read(path: Path) -> tuple[Kind, list[Record]]:
    source = Source.open(path)
    try:
        return source.kind, list(source.records())
    finally:
        source.close()


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(records: list[Record]) -> list[Any]:
    return [json.loads(record.text) if record.text is not None else record.refused for record in records]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_are_read_in_any_encoding_with_any_ending_packed_or_not(
    tmp_path: Path, encoding: str, ending: str, packed: bool
) -> None:
    content = ending.join(['{"a": "é😀"}', "", '{"b": 2}', ""]).encode(encoding)
    path = write(tmp_path / "x.jsonl", gzip.compress(content) if packed else content)

    kind, records = read(path)

    assert kind is Kind.LINES
    assert texts(records) == [{"a": "é😀"}, {"b": 2}]
    assert [record.at for record in records] == [1, 3]


@given(OBJECTS, st.integers(1, 9), st.sampled_from([0, 1, 2]), st.sampled_from([None, 1]))
def test_objects_are_cut_out_however_the_bytes_arrive(
    objects: list[Any], size: int, depth: int, indent: int | None
) -> None:
    dumped = [json.dumps(value, indent=indent, ensure_ascii=False) for value in objects]
    before, after = {0: ("", ""), 1: (" [", "]\n"), 2: ('{"meta": {"n": [1]}, "data": [', "]}")}[depth]
    document = (before + ",\n"[depth == 0].join(dumped) + after).encode()
    pieces = [document[i : i + size] for i in range(0, len(document), size)]

    records = [r for r in Values(depth).cut(iter(pieces)) if r.text is not None]

    assert texts(records) == objects


@given(OBJECTS, st.integers(1, 9))
def test_lines_are_the_same_however_the_bytes_arrive(objects: list[Any], size: int) -> None:
    document = "\n".join(map(json.dumps, objects)).encode()

    records = list(lines(iter([document[i : i + size] for i in range(0, len(document), size)])))

    assert texts(records) == objects


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('[\n {"a": 1}\n]', Kind.ARRAY),
        ('{"data": [{"a": 1}], "meta": {}}', Kind.WRAPPED),
        ('{\n  "a": 1\n}\n', Kind.OBJECTS),
        ('{\n"a": {"b": 1}\n}\n{\n"c": 1\n}', Kind.OBJECTS),
        ('{"a": 1}', Kind.LINES),
        ('{"a": 1}\n{"b": 2}\n{"c', Kind.LINES),
        ('{broken\n{"b": 2}\n', Kind.LINES),
        ("# exported\n" + '{"b": 2}\n', Kind.LINES),
        ("prompt,response\na,b\n", Kind.CSV),
        ("prompt;response;model\na;b;c\n", Kind.CSV),
    ],
)
def test_the_content_says_what_kind_a_file_is(tmp_path: Path, content: str, kind: Kind) -> None:
    assert read(write(tmp_path / "file", content))[0] is kind


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\x7fELF" + bytes(range(256)) * 40, "neither"),
        (b"just words\n", "neither"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"SQLite format 3\0" + bytes(200), "database"),
    ],
)
def test_a_file_that_is_nothing_to_import_says_what_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(FileUnreadable, match=says):
        read(write(tmp_path / "file", content))


def test_a_broken_line_costs_no_other(tmp_path: Path) -> None:
    content = b'{"a": 1}\n{"b": "\xff"}\n{"c"\x00}\n{"d": 4}\n{"half": "of a li'
    _, records = read(write(tmp_path / "x.jsonl", content))

    assert [(r.at, r.refused) for r in records] == [
        (1, None),
        (2, "not UTF-8"),
        (3, None),
        (4, None),
        (5, None),
    ]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"b": "')
        for _ in range(100):
            file.write(b"x" * 2**20)
        file.write(b'"}\n{"c": 3}\n')

    _, records = read(path)

    assert texts(records) == [{"a": 1}, "longer than 16 MB", {"c": 3}]


def test_an_element_that_is_too_long_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    long = json.dumps({"b": "\\" * MAX_RECORD_BYTES})
    _, records = read(write(tmp_path / "x.json", f'[{{"a": 1}}, {long}, {{"c": 3}}]'))

    assert texts(records) == [{"a": 1}, "longer than 16 MB", {"c": 3}]


@pytest.mark.parametrize(
    ("content", "last"),
    [
        ('[{"a": 1}, {"b": [2', "the file ends in the middle of a record"),
        ('[{"a": 1}, {"b": "2', "the file ends in the middle of a record"),
        ('[{"a": 1},', "the file ends before its array does: it was cut off"),
        ('[{"a": 1}, 7, "x"]', "not a JSON object"),
        ('[{"a": 1}] and more', "not a JSON object"),
        ('{\n"a": 1}\n}', "not a JSON object"),
    ],
)
def test_what_an_array_lacks_or_has_too_much_is_a_rejected_record(
    tmp_path: Path, content: str, last: str
) -> None:
    _, records = read(write(tmp_path / "x.json", content))

    assert texts(records) == [{"a": 1}, last]


def test_a_packed_file_that_breaks_off_is_read_so_far(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f'{{"n": {n}, "x": "{n * 7919}"}}\n' for n in range(20_000)).encode())
    _, records = read(write(tmp_path / "x.jsonl.gz", packed[: len(packed) // 2]))

    assert len(records) > 1000
    assert "unpacked" in (records[-1].refused or "")


def test_csv_cells_may_hold_lines_and_be_long_and_a_broken_row_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "response"])
        writer.writerow(["two\nlines, and a comma", "x" * 300_000])
        writer.writerow(["only one"])
        writer.writerow(["a", "b"])
    path.write_bytes(path.read_bytes() + b'"\xff",c\r\n')

    kind, records = read(path)

    assert kind is Kind.CSV
    assert texts(records) == [
        {"prompt": "two\nlines, and a comma", "response": "x" * 300_000},
        "it has 1 cells, and the header 2",
        {"prompt": "a", "response": "b"},
        "not UTF-8",
    ]
    assert [record.at for record in records] == [2, 3, 4, 5]


def test_a_quote_that_is_never_closed_ends_with_the_limit(tmp_path: Path) -> None:
    content = b'prompt,response\na,"' + b"x,y\n" * (MAX_RECORD_BYTES // 4 + 10)
    _, records = read(write(tmp_path / "x.csv", content))

    assert "not CSV" in (records[0].refused or "")


def make_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode=wal")
    database.execute(
        "create table comparisons (id integer primary key, prompt text, claude_response text, engie_response text,"
        " session_key text, task_type text, created_at text)"
    )
    database.execute(
        "create table training_pairs (id text primary key, prompt_hash text, timestamp text, routed_to text,"
        " claude_duration_ms integer, local_duration_ms integer, local_model text, task_type text)"
    )
    database.execute("insert into comparisons values (1, 'p', 'a', 'b', 'k', 'chat', '2026-02-27 10:00:00')")
    database.execute(
        "insert into training_pairs values ('pair_1', 'h', null, 'claude', 5, null, null, 'reasoning')"
    )
    database.execute(
        "insert into training_pairs values ('pair_2', 'h', null, 'claude', 5, null, null, 'chat')"
    )
    database.commit()
    return database


def beside(path: Path) -> dict[str, int]:
    return {
        file.name: file.stat().st_mtime_ns for file in path.parent.iterdir() if not file.name.endswith("-shm")
    }


def test_the_database_is_read_while_the_forge_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "forge.db"
    database = make_database(path)
    before = beside(path)
    assert "forge.db-wal" in before

    kind, records = read(path)

    assert kind is Kind.DATABASE
    assert texts(records)[0]["engie_response"] == "b"
    assert beside(path) == before
    database.close()


def test_the_log_that_a_crash_left_is_read_and_nothing_is_made_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "crashed"
    folder.mkdir()
    make = "import os, sys; sys.path.insert(0, sys.argv[1]); import test_records as t, pathlib; "
    make += "t.make_database(pathlib.Path(sys.argv[2])); os._exit(9)"
    subprocess.run(
        [sys.executable, "-c", make, str(Path(__file__).parent), str(folder / "forge.db")], check=False
    )
    (folder / "forge.db-shm").unlink()
    before = beside(folder / "forge.db")

    _, records = read(folder / "forge.db")

    assert len(records) == 1
    assert beside(folder / "forge.db") == before
    assert not (folder / "forge.db-shm").exists()


def test_what_only_the_database_knows_of_a_pair_joins_its_text(tmp_path: Path) -> None:
    make_database(tmp_path / "forge.db").close()
    database = ForgeDatabase(tmp_path / "forge.db")
    raw = {"id": "pair_1", "prompt": "p", "prompt_hash": "h", "task_type": None, "claude_response": "a"}
    mine = raw | {"id": "pair_2", "task_type": "coding"}

    joined = list(database.join(Record(at=n, text=json.dumps(r)) for n, r in enumerate([raw, mine], 1)))

    assert [record["task_type"] for record in texts(joined)] == ["reasoning", "coding"]
    assert (database.pairs(), database.joined) == (2, 2)
    database.close()


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("create table chats (id)")
    other.commit()
    other.close()

    with pytest.raises(FileUnreadable, match="not the Forge's"):
        read(tmp_path / "other.db")


def test_a_folder_is_its_known_files_with_databases_last(tmp_path: Path) -> None:
    for name in ("a.jsonl", "forge.db", "sub/z.json.gz", "notes.txt", ".hidden/b.jsonl", "sub/.c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, "x")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")

    assert [str(path.relative_to(tmp_path)) for path in found(tmp_path)] == [
        "a.jsonl",
        "sub/z.json.gz",
        "forge.db",
    ]


def test_the_id_changes_with_the_file_the_domain_and_the_format_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n')
    start = ImportStart(domain="coding")
    first = Source.open(path).import_id(start)
    moved = path.rename(tmp_path / "b.jsonl")

    assert Source.open(moved).import_id(start) == first
    assert Source.open(moved).import_id(ImportStart(domain="legal")) != first
    write(moved, '{"a": 2}\n')
    assert Source.open(moved).import_id(start) != first


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    element = json.dumps({"messages": [{"role": "user", "content": "x" * 2000}], "n": [1, {"a": "\\n" * 50}]})
    with path.open("w") as file:
        file.write("[" + ",\n".join([element] * 28_000) + "]")
    script = (
        "import resource, sys, pathlib\n"
        "from forge_cli.imports.files import Source\n"
        "first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "n = sum(1 for _ in Source.open(pathlib.Path(sys.argv[1])).records())\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first, sys.platform)\n"
    )

    printed = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )

    n, grown, platform = printed.stdout.split()
    assert path.stat().st_size > 60_000_000
    assert int(n) == 28_000
    assert int(grown) * (1 if platform == "darwin" else 1024) < 20 * 2**20
