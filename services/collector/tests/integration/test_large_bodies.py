"""Large prompts: as safe as small ones once their reply was delivered, and nothing of them stays in memory."""

import json
from typing import Any

import httpx2
import psutil
import pytest

pytestmark = pytest.mark.integration

MB = 1 << 20


def ask(collector: Any, size: int) -> None:
    text = f"Sent to ann@mail.org. {'Nobody else has read these lines so far. ' * (size // 41)}"
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    reply = httpx2.post(f"{collector.url}/v1/chat/completions", json=body, timeout=60)
    assert reply.status_code == 200


def test_a_large_exchange_survives_a_kill_right_after_its_reply(own_collector: Any) -> None:
    for delivered in range(1, 4):
        ask(own_collector, 2 * MB)
        own_collector.kill()

        own_collector.start()
        own_collector.drain()

        stored = own_collector.stored()
        assert len(stored) == delivered
        assert "ann@" not in json.dumps(stored[-1])


def test_large_prompts_leave_nothing_in_memory(own_collector: Any) -> None:
    assert own_collector.process is not None
    process = psutil.Process(own_collector.process.pid)

    def resident_after(prompts: int) -> float:
        for _ in range(prompts):
            ask(own_collector, 8 * MB)
        own_collector.drain()
        return process.memory_info().rss / MB

    # What Python and its allocator take once for all is taken by the first ones.
    early = resident_after(3)

    assert resident_after(6) - early < 16
