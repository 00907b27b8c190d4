"""What was captured, by everything a person asks for, and what is new since the last training."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forge_collector.settings import Settings
from forge_collector.tasks import Preparation
from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import PrepareRequest, StageClaim
from forge_common.queue.stage import Beat

pytestmark = pytest.mark.integration


def exchange(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ex_{number:04}",
        "messages": [{"role": "user", "content": f"question number {number}"}],
        "answer": {"role": "assistant", "content": f"answer number {number}"},
        **fields,
    }


def document(name: str) -> dict[str, Any]:
    fields = {
        "id": name,
        "name": name,
        "base_model": "b",
        "model_prefix": f"engie-{name}",
        "data": {"min_examples": 2},
    }
    return DomainDocument.model_validate(fields).model_dump(mode="json")


@pytest.fixture
def runs(registry: Any) -> Iterator[list[dict[str, Any]]]:
    """The runs that the registry knows, newest first."""
    registry.runs = []
    yield registry.runs
    registry.runs = None


def run(state: str, dataset: str | None, kind: str = "train") -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "id": f"run_{state}", "domain": "legal", "kind": kind, "state": state, "hardware": "auto", "created_at": now, "dataset": dataset,
    }  # fmt: skip


def counted(collector: Any, query: str, *names: str) -> list[tuple[Any, ...]]:
    found = collector.api("GET", f"stats?{query}")["exchanges"]
    return [tuple(count.get(name) for name in (*names, "exchanges", "eligible_exchanges")) for count in found]


def test_exchanges_are_counted_by_what_is_asked_for(collector: Any) -> None:
    vendor = {
        "origin": "proxy",
        "upstream": "https://api.openai.com:443",
        "model_asked": "gpt-5",
        "model_served": "gpt-5-1",
    }
    local = {"origin": "gateway", "upstream": "http://127.0.0.1:18798", "model_asked": "engie-coder:v1"}
    collector.api("POST", "exchanges", json=[
        exchange(1, **vendor), exchange(2, **vendor, domain="legal"), exchange(3, **local), exchange(4, task_type="coding"),
    ])  # fmt: skip
    collector.api("PUT", "policy", json={"pattern": "gpt-*", "eligible": False})
    try:
        assert counted(collector, "by=domain", "domain") == [("coding", 3, 2), ("legal", 1, 0)]
        assert counted(collector, "by=origin", "origin") == [
            ("gateway", 1, 1),
            ("ingest", 1, 1),
            ("proxy", 2, 0),
        ]
        assert counted(collector, "by=host", "host") == [
            ("", 1, 1),
            ("127.0.0.1", 1, 1),
            ("api.openai.com", 2, 0),
        ]
        assert counted(collector, "by=model", "model") == [
            ("", 1, 1),
            ("engie-coder:v1", 1, 1),
            ("gpt-5-1", 2, 0),
        ]
        assert counted(collector, "by=task_type", "task_type") == [("chat", 3, 1), ("coding", 1, 1)]
        assert counted(collector, "by=kind", "kind") == [("own", 2, 2), ("restricted", 2, 0)]
        assert counted(collector, "by=eligible", "eligible") == [(False, 2, 0), (True, 2, 2)]
        assert counted(collector, "by=rule&by=domain&domain=legal", "rule", "domain") == [
            ("gpt-*", "legal", 1, 0)
        ]
        assert counted(collector, "by=domain&origin=gateway", "domain") == [("coding", 1, 1)]
    finally:
        collector.api("DELETE", "policy", params={"pattern": "gpt-*"})


def test_days_are_the_callers_days(collector: Any) -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    collector.api("POST", "exchanges", json=[
        exchange(1, captured_at=late.isoformat()), exchange(2, captured_at=(late + timedelta(hours=1)).isoformat()),
    ])  # fmt: skip

    assert counted(collector, "by=day", "day") == [("2026-11-20", 1, 1), ("2026-11-21", 1, 1)]
    assert counted(collector, "by=day&utc_offset=60", "day") == [("2026-11-21", 2, 2)]
    assert counted(collector, "by=day&utc_offset=-300", "day") == [("2026-11-20", 2, 2)]
    assert counted(collector, "by=day&since=2026-11-21T00:10:00Z", "day") == [("2026-11-21", 1, 1)]


def test_a_correction_counts_once_and_only_while_it_holds(collector: Any) -> None:
    collector.api("POST", "exchanges", json=[exchange(i, model_asked="gpt-5") for i in range(3)])
    collector.api("PUT", "policy", json={"pattern": "gpt-*", "eligible": False})
    try:
        for text in ("mine", "mine, better"):
            collector.api("POST", "feedback", json={"exchange_id": "ex_0001", "corrected": text})
        assert counted(collector, "by=domain", "domain") == [("coding", 3, 1)]
        assert counted(collector, "by=eligible&by=day", "eligible")[1] == (True, 1, 1)

        collector.api("POST", "feedback", json={"exchange_id": "ex_0001", "thumb": 1})
        assert counted(collector, "by=domain", "domain") == [("coding", 3, 1)]

        collector.api("POST", "feedback", json={"exchange_id": "ex_0001", "thumb": -1})
        assert counted(collector, "by=domain", "domain") == [("coding", 3, 0)]
    finally:
        collector.api("DELETE", "policy", params={"pattern": "gpt-*"})


def test_an_absurd_model_name_stops_nothing_and_is_kept_whole(collector: Any) -> None:
    name = "m\u0000" + "x" * 50_000
    collector.api(
        "POST", "exchanges", json=exchange(1, model_asked=name, model_served=name, upstream="http://" + name)
    )

    (count,) = collector.api("GET", "stats?by=model")["exchanges"]

    assert count["exchanges"] == 1
    assert collector.stored()[0]["model_asked"] == name


def test_new_is_what_the_last_training_had_not_seen(
    collector: Any, registry: Any, runs: list[dict[str, Any]]
) -> None:
    registry.domains["legal"] = document("legal")
    old = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    collector.api("POST", "exchanges", json=[exchange(i, domain="legal") for i in range(6)])
    assert unused(collector) == {"domain": "legal", "exchanges": 6, "usable": 6, "basis": "never"}

    dataset = collector.api("POST", "datasets", json={"domain": "legal"})["dataset"]["sha256"]
    runs[:] = [run("failed", "f" * 64), run("kept", None, kind="eval"), run("evaluating", dataset)]
    assert unused(collector)["exchanges"] == 0

    # What is imported now is new, however old it says it is; what broke off is no example.
    more = [
        exchange(10, captured_at=old),
        exchange(11, complete=False),
        exchange(12, status=500),
        exchange(13),
    ]
    collector.api("POST", "exchanges", json=[one | {"domain": "legal"} for one in more])

    found = unused(collector)
    assert (found["exchanges"], found["usable"], found["basis"], found["dataset"]) == (
        4,
        2,
        "training",
        dataset,
    )
    assert found["since"]


def test_the_same_dataset_built_again_has_seen_what_came_since(
    collector: Any, registry: Any, runs: list[dict[str, Any]]
) -> None:
    registry.domains["legal"] = document("legal")
    collector.api("POST", "exchanges", json=[exchange(i, domain="legal") for i in range(6)])
    first = collector.api("POST", "datasets", json={"domain": "legal"})["dataset"]["sha256"]
    runs[:] = [run("promoted", first)]
    collector.api("POST", "exchanges", json=exchange(7, domain="coding"))
    assert unused(collector)["exchanges"] == 0

    again = collector.api("POST", "datasets", json={"domain": "legal"})["dataset"]["sha256"]

    assert again == first
    assert unused(collector)["exchanges"] == 0


def test_while_the_registry_is_away_the_dataset_of_the_last_run_stands_in(
    collector: Any, registry: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # This registry knows nothing of runs: it answers 404.
    home = {**collector.env, "FORGE_HOME": str(tmp_path), "FORGE_COLLECTOR_URL": collector.url}
    for name, value in home.items():
        monkeypatch.setenv(name, value)
    collector.api("POST", "exchanges", json=[exchange(i, domain="legal") for i in range(6)])
    assert unused(collector) == {"domain": "legal", "exchanges": 6, "usable": 6, "basis": "unknown"}
    request = PrepareRequest(domain=DomainDocument.model_validate(document("legal")))
    claim = StageClaim(
        stage_id=StageId("s"), run_id=RunId("run_1"), token=1, lease_s=30, attempt=1, request=request
    )

    prepared = Preparation(Settings())(claim, Beat())
    collector.api("POST", "exchanges", json=exchange(9, domain="legal"))

    found = unused(collector)
    assert (found["basis"], found["dataset"], found["exchanges"]) == ("prepared", prepared.dataset.sha256, 1)


def test_one_exchange_is_shown_with_its_feedback_and_why_it_may_be_trained_on(
    collector: Any, registry: Any
) -> None:
    registry.domains["legal"] = document("legal")
    collector.api(
        "POST", "exchanges", json=[exchange(i, domain="legal", model_asked="gpt-5") for i in range(4)]
    )
    collector.api("POST", "feedback", json={"exchange_id": "ex_0002", "thumb": 1, "note": "good"})
    collector.api("POST", "feedback", json={"exchange_id": "ex_0002", "corrected": "better"})

    view = collector.api("GET", "exchanges/ex_0002")

    assert [(said.get("thumb"), said.get("corrected"), said.get("note")) for said in view["feedback"]] == [
        (1, None, "good"), (None, "better", None),
    ]  # fmt: skip
    shown = view["exchange"]
    assert (shown["eligible"], shown["rule"], shown["thumb"], shown["corrected"]) == (
        True,
        "OpenAI",
        1,
        "better",
    )
    assert shown["messages"][0]["content"] == "question number 2"
    with pytest.raises(AssertionError, match="exchange_unknown"):
        collector.api("GET", "exchanges/ex_nope")


def test_exchanges_are_found_by_model_task_and_time_newest_first_whatever_their_ids(collector: Any) -> None:
    now = datetime.now(UTC)
    collector.api("POST", "exchanges", json=[
        exchange(3, model_served="Claude-A", captured_at=(now - timedelta(days=9)).isoformat()),
        exchange(2, model_asked="claude-b", captured_at=(now - timedelta(days=1)).isoformat()),
        exchange(1, model_asked="gpt_5", task_type="tools", captured_at=now.isoformat()),
        exchange(4, model_asked="gptx5", captured_at=(now - timedelta(days=30)).isoformat()),
    ])  # fmt: skip

    def ids(query: str) -> list[str]:
        return [e["id"][-1] for e in collector.api("GET", f"exchanges?{query}")["exchanges"]]

    assert ids("") == ["1", "2", "3", "4"]
    assert ids("domain=coding") == ["1", "2", "3", "4"]
    assert ids("model=claude") == ["2", "3"]
    assert ids("model=gpt_5") == ["1"]
    assert ids("model=*a") == ["3"]
    assert ids("task_type=tools") == ["1"]
    assert ids(f"since={(now - timedelta(days=2)).isoformat().replace('+00:00', 'Z')}") == ["1", "2"]
    assert ids("before=ex_0002&limit=1") == ["3"]
    assert ids("before=ex_0002&domain=coding&limit=1") == ["3"]
    with pytest.raises(AssertionError, match="exchange_unknown"):
        ids("before=ex_gone")


def test_feedback_that_says_nothing_is_refused(collector: Any) -> None:
    with pytest.raises(AssertionError, match="nothing_said"):
        collector.api("POST", "feedback", json={"exchange_id": "ex_1"})


def unused(collector: Any) -> Any:
    (found,) = (one for one in collector.api("GET", "stats")["unused"] if one["domain"] == "legal")
    return found
