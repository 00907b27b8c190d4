"""Event streams and long polls: what waits is woken by a commit, not by a clock."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from sqlalchemy import text

from forge_common.contracts.runs import PromoteRequest, RollbackRequest, RunState
from forge_common.db.session import session_scope
from forge_common.http.sse import data_of

pytestmark = pytest.mark.integration


class Watcher(threading.Thread):
    """Collects what `follow` yields, with the time at which it came."""

    def __init__(self, follow):
        super().__init__(daemon=True)
        self.follow, self.seen = follow, []
        self.start()

    def run(self):
        for item in self.follow():
            self.seen.append((time.monotonic(), item))


def test_the_history_of_a_run_is_streamed_and_ends_with_it(hand, registry):
    hand.domain()
    run = hand.train()

    events = list(registry.events(run.id))

    states = [event.state for event in events if event.event == "run.state"]
    assert states == [
        RunState.QUEUED,
        RunState.PREPARING,
        RunState.TRAINING,
        RunState.EXPORTING,
        RunState.DEPLOYING,
        RunState.EVALUATING,
        RunState.DECIDING,
        RunState.PROMOTED,
    ]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert events[-1].state is RunState.PROMOTED


def test_a_watcher_sees_news_at_once_and_the_stream_closes_with_the_run(hand, registry, eventually):
    hand.domain()
    run = hand.start()
    watcher = Watcher(lambda: registry.events(run.id))
    eventually(lambda: len(watcher.seen) >= 2)

    hand.claim(run)
    claimed_at = time.monotonic()
    eventually(lambda: any(event.message == "claimed by w1" for _, event in watcher.seen))
    late_s = max(at for at, _ in watcher.seen) - claimed_at
    registry.cancel_run(run.id)
    watcher.join(30)

    # Far from the 15 s after which an idle stream is looked at anyway.
    assert late_s < 5.0
    assert not watcher.is_alive()
    assert watcher.seen[-1][1].state is RunState.CANCELLED


def test_a_watcher_that_reconnects_goes_on_where_it_was(hand, registry):
    hand.domain()
    run = hand.train()
    events = list(registry.events(run.id))
    middle = events[len(events) // 2].seq

    assert [e.seq for e in registry.events(run.id, after=middle)] == [e.seq for e in events if e.seq > middle]
    with httpx2.stream(
        "GET",
        f"{registry.base_url}/v1/runs/{run.id}/events",
        headers={"authorization": f"Bearer {registry.key}", "last-event-id": str(events[-2].seq)},
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert len(list(data_of(reply.iter_lines()))) == 1


def test_an_idle_stream_shows_that_it_is_alive(hand, settings, serve, make):
    quick = settings.model_copy(update={"ping_s": 0.1})
    url = serve(quick)
    hand.domain()
    run = hand.start()

    with httpx2.stream(
        "GET", f"{url}/v1/runs/{run.id}/events", headers={"authorization": f"Bearer {settings.key_text}"}
    ) as reply:
        line = next(line for line in reply.iter_lines() if line.startswith(":"))

    assert line == ": still going"


def test_many_watchers_do_not_keep_the_registry_from_answering(hand, registry, eventually):
    hand.domain()
    run = hand.start()
    watchers = [Watcher(lambda: registry.events(run.id)) for _ in range(60)]
    eventually(lambda: all(watcher.seen for watcher in watchers), 60.0)

    started = time.monotonic()
    registry.cancel_run(run.id)

    assert time.monotonic() - started < 10
    for watcher in watchers:
        watcher.join(30)
        assert watcher.seen[-1][1].state is RunState.CANCELLED


def test_a_pointer_that_moves_wakes_whoever_waits_for_it(hand, registry, eventually):
    hand.domain()
    hand.train()
    now = registry.pointers()
    woken = []

    def wait():
        woken.append(registry.pointers(after=now.revision, wait_s=20))
        woken.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.3)
    assert woken == []
    registry.rollback("tiny", RollbackRequest())
    moved_at = time.monotonic()
    waiter.join(30)

    pointer = next(p for p in woken[0].pointers if p.domain == "tiny")
    assert woken[0].revision > now.revision
    assert (pointer.live, pointer.model, pointer.prefix) == (0, "engie-tiny:v0", "engie-tiny")
    assert woken[1] - moved_at < 5.0  # of 20 that it would wait


def test_a_change_of_the_active_domain_wakes_whoever_waits_and_is_told(registry):
    now = registry.pointers()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(registry.pointers, after=now.revision, wait_s=20)
        registry.set_active_domain("legal")
        woken = waiting.result(15)

    assert (now.active, woken.active) == ("coding", "legal")
    assert woken.revision > now.revision


def test_a_pointer_carries_the_parameters_of_the_version_that_is_live(hand, registry):
    hand.domain(ollama={"temperature": 0.3, "top_p": 0.8})
    hand.train()

    pointer = next(p for p in registry.pointers().pointers if p.domain == "tiny")

    assert pointer.parameters == {"temperature": 0.3, "top_p": 0.8, "num_ctx": 8192, "repeat_penalty": 1.0}


def test_a_wait_that_nothing_ends_returns_the_same_revision(registry):
    now = registry.pointers().revision

    started = time.monotonic()
    again = registry.pointers(after=now, wait_s=0.3)

    assert again.revision == now
    assert 0.25 < time.monotonic() - started < 10


def test_a_pointer_that_moved_before_the_wait_is_not_missed(hand, registry):
    hand.domain()
    before = registry.pointers().revision
    hand.train()

    assert registry.pointers(after=before, wait_s=20).revision > before


def test_nothing_is_missed_when_postgres_drops_the_listeners_connection(hand, registry, context, eventually):
    hand.domain()
    hand.train()
    now = registry.pointers()
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(registry.pointers(after=now.revision, wait_s=20)))
    waiter.start()

    with session_scope(context.database) as session:
        session.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'listen%'"
            )
        )
    registry.promote("tiny", PromoteRequest(version=0))
    waiter.join(30)

    assert woken[0].revision > now.revision
