from __future__ import annotations

import json

import pytest

from forge_common.errors import Invalid, NotFound
from forge_common.http.proxy import Dialect, Refuse, RequestHead, Upstream


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("http://localhost:11434", ("http", "localhost", 11434, ""), b"localhost:11434"),
        ("http://h", ("http", "h", 80, ""), b"h"),
        ("https://api.example/v1/", ("https", "api.example", 443, "/v1"), b"api.example"),
        ("https://api.example:80", ("https", "api.example", 80, ""), b"api.example:80"),
        ("http://[::1]:8080/a", ("http", "::1", 8080, "/a"), b"[::1]:8080"),
    ],
)
def test_an_url_becomes_an_upstream(url, expected, authority):
    upstream = Upstream.parse(url)

    assert (upstream.scheme, upstream.host, upstream.port, upstream.path_prefix) == expected
    assert upstream.authority == authority


@pytest.mark.parametrize(
    "url", ["", "localhost:11434", "ftp://h", "http://", "http://h:99999", "http://h:x", "http:h"]
)
def test_what_is_no_url_is_refused_by_name(url):
    with pytest.raises(Invalid, match="not an http or https URL"):
        Upstream.parse(url)


def test_two_upstreams_with_another_path_share_their_connections():
    assert Upstream.parse("http://h/a").key == Upstream.parse("http://h/b").key
    assert Upstream.parse("http://h").key != Upstream.parse("https://h").key


def test_a_head_has_its_path_apart_from_its_query():
    head = RequestHead("GET", b"/a%2Fb?x=/y?z", [], {b"x-a": b"1"}, "1.1", None, 0, has_body=False)

    assert (head.path, head.query, head.get(b"x-a"), head.get(b"x-b")) == ("/a%2Fb", b"x=/y?z", b"1", None)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            Dialect.OPENAI,
            {"error": {"message": "gone. Look there", "type": "not_found_error", "param": None, "code": "c"}},
        ),
        (
            Dialect.ANTHROPIC,
            {"type": "error", "error": {"type": "not_found_error", "message": "gone. Look there"}},
        ),
        (Dialect.OLLAMA, {"error": "gone. Look there"}),
        (Dialect.ENGIE, {"error": "gone. Look there"}),
    ],
)
def test_an_error_is_rendered_in_the_callers_dialect(dialect, expected):
    refusal = Refuse.of(NotFound("gone", code="c", fix="look there"), dialect)

    assert refusal.status == 404
    assert json.loads(refusal.body) == expected
