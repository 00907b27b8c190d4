"""Whose answers may be trained on and which model belongs to which domain, over real traffic, Postgres and restarts."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from forge_common.contracts.dataset import DatasetManifest

pytestmark = pytest.mark.integration

KEY = {"x-forge-key": "forge-key-for-tests"}


def exchange(number: int, model: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ex_{number:04}",
        "messages": [{"role": "user", "content": f"question number {number}"}],
        "answer": {"role": "assistant", "content": f"answer number {number}"},
        "model_served": model,
        "domain": "legal",
        **fields,
    }


@pytest.fixture
def house(collector: Any) -> Iterator[Any]:
    """The collector without anybody's rules."""
    yield collector
    for path in ("policy", "model-rules"):
        for rule in collector.api("GET", path)["rules"]:
            if rule.get("source", "yours") == "yours":
                collector.api("DELETE", path, params={"pattern": rule.get("pattern", rule.get("name"))})


@pytest.fixture
def legal(registry: Any) -> None:
    registry.domains["legal"] = {
        "id": "legal", "name": "legal", "base_model": "base", "model_prefix": "engie-legal", "data": {"min_examples": 2},
    }  # fmt: skip


def test_a_changed_rule_needs_no_new_capture_and_can_be_taken_back(house: Any, legal: None) -> None:
    house.api("POST", "exchanges", json=[exchange(i, "claude-x" if i < 5 else "qwen3:8b") for i in range(10)])

    before = built(house)
    effect = house.api(
        "PUT", "policy", json={"pattern": "Claude-*", "eligible": False, "reason": "we agreed"}
    )
    denied = built(house)
    undone = house.api("DELETE", "policy", params={"pattern": "claude-*"})
    after = built(house)

    assert (effect["rule"], effect["is_saved"], effect["decides"]) == ("claude-*", True, 5)
    assert effect["domains"] == [{"domain": "legal", "allowed": 0, "refused": 5}]
    assert undone["domains"] == [{"domain": "legal", "allowed": 5, "refused": 0}]
    assert {c.reason: c.rows for c in denied.dropped} == {"ineligible_teacher": 5}
    assert next((r.rule, r.source, r.eligible, r.exchanges, r.reason) for r in denied.policy) == (
        "claude-*", "yours", False, 5, "we agreed",
    )  # fmt: skip
    assert [r.rule for r in before.policy] == ["Anthropic", "open weights"]
    assert before == after


def test_a_preview_changes_nothing(house: Any) -> None:
    house.api("POST", "exchanges", json=exchange(1, "gpt-5"))
    shown = house.api("GET", "policy")

    rule = {"pattern": "kind=restricted", "eligible": False}
    effect = house.api("PUT", "policy", params={"dry_run": True}, json=rule)
    house.api("PUT", "policy", json=rule)
    back = house.api("DELETE", "policy", params={"pattern": "kind=restricted", "dry_run": True})

    assert (effect["is_saved"], effect["changes"], back["changes"]) == (False, 1, 1)
    rules = house.api("GET", "policy")["rules"]
    assert [r["name"] for r in rules if r["source"] == "yours"] == ["kind=restricted"]
    assert len(rules) == len(shown["rules"]) + 1


def test_the_policy_shows_its_order_and_what_each_rule_decides(house: Any) -> None:
    models = ["claude-a", "claude-b", "gpt-5", "qwen3:8b", "acme-large"]
    house.api(
        "POST", "exchanges", json=[exchange(i, model, origin="proxy") for i, model in enumerate(models)]
    )
    house.api("PUT", "policy", json={"pattern": "kind=restricted", "eligible": False})
    house.api("PUT", "policy", json={"pattern": "claude-a", "eligible": True, "reason": "written permission"})

    rules = house.api("GET", "policy")["rules"]

    assert [r["name"] for r in rules[:2]] == ["claude-a", "kind=restricted"]
    assert {r["name"]: r["exchanges"] for r in rules if r["exchanges"]} == {
        "claude-a": 1, "kind=restricted": 2, "open weights": 1, "everyone else": 1,
    }  # fmt: skip
    assert rules[-1]["name"] == "everyone else"


def test_saying_a_rule_again_makes_it_the_newest(house: Any) -> None:
    for pattern, eligible in (("claude-*", False), ("kind=restricted", True), ("claude-*", False)):
        house.api("PUT", "policy", json={"pattern": pattern, "eligible": eligible})

    rules = house.api("GET", "policy")["rules"]

    assert [(r["name"], r["eligible"]) for r in rules[:2]] == [("claude-*", False), ("kind=restricted", True)]
    assert rules[2]["source"] == "shipped"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"pattern": "origin=prxy", "eligible": False}, "pattern_unreadable"),
        ({"pattern": "", "eligible": False}, "pattern_unreadable"),
        ({"pattern": "x", "eligible": False, "reason": "  "}, None),
        ({"pattern": "x"}, None),
    ],
)
def test_a_bad_rule_is_refused_with_what_to_write(house: Any, rule: dict[str, Any], code: str | None) -> None:
    reply = httpx2.put(f"{house.url}/forge/v1/policy", headers=KEY, json=rule)

    assert reply.status_code == 422
    assert code is None or (reply.json()["code"] == code and reply.json()["fix"])


def test_a_rule_that_nobody_made_cannot_be_taken_back(house: Any) -> None:
    for path in ("policy", "model-rules"):
        reply = httpx2.delete(f"{house.url}/forge/v1/{path}", headers=KEY, params={"pattern": "claude-*"})
        assert (reply.status_code, reply.json()["code"]) == (404, "rule_unknown")


def test_a_correction_is_trained_on_although_the_teacher_is_refused(house: Any, legal: None) -> None:
    house.api("POST", "exchanges", json=[exchange(i, "claude-x" if i < 2 else "qwen3:8b") for i in range(8)])
    house.api("PUT", "policy", json={"pattern": "claude-*", "eligible": False})
    house.api("POST", "feedback", json={"exchange_id": "ex_0001", "corrected": "what I would have said"})

    manifest = built(house)
    shown = {e["id"]: e for e in house.api("GET", "exchanges?domain=legal")["exchanges"]}

    assert {c.reason: c.rows for c in manifest.dropped} == {"ineligible_teacher": 1}
    assert (shown["ex_0000"]["eligible"], shown["ex_0000"]["rule"]) == (False, "claude-*")
    assert (shown["ex_0001"]["eligible"], shown["ex_0001"]["corrected"]) == (True, "what I would have said")
    (count,) = house.api("GET", "stats?by=domain")["exchanges"]
    assert (count["exchanges"], count["eligible_exchanges"]) == (8, 7)


def test_traffic_goes_where_the_rule_for_its_model_says_unless_the_request_says_otherwise(house: Any) -> None:
    house.api("PUT", "model-rules", json={"pattern": "law-*", "domain": "legal"})
    house.api("PUT", "model-rules", json={"pattern": "law-tax-*", "domain": "finance"})
    sdk = house.sdk()

    def ask(model: str, **headers: str) -> None:
        message = {"role": "user", "content": f"{model} {headers}"}
        sdk.chat.completions.create(model=model, messages=[message], extra_headers=headers)

    ask("law-1")
    ask("law-tax-1")
    ask("other")
    ask("law-2", **{"x-forge-domain": "healthcare"})
    house.drain()

    domains = {e["model_asked"]: e["domain"] for e in house.stored()}
    assert domains == {"law-1": "legal", "law-tax-1": "finance", "other": "coding", "law-2": "healthcare"}


def test_what_is_sent_in_follows_the_rules_as_well(house: Any) -> None:
    house.api("PUT", "model-rules", json={"pattern": "law-*", "domain": "legal"})

    house.api(
        "POST", "exchanges", json=[exchange(1, "law-1", domain=None), exchange(2, "law-1", domain="finance")]
    )

    assert {e["id"]: e["domain"] for e in house.stored()} == {"ex_0001": "legal", "ex_0002": "finance"}


def test_the_rules_for_models_hold_after_a_restart_without_postgres(
    own_collector_at: Callable[[str], Any], database_url: str
) -> None:
    house = own_collector_at(database_url)
    house.api("PUT", "model-rules", json={"pattern": "law-*", "domain": "legal"})
    house.end()
    working = dict(house.env)
    house.env["FORGE_DATABASE_URL"] = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    house.start()
    house.sdk().chat.completions.create(
        model="law-1", messages=[{"role": "user", "content": "asked in the dark"}]
    )
    house.end()
    house.env.update(working)
    house.start()
    house.drain()

    (stored,) = house.stored()
    house.end()

    assert (stored["domain"], stored["model_asked"]) == ("legal", "law-1")


def built(house: Any) -> DatasetManifest:
    view = house.api("POST", "datasets", json={"domain": "legal"})
    return DatasetManifest.model_validate(view["manifest"])
