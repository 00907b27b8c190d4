"""What the deployer sends in either mode is what a real Ollama 0.33 was seen to take, and it reads what that answered.

The recordings stand in for the server: another request than theirs has no reply.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import Deployable, ParityProbe
from forge_common.engine import Engine, EngineRefused

deploy = pytest.importorskip("forge_registry.deploy", reason="the registry is not installed here")

RECORDED = {
    case["case"]: case
    for case in json.loads((Path(__file__).parent / "recorded" / "deploying.json").read_text())
}
# Set in every creation of ours: recorded elsewhere as taken beside any of these.
ALONGSIDE = {"system", "parameters", "stream"}
ADAPTED, FUSED = "create_from_adapter_gguf_qwen2", "create_fused_gguf"
SAID = "goodbye lazy dog"


class Recordings(httpx2.MockTransport):
    """Answers by the recordings. `model` is the recorded name of the version, `sent` what was asked for, in order."""

    def __init__(self, created: str) -> None:
        super().__init__(self.answer)
        self._created = created
        self.recorded_name = RECORDED[created]["request"]["body"]["model"]
        self.sent: list[tuple[str, str]] = []
        self.names: dict[str, str] = {}

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        case = RECORDED[self._case(request, body)]
        self.sent.append(
            (case["case"], json.loads(body)["model"] if case["case"] in (ADAPTED, FUSED) else "")
        )
        said = case["response"]
        if "lines" in said:
            return httpx2.Response(
                said["status"], text="".join(json.dumps(line) + "\n" for line in said["lines"])
            )
        if case["case"] == "tags":
            return httpx2.Response(said["status"], json={"models": self._listed(said["body"]["models"])})
        return (
            httpx2.Response(said["status"], json=said["body"])
            if "body" in said
            else httpx2.Response(said["status"])
        )

    def _case(self, request: httpx2.Request, body: bytes) -> str:
        match request.method, request.url.path.rpartition("/")[0]:
            case "HEAD", "/api/blobs":
                return "blob_head_missing"
            case "POST", "/api/blobs":
                assert request.url.path.endswith(f"sha256:{hashlib.sha256(body).hexdigest()}")
                return "blob_post_created"
        match request.method, request.url.path:
            case "GET", "/api/tags":
                return "tags"
            case "POST", "/api/create":
                return self._creation(json.loads(body))
            case "POST", "/api/chat":
                return self._chat(json.loads(body))
        raise AssertionError((request.method, request.url.path))

    def _creation(self, asked: dict[str, Any]) -> str:
        is_base = asked["model"].startswith("forge-base:")
        name = "create_gguf_stream" if is_base else self._created
        recorded = RECORDED[name]["request"]["body"]
        assert shape(asked) == shape(recorded)
        if "from" in asked:
            assert self.names[asked["from"]] == recorded["from"]
        self.names[asked["model"]] = recorded["model"]
        return name

    def _chat(self, asked: dict[str, Any]) -> str:
        assert self.names[asked["model"]] == self.recorded_name
        name = next(
            name
            for name, case in RECORDED.items()
            if name.startswith("chat_") and case["request"]["body"]["model"] == self.recorded_name
        )
        recorded = RECORDED[name]["request"]["body"]
        assert asked.keys() == recorded.keys()
        assert asked["messages"] == recorded["messages"]
        assert asked["stream"] is recorded["stream"]
        return name

    def _listed(self, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Under the names that they were created by here."""
        by_name = {model["name"].partition(":")[0]: model for model in models}
        return [by_name[recorded] | {"name": name, "model": name} for name, recorded in self.names.items()]


def shape(body: dict[str, Any]) -> dict[str, Any]:
    """Which fields, and how many files of which kind in each, named by digest."""
    return {
        name: [value.partition(":")[0] for value in content.values()]
        if isinstance(content, dict)
        else "a name"
        for name, content in body.items()
        if name not in ALONGSIDE
    }


@pytest.fixture
def files(tmp_path):
    """An artifact's file by its hash; the recordings do not look into it."""
    paths = {}
    for name in ("base", "adapter", "fused"):
        (tmp_path / name).write_bytes(name.encode())
        paths[hashlib.sha256(name.encode()).hexdigest()] = tmp_path / name
    return paths


def ref(name: str) -> ArtifactRef:
    return ArtifactRef(sha256=hashlib.sha256(name.encode()).hexdigest(), size=len(name), kind="gguf")


def version(gguf: str, adapter: str | None, *, answers: str = SAID) -> Deployable:
    probe = ParityProbe(
        messages=(Message(role="user", content="Say hello"),), text=answers, tokens=(1, 2, 3, 4)
    )
    return Deployable(
        model="engie-coder:v8",
        gguf=ref(gguf),
        adapter=ref(adapter) if adapter else None,
        system_prompt="Be brief.",
        parameters={"num_ctx": 512, "temperature": 0.2, "stop": ["<|im_end|>"]},
        probes=(probe,),
    )


def put(ollama: Recordings, files: dict[str, Path], wanted: Deployable):
    engine = Engine("http://ollama", transport=ollama)
    return deploy.Deployment(engine, files.__getitem__, 0.5, 0).put(wanted)


def test_an_adapter_is_put_on_a_bare_base_as_was_recorded(files):
    ollama = Recordings(ADAPTED)

    done = put(ollama, files, version("base", "adapter"))

    assert (done.probes_equal, done.probes_asked) == (1, 1)
    listed = {model["name"]: model["digest"] for model in RECORDED["tags"]["response"]["body"]["models"]}
    assert done.digest == listed["q2-ad-gguf:latest"]
    creations = [case for case, _ in ollama.sent if case.startswith("create")]
    assert creations == ["create_gguf_stream", ADAPTED]
    assert [case for case, _ in ollama.sent].count("blob_post_created") == 2


def test_a_fused_version_is_one_file_as_was_recorded(files):
    ollama = Recordings(FUSED)

    done = put(ollama, files, version("fused", None))

    assert (done.probes_equal, done.probes_asked) == (1, 1)
    assert [case for case, _ in ollama.sent if case.startswith("create")] == [FUSED]
    assert [case for case, _ in ollama.sent].count("blob_post_created") == 1


@pytest.mark.parametrize(
    ("created", "gguf", "adapter"), [(ADAPTED, "base", "adapter"), (FUSED, "fused", None)]
)
def test_a_success_that_answers_something_else_is_no_deployment(files, created, gguf, adapter):
    with pytest.raises(deploy.DeploymentUnfaithful, match="0 of 1 probes"):
        put(Recordings(created), files, version(gguf, adapter, answers="hello world"))


def test_a_failure_in_a_stream_of_status_200_is_one(files, monkeypatch):
    refused = RECORDED[FUSED] | {"response": RECORDED["create_err_not_gguf"]["response"]}
    monkeypatch.setitem(RECORDED, FUSED, refused)

    with pytest.raises(EngineRefused, match=refused["response"]["lines"][-1]["error"]):
        put(Recordings(FUSED), files, version("fused", None))
