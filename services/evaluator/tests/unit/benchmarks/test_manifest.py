from __future__ import annotations

import json

import pytest

from forge_common.errors import Invalid
from forge_evaluator.benchmarks import BenchmarkUnusable, load, manifest, practice, read, shipped
from forge_evaluator.benchmarks.load import practice_names, shipped_manifest, shipped_names
from forge_evaluator.benchmarks.overlap import overlaps

TASKS = [
    {"id": "a", "prompt": "Add two numbers in Python, please, and return them.", "difficulty": "easy", "canary": True,
     "check": {"kind": "code", "entry_point": "add", "tests": [{"args": [1, 2], "expected": 3}]}},
    {"id": "b", "prompt": "Count the rows.", "category": "sql",
     "check": {"kind": "sql", "setup": "create table t (x)", "tests": [{"expected": [[0]]}]}},
    {"id": "c", "prompt": "Say yes.", "check": {"kind": "exact", "expected": "yes"}},
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(task) for task in TASKS))
    return path


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_benchmark_is_the_one_that_its_manifest_describes(name):
    assert shipped_manifest(name).contents == read(shipped(name)).contents
    assert shipped_manifest(name).name == name


def test_a_manifest_counts_by_what_a_reader_asks_for(file):
    written = manifest.write(file, load(file).contents, description="mine")

    assert (written.name, written.version, written.licence, written.tasks) == ("mine", "1", "Apache-2.0", 3)
    assert written.categories == {"general": 2, "sql": 1}
    assert written.difficulty == {"easy": 1, "unrated": 2}
    assert written.languages == {"python": 1, "sql": 1}
    assert written.canaries == ("a",)
    assert load(file).contents == written.contents


def test_what_the_authors_wrote_is_kept_when_the_counts_are_written_anew(file):
    manifest.write(file, load(file).contents, description="mine", licence="CC0-1.0", version="3")
    file.write_text(file.read_text() + "\n" + json.dumps({"id": "d", "prompt": "More."}))

    again = manifest.write(file, read(file.read_bytes()).contents)

    assert (again.description, again.licence, again.version, again.tasks) == ("mine", "CC0-1.0", "3", 4)


def test_a_file_that_changed_behind_its_manifest_is_refused(file):
    manifest.write(file, load(file).contents, description="mine")
    file.write_text(file.read_text().replace("Say yes.", "Say no."))

    with pytest.raises(BenchmarkUnusable, match="of another file"):
        load(file)


def test_a_manifest_with_wrong_counts_or_none_is_refused(file):
    manifest.write(file, load(file).contents, description="mine")
    place = manifest.beside(file)
    values = json.loads(place.read_text())

    place.write_text(json.dumps(values | {"canaries": []}))
    with pytest.raises(BenchmarkUnusable, match="counts other tasks"):
        load(file)
    place.write_text("{}")
    with pytest.raises(BenchmarkUnusable, match="is broken"):
        load(file)


def test_a_first_manifest_needs_a_description(file):
    with pytest.raises(Invalid, match="say what it is"):
        manifest.write(file, load(file).contents)


def tasks(*lines):
    return read("\n".join(json.dumps(line) for line in lines).encode()).tasks


GOLD = (
    "The lessee must give notice in writing at least thirty days before the term ends, "
    "and must leave the premises clean, empty and in the condition in which they were let."
)


@pytest.mark.parametrize(
    ("prompt", "gold", "field"),
    [
        ("say  YES", "", "prompt"),
        ("In Python, add two numbers in Python, please, and return them!", "", "prompt"),
        ("Something else altogether is asked here.", GOLD.replace("thirty", "sixty"), "gold_answer"),
    ],
)
def test_practice_that_repeats_a_benchmark_is_found(prompt, gold, field):
    benchmark = tasks(*TASKS, {"id": "e", "prompt": "When must notice be given?", "gold_answer": GOLD})

    (found,) = overlaps(tasks({"id": "p", "prompt": prompt, "gold_answer": gold}), benchmark)

    assert (found.practice, found.field) == ("p", field)
    assert found.likeness > 0.5


def test_practice_on_the_same_subject_is_no_overlap():
    asked = tasks(
        {"id": "p", "prompt": "Subtract two numbers in Python and return what is left.", "gold_answer": "yes"}
    )

    assert overlaps(asked, tasks(*TASKS)) == []


def test_no_shipped_practice_overlaps_with_a_shipped_benchmark():
    benchmarks = [task for name in shipped_names() for task in read(shipped(name)).tasks]
    ours = [task for name in practice_names() for task in read(practice(name)).tasks]

    assert overlaps(ours, benchmarks) == []
