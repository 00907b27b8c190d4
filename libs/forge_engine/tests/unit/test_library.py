from __future__ import annotations

import pytest

from forge_engine.library import short_count


@pytest.mark.parametrize(
    ("count", "text"),
    [(125_248, "125K"), (1_390_000, "1.39M"), (7_615_616_512, "7.6B"), (7_000_000_000, "7B"), (12, "12")],
)
def test_parameters_are_counted_as_ollama_prints_them(count, text):
    assert short_count(count) == text
