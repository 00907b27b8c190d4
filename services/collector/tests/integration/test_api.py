"""The collector's own API over a real Postgres, and the datasets that it builds."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from forge_collector.settings import Settings
from forge_collector.tasks import Preparation
from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.dataset import DatasetManifest, DatasetRow, PreferenceRow
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import PrepareRequest, StageClaim
from forge_common.queue.stage import Beat

pytestmark = pytest.mark.integration


def exchange(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": f"question number {number}"}],
        "answer": {"role": "assistant", "content": f"answer number {number}"},
        **fields,
    }


def domain(name: str, **data: Any) -> dict[str, Any]:
    document = DomainDocument.model_validate(
        {"id": name, "name": name, "base_model": "base", "model_prefix": f"engie-{name}", "data": data}
    )
    return document.model_dump(mode="json")


def test_health_is_open_and_everything_else_needs_the_key(collector: Any) -> None:
    assert httpx2.get(f"{collector.url}/forge/v1/health").json()["status"] == "ok"
    for method, path in [("GET", "stats"), ("GET", "exchanges"), ("POST", "datasets"), ("POST", "import")]:
        reply = httpx2.request(method, f"{collector.url}/forge/v1/{path}", headers={"x-forge-key": "wrong"})
        assert (reply.status_code, reply.json()["code"]) == (401, "key_required")
    bearer = {"authorization": "Bearer forge-key-for-tests"}
    assert httpx2.get(f"{collector.url}/forge/v1/stats", headers=bearer).status_code == 200


def test_ingest_is_idempotent_by_id_and_by_content(collector: Any) -> None:
    first = collector.api("POST", "exchanges", json=[exchange(1), exchange(2, id="ex_mine")])
    again = collector.api("POST", "exchanges", json=[exchange(1), exchange(2, id="ex_mine")])
    one = collector.api("POST", "exchanges", json=exchange(3))

    assert (first["accepted"], first["known"]) == (2, 0)
    assert (again["accepted"], again["known"], again["ids"]) == (0, 2, first["ids"])
    assert one["accepted"] == 1
    assert len(collector.stored()) == 3


def test_a_bad_exchange_is_named_and_none_of_its_batch_is_stored(collector: Any) -> None:
    reply = httpx2.post(
        f"{collector.url}/forge/v1/exchanges",
        headers={"x-forge-key": "forge-key-for-tests"},
        json=[exchange(1), {"messages": []}],
    )

    assert reply.status_code == 422
    assert "messages" in reply.json()["detail"]
    assert collector.stored() == []


def test_exchanges_are_filtered_and_paged(collector: Any) -> None:
    collector.api("POST", "exchanges", json=[exchange(i, id=f"ex_{i:03}", domain="legal") for i in range(7)])
    collector.api("POST", "exchanges", json=exchange(99, domain="coding"))

    pages, query = [], "exchanges?domain=legal&limit=3"
    page = collector.api("GET", query)
    while True:
        pages.append([e["id"] for e in page["exchanges"]])
        if page["next"] is None:
            break
        page = collector.api("GET", f"{query}&before={page['next']}")

    assert pages == [["ex_006", "ex_005", "ex_004"], ["ex_003", "ex_002", "ex_001"], ["ex_000"]]


def test_import_names_what_it_rejects_and_doubles_nothing(collector: Any) -> None:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": "a\u2028b"}, {"role": "assistant", "content": "c"}]}, ensure_ascii=False),
        "",
        "not json",
        json.dumps({"prompt": "p", "claude_response": "r"}),
        json.dumps({"prompt": "p"}),
    ]  # fmt: skip
    body = "\n".join(lines).encode()

    first = collector.api("POST", "import?domain=legal", content=body)
    again = collector.api("POST", "import?domain=legal", content=body)

    assert (first["accepted"], first["known"]) == (2, 0)
    assert [line["at"] for line in first["rejections"]] == [3, 5]
    assert (again["accepted"], again["known"]) == (0, 2)
    stored = {(e["domain"], e["origin"]) for e in collector.stored()}
    assert stored == {("legal", "import"), ("legal", "proxy")}


def test_stats_count_by_domain_and_origin(collector: Any) -> None:
    collector.api("POST", "exchanges", json=[exchange(1), exchange(2, complete=False)])
    collector.api("POST", "import?domain=legal", content=b'{"prompt":"p","response":"r"}')

    stats = collector.api("GET", "stats")

    assert stats["exchanges"] == [
        {
            "domain": "coding",
            "origin": "ingest",
            "exchanges": 2,
            "partial": 1,
            "eligible_exchanges": 2,
            "usable": 1,
        },
        {
            "domain": "legal",
            "origin": "import",
            "exchanges": 1,
            "partial": 0,
            "eligible_exchanges": 1,
            "usable": 1,
        },
    ]
    assert stats["backlog_bytes"] == 0


def test_a_dataset_is_built_from_what_was_captured_and_is_the_same_every_time(
    collector: Any, registry: Any
) -> None:
    benchmark = b'{"prompt": "question number 7", "gold_answer": "x"}\n'
    registry.domains["legal"] = domain("legal", min_examples=10) | {"benchmark": put(registry, benchmark)}
    collector.api("POST", "exchanges", json=[exchange(i, domain="legal") for i in range(60)])
    collector.api("POST", "exchanges", json=exchange(1000, domain="legal", complete=False))

    view = collector.api("POST", "datasets", json={"domain": "legal"})
    again = collector.api("POST", "datasets", json={"domain": "legal"})

    manifest = DatasetManifest.model_validate(view["manifest"])
    assert again == view
    assert manifest.seen == 61
    assert {c.reason: c.rows for c in manifest.dropped} == {"benchmark_exact": 1, "incomplete": 1}
    assert manifest.train_rows + manifest.valid_rows == 59
    assert [(one.origin, one.rows) for one in manifest.sources] == [("ingest", 59)]
    rows = read_rows(registry, manifest.train.sha256)
    assert len(rows) == manifest.train_rows
    assert [row.source for row in rows] == sorted(row.source for row in rows)
    assert rows[0].messages[-1].role == "assistant"
    stored = DatasetManifest.model_validate_json(registry.store.path(view["dataset"]["sha256"]).read_bytes())
    assert stored == manifest
    assert collector.api("GET", f"datasets/{view['dataset']['sha256']}") == view["manifest"]


def test_a_dataset_that_is_too_small_says_why_and_what_to_do(collector: Any, registry: Any) -> None:
    registry.domains["legal"] = domain("legal", min_examples=200)
    collector.api("POST", "exchanges", json=[exchange(i, domain="legal") for i in range(5)])

    reply = httpx2.post(
        f"{collector.url}/forge/v1/datasets",
        headers={"x-forge-key": "forge-key-for-tests"},
        json={"domain": "legal"},
        timeout=30,
    )

    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (409, "dataset_too_small")
    assert "domain 'legal' has" in problem["detail"]
    assert "needs 200" in problem["detail"]
    assert "min_examples" in problem["fix"]


def test_feedback_decides_what_is_trained_on(collector: Any, registry: Any) -> None:
    registry.domains["legal"] = domain("legal", min_examples=2)
    collector.api("POST", "exchanges", json=[exchange(i, id=f"ex_{i}", domain="legal") for i in range(6)])
    collector.api("POST", "feedback", json={"exchange_id": "ex_1", "thumb": -1})
    collector.api("POST", "feedback", json={"exchange_id": "ex_2", "thumb": -1})
    collector.api("POST", "feedback", json={"exchange_id": "ex_2", "corrected": "better, says ann@mail.org"})
    collector.api("POST", "feedback", json={"exchange_id": "ex_1", "note": "a note changes nothing"})

    manifest = DatasetManifest.model_validate(
        collector.api("POST", "datasets", json={"domain": "legal"})["manifest"]
    )

    rows = [row for side in (manifest.train, manifest.valid) for row in read_rows(registry, side.sha256)]
    answers = {row.source: row.messages[-1].content for row in rows}
    assert "ex_1" not in answers
    assert answers["ex_2"] == "better, says <EMAIL_1>"


def test_decided_pairs_are_preferences_of_the_dataset_and_both_answers_its_members(
    collector: Any, registry: Any
) -> None:
    registry.domains["legal"] = domain("legal", min_examples=2)
    rows = [exchange(i, id=f"ex_{i}", domain="legal") for i in range(6)]
    worse = {"domain": "legal", "answer": {"role": "assistant", "content": "worse"}}
    rows += [exchange(i, id=f"worse_{i}", pair_of=f"ex_{i}", **worse) for i in (1, 2)]
    collector.api("POST", "exchanges", json=rows)
    collector.api("POST", "pairs/worse_1/pick", json={"better": "left"})

    view = collector.api("POST", "datasets", json={"domain": "legal"})

    manifest = DatasetManifest.model_validate(view["manifest"])
    assert manifest.preferences is not None
    (row,) = read_preferences(registry, manifest.preferences.sha256)
    assert (row.source, row.rejected.content, manifest.preference_rows) == ("ex_1", "worse", 1)
    assert row.chosen.content != "worse"
    assert row.messages[-1].role == "user"
    members = collector.api("GET", "exchanges/worse_1")["datasets"]
    assert members == [view["dataset"]["sha256"]]
    trained = [
        r.source for side in (manifest.train, manifest.valid) for r in read_rows(registry, side.sha256)
    ]
    assert "worse_1" not in trained


def test_an_unknown_dataset_is_not_found(collector: Any) -> None:
    reply = httpx2.get(
        f"{collector.url}/forge/v1/datasets/{'0' * 64}", headers={"x-forge-key": "forge-key-for-tests"}
    )

    assert (reply.status_code, reply.json()["code"]) == (404, "dataset_unknown")


def test_the_prepare_stage_includes_what_passed_a_moment_ago(
    collector: Any, registry: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        **collector.env,
        "FORGE_HOME": str(tmp_path),
        "FORGE_COLLECTOR_URL": collector.url,
    }.items():
        monkeypatch.setenv(name, value)
    sdk = collector.sdk()
    for i in range(30):
        sdk.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": f"prepare {i}"}],
            extra_headers={"x-forge-domain": "legal"},
        )
    document = DomainDocument.model_validate(domain("legal", min_examples=20))
    claim = StageClaim(
        stage_id=StageId("s"), run_id=RunId("r"), token=1, lease_s=30, attempt=1, request=PrepareRequest(domain=document)
    )  # fmt: skip

    result = Preparation(Settings())(claim, Beat())

    assert result.train_rows + result.valid_rows == 30
    manifest = DatasetManifest.model_validate_json(registry.store.path(result.dataset.sha256).read_bytes())
    assert manifest.domain == "legal"


def test_metrics_are_served_below_forge(collector: Any) -> None:
    text = httpx2.get(f"{collector.url}/forge/metrics").text

    assert "forge_collector_exchanges_stored_total" in text
    assert "forge_collector_postgres_down 0.0" in text


def put(registry: Any, data: bytes) -> str:
    import hashlib

    sha256 = hashlib.sha256(data).hexdigest()
    registry.store.put(sha256, [data])
    return sha256


def read_preferences(registry: Any, sha256: str) -> list[PreferenceRow]:
    lines = registry.store.path(sha256).read_text().splitlines()
    return [PreferenceRow.model_validate_json(line) for line in lines]


def read_rows(registry: Any, sha256: str) -> list[DatasetRow]:
    return [
        DatasetRow.model_validate_json(line) for line in registry.store.path(sha256).read_bytes().splitlines()
    ]
