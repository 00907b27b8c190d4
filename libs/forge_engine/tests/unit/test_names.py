from __future__ import annotations

import pytest

from forge_engine import names


@pytest.mark.parametrize(
    "spelling", ["tiny", "tiny:latest", "library/tiny", "Tiny", "tiny:LATEST", "LIBRARY/tiny:latest"]
)
def test_all_spellings_of_a_name_have_one_key(spelling):
    name = names.parse(spelling)

    assert name is not None
    assert name.key == "tiny:latest"


@pytest.mark.parametrize(
    "name", ["ns/name:Tag", "localhost:5000/ns/name:tag", "engie-coder:v12", "tiny:a.b_c-d"]
)
def test_names_that_ollama_takes_are_taken_as_written(name):
    parsed = names.parse(name)

    assert parsed is not None
    assert parsed.text == name


@pytest.mark.parametrize(
    "name",
    [
        "bad name!",
        "",
        "tiny:",
        ":tag",
        "a/b/c/d",
        ".tiny",
        "x" * 90,
        "http://tiny",
        "tiny@sha256:00",
        "../etc",
        "ns/../x",
        "a//b",
        "tiny:../x",
    ],
)
def test_names_that_ollama_refuses_are_refused(name):
    assert names.parse(name) is None
