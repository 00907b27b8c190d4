"""Where requests go, by path and prefix, and what of them the upstream gets to see."""

from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.openai import OpenAI
from forge_collector.recorder import Recorder
from forge_collector.routing import KeyRequired, Router, make_lane
from forge_collector.spool import Spool
from forge_common.errors import Invalid, NotFound
from forge_common.http.proxy import Forward, Local, RequestHead


@pytest.fixture
def recorder(tmp_path: Path) -> Any:
    spool = Spool(tmp_path, limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001)
    yield Recorder(spool, lambda: "coding", max_bytes=1 << 20, later=lambda do: do())
    spool.close()


def router(recorder: Recorder, key: str | None = None) -> Router:
    return Router(
        {"openai": make_lane(OpenAI(), "/v1", "https://api.example.org/base/v1")}, recorder, key=key
    )


def head(target: str, method: str = "POST", headers: dict[str, str] | None = None) -> RequestHead:
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return RequestHead(
        method=method, target=target.encode(), headers=pairs, fields={n.lower(): v for n, v in pairs},
        version="1.1", client=None, content_length=0, has_body=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/v1/chat/completions", b"/chat/completions"),
        ("/v1/chat/completions?a=%2F&b", b"/chat/completions?a=%2F&b"),
        ("/openai/v1/chat/completions", b"/chat/completions"),
        ("/d/legal/v1/models", b"/models"),
        ("/k/secret/d/legal/openai/v1/models", b"/models"),
        ("/v1", b"/"),
    ],
)
def test_prefixes_are_taken_off_and_the_rest_is_untouched(
    recorder: Recorder, target: str, forwarded: bytes
) -> None:
    decision = router(recorder)(head(target))

    assert isinstance(decision, Forward)
    assert decision.target == forwarded
    assert (decision.upstream.host, decision.upstream.path_prefix) == ("api.example.org", "/base/v1")


@pytest.mark.parametrize("target", ["/", "/v2/chat", "/v1x/chat", "/health", "/d/legal", "/openai"])
def test_paths_of_no_dialect_are_unknown(recorder: Recorder, target: str) -> None:
    with pytest.raises(NotFound, match="no dialect"):
        router(recorder)(head(target))


@pytest.mark.parametrize("target", ["/forge", "/forge/v1/stats"])
def test_our_own_api_is_answered_here(recorder: Recorder, target: str) -> None:
    assert isinstance(router(recorder)(head(target)), Local)


def test_what_is_meant_for_the_forge_is_not_forwarded(recorder: Recorder) -> None:
    decision = router(recorder)(
        head(
            "/v1/models", "GET", {"X-Forge-Key": "k", "X-Forge-Domain": "legal", "Authorization": "Bearer up"}
        )
    )

    assert isinstance(decision, Forward)
    assert decision.headers == [(b"Authorization", b"Bearer up")]


def test_headers_without_ours_are_passed_on_as_they_are(recorder: Recorder) -> None:
    decision = router(recorder)(head("/v1/models", "GET", {"Authorization": "Bearer up"}))

    assert isinstance(decision, Forward)
    assert decision.headers is None


def test_only_exchanges_are_tapped_and_named(recorder: Recorder) -> None:
    tapped = router(recorder)(head("/v1/chat/completions"))
    passed = router(recorder)(head("/v1/embeddings"))

    assert isinstance(tapped, Forward)
    assert isinstance(passed, Forward)
    assert tapped.tap is not None
    assert tapped.response_headers[0][0] == b"x-forge-exchange-id"
    assert (passed.tap, tuple(passed.response_headers)) == (None, ())


@pytest.mark.parametrize(
    ("target", "headers", "admitted"),
    [
        ("/v1/models", {"x-forge-key": "right"}, True),
        ("/k/right/v1/models", {}, True),
        ("/v1/models", {"x-forge-key": "wrong"}, False),
        ("/v1/models", {"authorization": "Bearer right"}, False),
        ("/v1/models", {}, False),
    ],
)
def test_a_required_key_is_ours_and_not_the_upstreams(
    recorder: Recorder, target: str, headers: dict[str, str], admitted: bool
) -> None:
    route = router(recorder, key="right")

    if admitted:
        assert isinstance(route(head(target, headers=headers)), Forward)
    else:
        with pytest.raises(KeyRequired):
            route(head(target, headers=headers))


def test_a_domain_that_is_no_id_is_refused(recorder: Recorder) -> None:
    with pytest.raises(Invalid, match="no domain id"):
        router(recorder)(head("/v1/chat/completions", headers={"x-forge-domain": "../etc"}))
