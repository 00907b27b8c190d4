"""No expression of redaction repeats a group possessively: Python before 3.11.5 (Debian 12 has 3.11.2) matches those wrong."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import forge_collector.redact
import forge_collector.redaction
from forge_collector.redaction.rule import Rule

SINGLE = {"IN", "LITERAL", "NOT_LITERAL", "ANY", "CATEGORY"}


def _expressions(value: object) -> Iterator[re.Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Rule):
        yield value.pattern
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _expressions(part)
    elif isinstance(value, dict):
        yield from _expressions(list(value.values()))


def _possessive_groups(parsed: object) -> Iterator[object]:
    if isinstance(parsed, re._parser.SubPattern):
        for operation, argument in parsed:
            if str(operation) == "POSSESSIVE_REPEAT" and not {str(part[0]) for part in argument[2]} <= SINGLE:
                yield argument
            yield from _possessive_groups(argument)
    elif isinstance(parsed, tuple | list):
        for part in parsed:
            yield from _possessive_groups(part)


MODULES = [
    forge_collector.redact,
    *(
        importlib.import_module(found.name)
        for found in pkgutil.iter_modules(forge_collector.redaction.__path__, "forge_collector.redaction.")
        if found.name != "forge_collector.redaction.corpus"
    ),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_groups_are_repeated_atomically_and_never_possessively(module):
    found = [one.pattern for each in vars(module).values() for one in _expressions(each)]

    assert not [p for p in found if any(_possessive_groups(re._parser.parse(p)))]


def test_a_possessive_group_would_be_noticed():
    assert any(_possessive_groups(re._parser.parse(rb"a(?:(?:bb|c)*+d)?")))
    assert not any(_possessive_groups(re._parser.parse(rb"(?>(?:b|[cd]*+)*)x")))
