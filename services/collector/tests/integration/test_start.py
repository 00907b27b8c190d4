"""Traffic passes from the first moment of a start, and nothing that passes then is lost; what cannot run ends, and says why."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.integration

ASKED = {
    "model": "teacher-1",
    "messages": [{"role": "user", "content": "the key is s" + "k-proj-Zx9Qw3Er7Ty1Ui5Op2As"}],
}


def ask_until_answered(url: str) -> str:
    """What a client has at the first moment at which it gets a reply at all."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.post(f"{url}/v1/chat/completions", json=ASKED, timeout=60).text
        time.sleep(0.005)
    raise AssertionError("nobody answered")


def test_what_passes_before_the_api_is_there_is_redacted_and_stored(own_collector: Any) -> None:
    own_collector.kill()
    own_collector.launch()

    answer = ask_until_answered(own_collector.url)
    own_collector.wait()
    own_collector.drain()

    assert "choices" in answer
    (stored,) = own_collector.stored()
    assert stored["messages"][-1]["content"].startswith("the key is <API_KEY")


def test_what_passed_before_the_api_was_there_outlives_a_kill_at_that_moment(own_collector: Any) -> None:
    own_collector.kill()
    for _ in range(3):
        own_collector.launch()
        ask_until_answered(own_collector.url)
        own_collector.kill()

    own_collector.start()
    own_collector.drain()

    assert len(own_collector.stored()) == 3


def test_a_later_start_compiles_nothing(own_collector: Any) -> None:
    # Its exchange is redacted before its reply is whole, so that everything was compiled by then.
    ask_until_answered(own_collector.url)
    kept = sorted(Path(own_collector.env["FORGE_HOME"], "cache", "expressions").iterdir())
    made_at = [path.stat().st_mtime_ns for path in kept]
    own_collector.kill()

    own_collector.launch()
    ask_until_answered(own_collector.url)

    assert len(kept) == 4
    assert [path.stat().st_mtime_ns for path in kept] == made_at


def test_a_collector_that_can_never_store_ends_and_says_why(own_collector: Any) -> None:
    own_collector.end()

    ended = subprocess.run(
        [sys.executable, "-m", "forge_collector"],
        env={**own_collector.environ, "FORGE_DATABASE_URL": "no such thing"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert "Could not parse SQLAlchemy URL" in ended.stderr
