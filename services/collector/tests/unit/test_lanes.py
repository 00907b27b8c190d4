"""Which vendor gets which request on the one port, and which requests are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_collector.capture import Capture
from forge_collector.data_plane import lanes
from forge_collector.recorder import Recorder
from forge_collector.routing import Router
from forge_collector.settings import Settings
from forge_collector.spool import Spool
from forge_common.errors import NotFound
from forge_common.http.proxy import Forward, RequestHead

UPSTREAMS = {
    "openai_upstream": "https://openai.test/v1",
    "anthropic_upstream": "https://anthropic.test",
    "ollama_upstream": "http://ollama.test:11434",
    "engie_upstream": "http://engie.test:28791",
}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    spool = Spool(tmp_path, limit_bytes=1 << 20, segment_bytes=1 << 16, fsync_s=0.001)
    recorder = Recorder(spool, lambda: "coding", max_bytes=1 << 20, later=lambda do: do())
    yield Router(lanes(Settings(**UPSTREAMS)), recorder, key=None)
    spool.close()


def decide(router: Router, method: str, target: str, headers: dict[str, str] | None = None) -> Forward:
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    head = RequestHead(
        method=method, target=target.encode(), headers=pairs, fields={n.lower(): v for n, v in pairs},
        version="1.1", client=None, content_length=0, has_body=False,
    )  # fmt: skip
    decision = router(head)
    assert isinstance(decision, Forward)
    return decision


def sent(decision: Forward) -> str:
    return decision.upstream.host.removesuffix(".test") + " " + decision.target.decode()


def test_the_same_path_goes_where_its_caller_belongs_however_often_others_ask_for_it(router: Router) -> None:
    callers = [{}, ANTHROPIC, {"user-agent": "ollama/0.33.0"}, {"anthropic-beta": "x"}, {}]
    expected = [
        "openai /models",
        "anthropic /v1/models",
        "openai /models",
        "anthropic /v1/models",
        "openai /models",
    ]

    for _ in range(2):
        assert [sent(decide(router, "GET", "/v1/models", caller)) for caller in callers] == expected


def test_a_path_that_is_known_gives_every_exchange_its_own_id_and_domain(router: Router) -> None:
    path = "/v1/chat/completions"

    taps = [
        decide(router, "POST", path, {"x-forge-domain": "legal"}).tap,
        decide(router, "POST", path).tap,
        decide(router, "POST", f"/d/finance{path}").tap,
        decide(router, "POST", path, {"x-forge-domain": "education"}).tap,
    ]

    contexts = [tap._context for tap in taps if isinstance(tap, Capture)]
    assert [context.domain for context in contexts] == ["legal", None, "finance", "education"]
    assert len({context.exchange_id for context in contexts}) == len(taps)


@pytest.mark.parametrize(
    ("method", "target", "headers", "upstream", "is_kept"),
    [
        ("POST", "/v1/messages?beta=true", ANTHROPIC, "anthropic /v1/messages?beta=true", True),
        ("POST", "/v1/messages", {}, "anthropic /v1/messages", True),
        ("POST", "/v1/messages/count_tokens?beta=true", {}, "anthropic /v1/messages/count_tokens?beta=true", False),
        ("POST", "/v1/messages/batches", ANTHROPIC, "anthropic /v1/messages/batches", False),
        ("GET", "/v1/models?limit=5", ANTHROPIC, "anthropic /v1/models?limit=5", False),
        ("GET", "/v1/models", {"anthropic-beta": "oauth-2025"}, "anthropic /v1/models", False),
        ("GET", "/v1/models", {}, "openai /models", False),
        ("POST", "/api/event_logging/batch", {"anthropic-beta": "x"}, "anthropic /api/event_logging/batch", False),
        ("HEAD", "/", {}, "anthropic /", False),
        ("HEAD", "/anthropic", {}, "anthropic /", False),
        ("HEAD", "/d/legal", {}, "anthropic /", False),
        ("HEAD", "/", {"user-agent": "ollama/0.33.0 (arm64 darwin) Go/go1.26"}, "ollama /", False),
        ("POST", "/d/legal/anthropic/v1/messages?beta=true", {}, "anthropic /v1/messages?beta=true", True),
        ("POST", "/invoke", {}, "engie /invoke", True),
        ("POST", "/invoke/stream", {}, "engie /invoke/stream", True),
        ("GET", "/status", {}, "engie /status", False),
        ("POST", "/cancel", {}, "engie /cancel", False),
        ("GET", "/health", {}, "engie /health", False),
        ("GET", "/v1/sessions", {}, "engie /v1/sessions", False),
        ("POST", "/engie/v1/chat/completions", {}, "engie /v1/chat/completions", True),
        ("GET", "/engie/v1/models", {}, "engie /v1/models", False),
    ],
)  # fmt: skip
def test_every_path_reaches_its_vendor(
    router: Router, *, method: str, target: str, headers: dict[str, str], upstream: str, is_kept: bool
) -> None:
    decision = decide(router, method, target, headers)

    assert sent(decision) == upstream
    assert (decision.tap is not None) is is_kept


def test_where_the_engie_proxy_is_the_upstream_of_v1_its_chats_are_read_as_its_own() -> None:
    engie = {"engie_upstream": "http://engie.test:28791/", "openai_upstream": "http://engie.test:28791/v1"}

    assert lanes(Settings(**UPSTREAMS))["openai"].dialect.name == "openai"
    assert lanes(Settings(**UPSTREAMS | engie))["openai"].dialect.name == "engie"


@pytest.mark.parametrize(
    "target", ["/invoked", "/statuses", "/v1x/messages", "/openai", "/anthropics/v1/messages"]
)
def test_paths_that_only_look_like_a_vendors_are_unknown(router: Router, target: str) -> None:
    with pytest.raises(NotFound):
        decide(router, "POST", target)
