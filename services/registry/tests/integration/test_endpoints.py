from __future__ import annotations

import httpx2
import pytest
from sqlmodel import select

from forge_common import domains
from forge_common.artifacts import ArtifactClient, ArtifactMissing
from forge_common.contracts.domain import DeployRules
from forge_common.contracts.runs import RunKind
from forge_common.db.session import session_scope
from forge_common.errors import RemoteProblem
from forge_registry.models import Key

pytestmark = pytest.mark.integration


@pytest.fixture
def http(registry):
    with httpx2.Client(
        base_url=registry.base_url, headers={"authorization": f"Bearer {registry.key}"}
    ) as client:
        yield client


@pytest.fixture
def stranger(registry):
    with httpx2.Client(base_url=registry.base_url) as client:
        yield client


def make_key(http, scope: str) -> dict:
    return http.post("/v1/keys", json={"name": f"a {scope}", "scope": scope}).json()


# Keys


def test_health_needs_no_key_and_everything_else_does(stranger):
    assert stranger.get("/health").json()["status"] == "ok"
    paths = stranger.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        if path in ("/health", "/metrics", "/ca.pem"):
            continue
        for method in operations:
            reply = stranger.request(method, path.replace("{", "").replace("}", ""))
            assert reply.status_code == 401, (method, path)


def test_a_wrong_key_is_refused_with_a_problem_document(stranger):
    reply = stranger.get("/v1/domains", headers={"authorization": "Bearer nonsense"})

    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "key_refused"
    assert reply.json()["fix"]


def test_a_key_opens_what_its_scope_allows(http, stranger):
    hello = {"name": "w", "service": "test", "queues": []}
    allowed = {}
    for scope in ("read", "worker", "admin"):
        bearer = {"authorization": f"Bearer {make_key(http, scope)['key']}"}
        allowed[scope] = [
            stranger.get("/v1/domains", headers=bearer).status_code,
            stranger.post("/v1/workers", json=hello, headers=bearer).status_code,
            stranger.get("/v1/audit", headers=bearer).status_code,
        ]

    assert allowed == {"read": [200, 403, 403], "worker": [200, 200, 403], "admin": [200, 200, 200]}


def test_a_key_is_shown_once_and_stored_hashed(http, context):
    made = make_key(http, "read")

    with session_scope(context.database) as session:
        row = session.exec(select(Key)).one()
    assert made["key"] not in row.model_dump_json()
    assert "key" not in http.get("/v1/keys").json()[0]


def test_a_revoked_key_opens_nothing(http, stranger):
    made = make_key(http, "admin")

    assert http.delete(f"/v1/keys/{made['id']}").status_code == 204

    bearer = {"authorization": f"Bearer {made['key']}"}
    assert stranger.get("/v1/domains", headers=bearer).status_code == 401


def test_the_brokers_address_is_handed_to_workers_only(http, stranger, settings):
    hello = {"name": "gpu-1", "service": "trainer-cuda", "queues": ["train.cuda"], "device": "H100"}
    worker = {"authorization": f"Bearer {make_key(http, 'worker')['key']}"}

    welcome = stranger.post("/v1/workers", json=hello, headers=worker).json()

    assert welcome["broker_url"] == settings.broker_url
    seen = http.get("/v1/workers").json()
    assert [(w["name"], w["queues"], w["is_alive"]) for w in seen] == [("gpu-1", ["train.cuda"], True)]


# Domains


def test_the_shipped_domains_are_there_from_the_start(registry):
    assert {document.id for document in registry.domains()} == set(domains.shipped())
    assert registry.domain("legal") == domains.load("legal")


def test_a_domain_of_ones_own_is_data(registry, make):
    registry.put_domain(make.document("cooking"))

    assert registry.domain("cooking").model_prefix == "engie-cooking"


def test_a_document_that_makes_no_sense_is_refused_and_says_where(http, make):
    document = make.document().model_dump(mode="json")

    reply = http.put("/v1/domains/tiny", json=document | {"model_prefix": "Not A Slug", "colour": "red"})

    assert reply.status_code == 422
    assert "model_prefix" in reply.json()["detail"]
    assert "colour" in reply.json()["detail"]


def test_a_document_under_another_name_is_refused(http, make):
    reply = http.put("/v1/domains/other", json=make.document("tiny").model_dump(mode="json"))

    assert (reply.status_code, reply.json()["code"]) == (422, "domain_mismatch")


def test_a_domain_whose_adapters_no_engine_can_load_is_refused(registry, make):
    document = make.document("heavy", training={"method": "dora"}, deploy={"mode": "adapter"})

    with pytest.raises(RemoteProblem, match="DoRA") as refused:
        registry.put_domain(document)

    assert "deploy.mode to fused" in refused.value.fix
    registry.put_domain(document.model_copy(update={"deploy": DeployRules(mode="fused")}))


def test_two_domains_cannot_share_a_model_prefix(registry, make):
    registry.put_domain(make.document("one"))

    with pytest.raises(RemoteProblem) as refusal:
        registry.put_domain(make.document("two", model_prefix="engie-one"))

    assert refusal.value.code == "prefix_taken"


def test_a_restart_keeps_what_was_changed(registry, settings, serve):
    registry.put_domain(registry.domain("coding").model_copy(update={"name": "Mine"}))

    serve(settings)

    assert registry.domain("coding").name == "Mine"


def test_the_active_domain_is_remembered(registry):
    assert registry.active_domain() == "coding"

    registry.set_active_domain("legal")

    assert registry.active_domain() == "legal"
    assert registry.pointers().active == "legal"
    with pytest.raises(RemoteProblem, match="nowhere"):
        registry.set_active_domain("nowhere")


def test_a_benchmark_belongs_to_a_domain_and_survives_a_new_document(hand, registry, http, make):
    hand.domain(benchmark=None)
    assert http.get("/v1/domains/tiny/benchmark").json()["code"] == "benchmark_missing"

    registry.put_benchmark("tiny", make.ref(make.BENCHMARK, "benchmark"))
    hand.domain(benchmark=None, description="Edited.")

    assert registry.domain("tiny").description == "Edited."
    assert registry.domain("tiny").benchmark == make.ref(make.BENCHMARK).sha256
    assert http.get("/v1/domains/tiny/benchmark").json()["size"] == len(make.BENCHMARK)


def test_a_benchmark_that_was_not_uploaded_is_refused(registry, make):
    registry.put_domain(make.document())

    with pytest.raises(RemoteProblem) as refusal:
        registry.put_benchmark("tiny", make.ref(b"never sent", "benchmark"))

    assert refusal.value.code == "artifact_missing"


def test_a_registered_base_is_what_runs_train_on(hand, registry):
    hand.domain()
    bundle = hand.upload("weights", "base")

    registry.put_base("forge/tiny", bundle=bundle.sha256)

    base = hand.claim(hand.start(kind=RunKind.BASE)).request.base
    assert (base.name, base.bundle) == ("forge/tiny", bundle.sha256)


# Artifacts


def test_an_artifact_comes_back_as_it_was_sent(registry, tmp_path):
    data = bytes(range(256)) * 20_000
    client = ArtifactClient(registry.base_url, registry.key, tmp_path / "cache")
    source = tmp_path / "file.bin"
    source.write_bytes(data)

    ref = client.push(source, "gguf")

    assert client.fetch(ref.sha256).read_bytes() == data


def test_an_artifact_is_served_in_ranges(hand, http):
    ref = hand.upload("0123456789")

    part = http.get(f"/v1/artifacts/{ref.sha256}", headers={"range": "bytes=3-5"})
    beyond = http.get(f"/v1/artifacts/{ref.sha256}", headers={"range": "bytes=10-"})
    head = http.head(f"/v1/artifacts/{ref.sha256}")

    assert (part.status_code, part.text) == (206, "345")
    assert beyond.status_code == 416
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


def test_bytes_that_are_not_what_their_name_says_are_refused_and_not_kept(http, make, settings):
    sha256 = make.ref(b"the truth").sha256

    reply = http.put(f"/v1/artifacts/{sha256}", content=b"a lie")

    assert (reply.status_code, reply.json()["code"]) == (422, "digest_mismatch")
    assert http.head(f"/v1/artifacts/{sha256}").status_code == 404
    assert [path for path in settings.artifact_root.rglob("*") if path.is_file()] == []


def test_a_name_that_is_no_hash_reaches_no_file(http):
    reply = http.get("/v1/artifacts/..%2F..%2Fetc%2Fpasswd")

    assert reply.status_code in (404, 422)


def test_an_unknown_artifact_is_not_found(registry, tmp_path):
    client = ArtifactClient(registry.base_url, registry.key, tmp_path)

    with pytest.raises(ArtifactMissing):
        client.fetch("0" * 64)


# The rest


def test_scorecards_are_found_by_the_versions_that_name_them(hand, registry):
    hand.domain()
    run = hand.train()

    version = registry.versions("tiny")[0]

    assert registry.scorecard(version.scorecard_id) == run.scorecard


def test_the_audit_says_who_moved_what(hand, http):
    hand.domain()
    hand.train()

    log = http.get("/v1/audit").json()

    moves = [
        (line["action"], line["by"], line["detail"]["version"])
        for line in log
        if line["subject"] == "tiny" and "pointer" in line["action"]
    ]
    assert moves == [("pointer.gate", "gate", 1), ("pointer.manual", "registry", 0)]
    assert {"run.started", "domain.put"} <= {line["action"] for line in log}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/domains/no",
        "/v1/runs/no",
        "/v1/runs/no/events",
        "/v1/scorecards/no",
        "/v1/domains/no/versions",
        "/v1/domains/no/promotions",
    ],
)
def test_what_is_not_there_is_a_problem_document(http, path):
    reply = http.get(path)

    assert reply.status_code == 404
    assert reply.json()["detail"]
    assert reply.headers["content-type"] == "application/problem+json"


def test_every_operation_is_described(http):
    paths = http.get("/openapi.json").json()["paths"]

    for path, operations in paths.items():
        if path.startswith("/v1"):
            for method, operation in operations.items():
                assert operation["security"] == [{"HTTPBearer": []}], (method, path)
                assert operation["tags"], (method, path)
