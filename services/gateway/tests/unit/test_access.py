from __future__ import annotations

import pytest

from forge_common.http.proxy import RequestHead
from forge_gateway.access import Access, ForeignPage, KeyMissing, KeyUnknown


def head(**fields: str) -> RequestHead:
    values = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return RequestHead("POST", b"/v1/models", list(values.items()), values, "1.1", None, 0, has_body=False)


KEYED = Access(frozenset({"one", "two"}))
OPEN = Access(frozenset())


@pytest.mark.parametrize(
    "fields",
    [{"authorization": "Bearer one"}, {"authorization": "bearer  two "}, {"x_api_key": "two"}],
)
def test_a_known_key_is_let_in(fields):
    KEYED.check(head(**fields, host="forge.example", origin="https://app.example"))


@pytest.mark.parametrize(
    "fields", [{}, {"authorization": "Basic one"}, {"authorization": "Bearer "}, {"x_api_key": ""}]
)
def test_no_key_is_told_apart_from_a_wrong_one(fields):
    with pytest.raises(KeyMissing):
        KEYED.check(head(**fields))


@pytest.mark.parametrize("key", ["three", "on", "one,two", "ONE"])
def test_a_wrong_key_is_refused(key):
    with pytest.raises(KeyUnknown) as refused:
        KEYED.check(head(authorization=f"Bearer {key}"))

    assert refused.value.status == 401
    assert key not in refused.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "127.0.0.1:18793"},
        {"host": "localhost"},
        {"host": "[::1]:18793"},
        {"host": "127.0.0.1", "origin": "http://localhost:3000"},
        {},
    ],
)
def test_without_keys_programs_on_this_machine_are_let_in(fields):
    OPEN.check(head(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1", "origin": "https://evil.example"},
        {"host": "127.0.0.1", "origin": "null"},
        {"host": "127.0.0.1", "origin": "http://127.0.0.1.evil.example"},
    ],
)
def test_without_keys_web_pages_and_foreign_names_are_refused(fields):
    with pytest.raises(ForeignPage):
        OPEN.check(head(**fields))
