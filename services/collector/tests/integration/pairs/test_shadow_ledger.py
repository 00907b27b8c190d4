"""The books of shadow calls in a real Postgres: who may claim what, and what is charged."""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from forge_collector import shadow_ledger
from forge_collector.models import SCHEMA
from forge_collector.repository import insert_exchanges
from forge_collector.shadow import Answerer, plan
from forge_collector.shadow_ledger import Claim, ShadowPolicy
from forge_common.contracts.base import ExchangeId
from forge_common.contracts.exchange import Exchange, Message, Usage
from forge_common.db.migrate import upgrade
from forge_common.db.session import make_engine, session_scope

pytestmark = pytest.mark.integration

LEASE = timedelta(minutes=5)
BOTH = (Answerer.LOCAL, Answerer.TEACHER)


@pytest.fixture(scope="module")
def shared_engine(shared_database: str) -> Iterator[Engine]:
    upgrade(shared_database, package="forge_collector", schema=SCHEMA)
    engine = make_engine(shared_database)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(shared_engine: Engine, one_day: None) -> Engine:
    tables = ("exchanges", "shadow_policy", "shadow_calls", "shadow_days", "shadow_pauses")
    with session_scope(shared_engine) as session:
        session.connection().execute(text(f"truncate {', '.join(f'collector.{t}' for t in tables)}"))
    return shared_engine


def exchange(number: int, **more: Any) -> Exchange:
    fields: dict[str, Any] = {
        "id": ExchangeId(f"ex_{number:04}"),
        "captured_at": datetime.now(UTC),
        "domain": "coding",
        "conversation_id": f"conv_{number}",
        "messages": (Message(role="user", content=f"question {number}"),),
        "answer": Message(role="assistant", content="an answer"),
        "finish_reason": "stop",
        "usage": Usage(prompt_tokens=100, completion_tokens=10),
    }
    return Exchange(**(fields | more))


@pytest.fixture
def switch_on(engine: Engine) -> Callable[..., None]:
    def switch(**policy: Any) -> None:
        with session_scope(engine) as session:
            shadow_ledger.set_policy(session, ShadowPolicy(**({"rate": 1.0, "concurrency": 8} | policy)))

    return switch


@pytest.fixture
def store(engine: Engine) -> Callable[..., int]:
    """Stores exchanges and looks at what is new."""

    def add(*exchanges: Exchange) -> int:
        with session_scope(engine) as session:
            insert_exchanges(session, exchanges)
        with session_scope(engine) as session:
            return shadow_ledger.enrol(session, lambda e: plan(e, own=frozenset(), has_teacher=True))

    return add


@pytest.fixture
def claim(engine: Engine) -> Callable[..., Claim | None]:
    def take(answerers: tuple[Answerer, ...] = BOTH, lease: timedelta = LEASE) -> Claim | None:
        with session_scope(engine) as session:
            return shadow_ledger.claim(session, answerers, lease)

    return take


@pytest.fixture
def within(engine: Engine) -> Callable[..., Any]:
    """Calls a function of the ledger in a transaction of its own."""

    def call(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        with session_scope(engine) as session:
            return function(session, *arguments, **more)

    return call


@pytest.fixture
def execute(engine: Engine) -> Callable[[str], Any]:
    def run(statement: str) -> Any:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.fetchall() if result.returns_rows else None

    return run


def test_it_is_off_until_somebody_switches_it_on(store: Any, claim: Any, within: Any) -> None:
    assert store(exchange(1)) == 0
    assert claim() is None
    assert within(shadow_ledger.books).policy == ShadowPolicy()
    assert ShadowPolicy().rate == 0


def test_only_what_is_stored_from_then_on_is_shadowed(store: Any, switch_on: Any, claim: Any) -> None:
    store(exchange(1))
    switch_on()

    store(exchange(2))

    assert claim().exchange.id == "ex_0002"
    assert claim() is None


def test_an_exchange_is_noted_once_however_often_it_is_looked_for(
    store: Any, switch_on: Any, execute: Any
) -> None:
    switch_on()

    seen = [store(exchange(1), exchange(2)), store(), store(exchange(2), exchange(3))]

    assert seen == [2, 0, 1]
    assert execute("select count(*) from collector.shadow_calls") == [(3,)]


def test_what_was_stored_late_by_a_slow_transaction_is_found(
    store: Any, switch_on: Any, execute: Any
) -> None:
    switch_on()
    execute("update collector.shadow_policy set switched_on_at = now() - interval '1 hour'")
    store(exchange(1))

    with_older_time = exchange(2)
    store(with_older_time)
    execute("delete from collector.shadow_calls where exchange_id = 'ex_0002'")
    execute(
        "update collector.exchanges set stored_at = stored_at - interval '2 minutes' where id = 'ex_0002'"
    )

    assert store() == 1


def test_the_rate_is_a_share_of_all_and_a_raised_one_adds_to_it(
    store: Any, switch_on: Any, execute: Any
) -> None:
    switch_on(rate=0.25)
    store(*(exchange(i) for i in range(400)))
    while store():
        pass
    quarter = {identity for (identity,) in execute("select exchange_id from collector.shadow_calls")}
    switch_on(rate=0.5)
    while store():
        pass
    half = {identity for (identity,) in execute("select exchange_id from collector.shadow_calls")}

    # Four standard deviations of a binomial distribution of 400.
    assert 65 <= len(quarter) <= 135
    assert 160 <= len(half) <= 240
    assert quarter < half


@pytest.mark.parametrize(
    "more",
    [
        {"origin": "compare", "pair_of": "ex_0000"},
        {"origin": "import"},
        {"origin": "practice"},
        {"origin": "mined"},
        {"status": 429},
        {"complete": False},
    ],
)
def test_what_is_no_whole_live_exchange_is_not_shadowed(
    store: Any, switch_on: Any, claim: Any, more: Any
) -> None:
    switch_on()

    assert store(exchange(1, **more)) == 0
    assert claim() is None


def test_concurrency_holds_across_claimants(store: Any, switch_on: Any, engine: Engine) -> None:
    switch_on(concurrency=3)
    store(*(exchange(i) for i in range(20)))
    claims: list[Claim | None] = []
    start = threading.Barrier(10)

    def take() -> None:
        start.wait()
        with session_scope(engine) as session:
            claims.append(shadow_ledger.claim(session, BOTH, LEASE))

    threads = [threading.Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    taken = [claim.exchange.id for claim in claims if claim]
    assert len(taken) == len(set(taken)) == 3


def test_a_call_is_paid_in_advance_and_settled_by_its_usage(
    store: Any, switch_on: Any, claim: Any, within: Any
) -> None:
    switch_on(answer_tokens=500)
    store(exchange(1))

    held = claim()
    during = within(shadow_ledger.books)
    assert within(shadow_ledger.settle, held, tokens=140) is True
    after = within(shadow_ledger.books)

    assert (during.tokens_today, during.under_way) == (600, 1)
    assert (after.tokens_today, after.under_way) == (140, 0)


def test_unknown_usage_is_not_zero(store: Any, switch_on: Any, claim: Any, within: Any) -> None:
    switch_on(answer_tokens=500)
    store(exchange(1))

    within(shadow_ledger.settle, claim(), tokens=None)

    assert within(shadow_ledger.books).tokens_today == 600


def test_the_budget_of_the_day_is_never_exceeded_and_the_next_day_goes_on(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on(daily_tokens=1000, answer_tokens=300)
    store(*(exchange(i) for i in range(5)))

    made = []
    while held := claim():
        within(shadow_ledger.settle, held, tokens=350)
        made.append(held)

    # 350, 700; a third might need 400 and would end beyond 1000.
    assert len(made) == 2
    assert within(shadow_ledger.books).tokens_today == 700
    execute("update collector.shadow_days set day = day - 1")
    assert claim() is not None


def test_a_prompt_beyond_the_budget_is_skipped_and_stops_nobody(
    store: Any, switch_on: Any, claim: Any, within: Any
) -> None:
    switch_on(daily_tokens=1000, answer_tokens=300)
    store(exchange(1, usage=Usage(prompt_tokens=5000)), exchange(2))

    assert claim().exchange.id == "ex_0002"
    counted = {(c.state, c.reason): c.calls for c in within(shadow_ledger.books).calls}
    assert counted["skipped", "larger_than_budget"] == 1


def test_a_worker_that_fell_silent_is_taken_over_and_can_settle_no_more(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on(concurrency=1, answer_tokens=100)
    store(exchange(1))
    silent = claim()
    assert claim() is None

    execute("update collector.shadow_calls set lease_until = now() - interval '1 second'")
    heir = claim()

    assert heir.exchange.id == silent.exchange.id
    assert within(shadow_ledger.settle, silent, tokens=1) is False
    assert within(shadow_ledger.settle, heir, tokens=150) is True
    # What the silent one may have used stays charged.
    assert within(shadow_ledger.books).tokens_today == 200 + 150


def test_a_call_whose_workers_keep_dying_is_given_up(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1))

    attempts = 0
    while claim():
        attempts += 1
        execute("update collector.shadow_calls set lease_until = now() - interval '1 second'")

    assert attempts == 5
    counted = within(shadow_ledger.books).calls
    assert [(c.state, c.reason) for c in counted] == [("failed", "its workers died")]


def test_a_failed_call_waits_longer_each_time_and_is_given_up_in_the_end(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1))

    waits = []
    while held := claim():
        within(shadow_ledger.fail, held, "busy", again=True, tokens=0)
        waits += execute(
            "select extract(epoch from due_at - now())::float from collector.shadow_calls where state = 'due'"
        )
        execute("update collector.shadow_calls set due_at = now()")

    assert len(waits) == 4
    assert all(later[0] > 1.2 * earlier[0] for earlier, later in itertools.pairwise(waits))
    assert within(shadow_ledger.books).tokens_today == 0
    assert execute("select state, reason from collector.shadow_calls") == [("failed", "busy")]


def test_a_failure_that_is_not_the_calls_own_is_put_off_for_ever(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1))

    for _ in range(8):
        within(shadow_ledger.fail, claim(), "nobody listens", again=True, tokens=0, counts=False)
        execute("update collector.shadow_calls set due_at = now()")

    assert claim() is not None


def test_a_model_in_trouble_rests_while_the_other_works(
    store: Any, switch_on: Any, claim: Any, within: Any
) -> None:
    switch_on()
    store(exchange(1), exchange(2, origin="gateway"))

    wait = within(shadow_ledger.pause, Answerer.LOCAL, "429", retry_after_s=90.0)

    assert wait >= 90
    assert claim().answerer is Answerer.TEACHER
    assert claim() is None
    pause = within(shadow_ledger.books).pauses[0]
    assert (pause.answerer, pause.reason) == (Answerer.LOCAL, "429")


def test_calls_that_fail_together_are_one_failure_and_an_answer_ends_the_rest(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1))
    held = claim()

    for _ in range(4):
        within(shadow_ledger.pause, Answerer.LOCAL, "429")
    assert within(shadow_ledger.books).pauses[0].failures == 1
    execute("update collector.shadow_pauses set until = now() - interval '1 second'")
    within(shadow_ledger.pause, Answerer.LOCAL, "429")
    assert within(shadow_ledger.books).pauses[0].failures == 2

    within(shadow_ledger.settle, held, tokens=1)
    assert within(shadow_ledger.books).pauses == ()


def test_what_was_erased_is_neither_called_nor_stored(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1), exchange(2))
    held = claim()

    execute("delete from collector.exchanges")

    assert within(shadow_ledger.settle, held, tokens=1) is False
    assert claim() is None
    assert execute("select count(*) from collector.shadow_calls") == [(0,)]


def test_switched_off_it_drops_what_was_due_and_claims_nothing(
    store: Any, switch_on: Any, claim: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1), exchange(2))

    switch_on(rate=0)

    assert claim() is None
    assert execute("select count(*) from collector.shadow_calls where state = 'due'") == [(0,)]
    assert store(exchange(3)) == 0


def test_a_call_that_is_given_back_costs_no_attempt(
    store: Any, switch_on: Any, claim: Any, within: Any, execute: Any
) -> None:
    switch_on()
    store(exchange(1))

    within(shadow_ledger.give_back, claim())

    assert execute("select state, attempts from collector.shadow_calls") == [("due", 0)]
    assert claim() is not None
