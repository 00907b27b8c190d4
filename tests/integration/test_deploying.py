"""The registry's deployment against the real engine: what is served is the adapter on the base, or it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from forge_common import nano
from forge_common.artifacts import sha256_of
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import Deployable, Deployed, DeployRequest, ParityProbe, StageClaim
from forge_common.engine import Engine
from forge_common.nano import traffic
from forge_common.queue.stage import Beat
from forge_common.weights.adapter import Adapter, Pair, write_adapter_folder
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.gguf_writer import write_adapter, write_base

deploy = pytest.importorskip("forge_registry.deploy", reason="the registry is not installed here")
verify = pytest.importorskip("forge_engine.verify", reason="the engine is not installed here")
running = pytest.importorskip("forge_engine.testing.running", reason="the engine is not installed here")
pytestmark = pytest.mark.integration

PROMPTS = [[Message(role="user", content=prompt)] for prompt in traffic.coding_requests(4)]
PROBE_TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano base as GGUF, and a LoRA that changes its answers."""
    folder = tmp_path_factory.mktemp("deploying")
    write_base(nano.base_dir(), folder / "base.gguf", quant="f16", name="nano")
    write_adapter_folder(folder / "adapter", random_adapter(), base_name="nano")
    write_adapter(nano.base_dir(), folder / "adapter", folder / "adapter.gguf")
    return folder


def random_adapter() -> Adapter:
    base, random = Checkpoint(nano.base_dir()), np.random.default_rng(1)
    pairs = {}
    for name in base.names():
        if name.endswith("_proj.weight"):
            rows, columns = base.shape(name)
            a, b = random.normal(0, 0.1, (4, columns)), random.normal(0, 0.1, (rows, 4))
            pairs[name] = Pair(a.astype(np.float32), b.astype(np.float32))
    return Adapter(pairs=pairs, rank=4, alpha=40.0)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with running.running_engine(folder / "engine") as process:
        yield process.client()


def reference(folder: Path, *, adapter: bool) -> tuple[ParityProbe, ...]:
    """What llama.cpp itself answers to the two files, outside of the engine."""
    found = verify.greedy(
        folder / "base.gguf",
        PROMPTS,
        adapter=folder / "adapter.gguf" if adapter else None,
        max_tokens=PROBE_TOKENS,
    )
    return tuple(
        ParityProbe(messages=tuple(prompt), text=answer.text, tokens=answer.tokens)
        for prompt, answer in zip(PROMPTS, found, strict=True)
    )


def version_of(folder: Path, name: str, probes: tuple[ParityProbe, ...], *, adapter: bool) -> Deployable:
    return Deployable(
        model=name,
        gguf=ref_to(folder / "base.gguf"),
        adapter=ref_to(folder / "adapter.gguf") if adapter else None,
        parameters={"num_ctx": 512, "temperature": 0.0},
        probes=probes,
    )


def ref_to(path: Path) -> ArtifactRef:
    return ArtifactRef(sha256=sha256_of(path), size=path.stat().st_size, kind="gguf")


def deployed(engine: Engine, folder: Path, *versions: Deployable) -> tuple[Deployed, ...]:
    files = {sha256_of(path): path for path in folder.glob("*.gguf")}
    request = DeployRequest(versions=versions)
    claim = StageClaim(
        stage_id=StageId("s"), run_id=RunId("r"), token=1, lease_s=30, attempt=1, request=request
    )
    return deploy.Deployment(engine, files.__getitem__, 0.5, 30).work(claim, Beat()).deployed


def test_v0_and_an_adapter_are_served_as_their_files_say(engine, folder):
    bare, tuned = reference(folder, adapter=False), reference(folder, adapter=True)
    assert [probe.text for probe in bare] != [probe.text for probe in tuned]

    v0, v1 = deployed(
        engine,
        folder,
        version_of(folder, "engie-test:v0", bare, adapter=False),
        version_of(folder, "engie-test:v1", tuned, adapter=True),
    )

    assert (v0.probes_equal, v1.probes_equal) == (len(PROMPTS), len(PROMPTS))
    assert v0.digest != v1.digest


@pytest.mark.parametrize("quant", ["f16", "q8_0", "q4_k_m"])
def test_a_fused_version_is_one_file_and_is_served_as_it_says(engine, folder, quant):
    fused = folder / f"fused-{quant}.gguf"
    write_base(nano.base_dir(), fused, quant=quant, name="nano", adapter=folder / "adapter")
    answers = verify.greedy(fused, PROMPTS, max_tokens=PROBE_TOKENS)
    probes = tuple(
        ParityProbe(messages=tuple(prompt), text=answer.text, tokens=answer.tokens)
        for prompt, answer in zip(PROMPTS, answers, strict=True)
    )
    bases = [tag.name for tag in engine.tags() if tag.name.startswith("forge-base:")]
    version = Deployable(
        model=f"engie-fused:{quant}",
        gguf=ref_to(fused),
        parameters={"num_ctx": 512, "temperature": 0.0},
        probes=probes,
    )

    (served,) = deployed(engine, folder, version)

    assert served.probes_equal == len(PROMPTS)
    assert [p.text for p in probes] != [p.text for p in reference(folder, adapter=False)]
    # Nothing is shared with other versions: that is what fused costs.
    assert [tag.name for tag in engine.tags() if tag.name.startswith("forge-base:")] == bases


def test_a_version_whose_adapter_is_missing_is_refused(engine, folder):
    tuned = reference(folder, adapter=True)

    with pytest.raises(deploy.DeploymentUnfaithful, match="0 of 4 probes"):
        deployed(engine, folder, version_of(folder, "engie-test:v2", tuned, adapter=False))


def test_the_base_is_in_the_engine_once_for_all_versions(engine, folder):
    tuned = reference(folder, adapter=True)

    deployed(engine, folder, *(version_of(folder, f"engie-test:v{n}", tuned, adapter=True) for n in (3, 4)))

    assert len([tag for tag in engine.tags() if tag.name.startswith("forge-base:")]) == 1
