"""Base models from bundles and, without a network, from the hub's cache."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import BaseModelRef
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights import base_model
from forge_common.weights.base_model import DiskFull, HubUnreachable, base_config, check_room, resolve_base

COMMIT = "a" * 40


@pytest.fixture
def artifacts(tmp_path):
    with serve_artifacts(tmp_path / "store") as url:
        yield ArtifactClient(url, None, tmp_path / "cache")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """The hub's client told to stay off the network, with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.enable_socket
def test_a_bundle_is_laid_out_once_and_found_again(artifacts, tmp_path):
    source = write_tiny_model(tmp_path / "source")
    ref = BaseModelRef(name="tiny", bundle=artifacts.push_bundle(source, "base").sha256)

    folder = resolve_base(ref, artifacts, tmp_path / "work")
    (folder / "mark").touch()

    assert {path.name for path in source.iterdir()} < {path.name for path in folder.iterdir()}
    assert resolve_base(ref, artifacts, tmp_path / "work") == folder
    assert (folder / "mark").exists()
    assert [path.name for path in (tmp_path / "work" / "bases").iterdir()] == [ref.bundle]


@pytest.mark.enable_socket
def test_a_base_that_was_laid_out_does_not_lie_in_the_cache_a_second_time(artifacts, tmp_path):
    source = write_tiny_model(tmp_path / "source")
    ref = BaseModelRef(name="tiny", bundle=artifacts.push_bundle(source, "base").sha256)
    weights = (source / "model.safetensors").stat().st_size

    folder = resolve_base(ref, artifacts, tmp_path / "work")

    assert (folder / "model.safetensors").stat().st_size == weights
    kept = [path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert max(kept) < weights
    assert base_config(ref, artifacts) is not None


@pytest.mark.enable_socket
def test_of_two_workers_that_want_a_base_at_once_one_fetches_it(artifacts, tmp_path, monkeypatch):
    ref = BaseModelRef(
        name="tiny", bundle=artifacts.push_bundle(write_tiny_model(tmp_path / "source"), "base").sha256
    )
    fetched, fetch_bundle = [], ArtifactClient.fetch_bundle

    def counted(client, sha256, into):
        fetched.append(sha256)
        time.sleep(0.3)
        return fetch_bundle(client, sha256, into)

    monkeypatch.setattr(ArtifactClient, "fetch_bundle", counted)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: resolve_base(ref, artifacts, tmp_path / "work"), range(2)))

    assert folders[0] == folders[1]
    assert fetched == [ref.bundle]


@pytest.mark.enable_socket
def test_a_bundle_that_cannot_be_fetched_leaves_no_folder(artifacts, tmp_path):
    ref = BaseModelRef(name="tiny", bundle="0" * 64)

    with pytest.raises(Exception, match="no artifact"):
        resolve_base(ref, artifacts, tmp_path / "work")

    assert list((tmp_path / "work" / "bases").iterdir()) == []


def test_without_a_network_a_missing_model_says_what_to_do(offline, tmp_path):
    artifacts = ArtifactClient("http://127.0.0.1:9", None, tmp_path)

    with pytest.raises(HubUnreachable, match="org/model is not on this machine") as caught:
        resolve_base(BaseModelRef(name="org/model"), artifacts, tmp_path)

    assert "connect once" in str(caught.value.fix)


def test_without_a_network_an_earlier_copy_serves(offline, tmp_path):
    repository = offline / "models--org--model"
    write_tiny_model(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    artifacts = ArtifactClient("http://127.0.0.1:9", None, tmp_path)

    folder = resolve_base(BaseModelRef(name="org/model"), artifacts, tmp_path)

    assert folder == repository / "snapshots" / COMMIT


def test_a_disk_without_room_is_noticed_before_the_download(tmp_path):
    with pytest.raises(DiskFull, match=r"needs 1000000\.0 GB"):
        check_room("org/model", 10**15, tmp_path)

    check_room("org/model", 0, tmp_path)


@pytest.mark.enable_socket
def test_a_disk_without_room_for_a_bundle_is_noticed_before_its_weights_are_fetched(
    artifacts, tmp_path, monkeypatch
):
    source = write_tiny_model(tmp_path / "source")
    ref = BaseModelRef(name="tiny", bundle=artifacts.push_bundle(source, "base").sha256)
    monkeypatch.setattr(base_model, "SPARE_BYTES", 10**18)

    with pytest.raises(DiskFull, match="tiny needs") as caught:
        resolve_base(ref, artifacts, tmp_path / "work")

    assert "FORGE_HOME" in str(caught.value.fix)
    fetched = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert fetched < (source / "model.safetensors").stat().st_size


@pytest.mark.enable_socket
def test_a_bases_config_is_fetched_without_its_weights(artifacts, tmp_path):
    source = write_tiny_model(tmp_path / "source")
    ref = BaseModelRef(name="tiny", bundle=artifacts.push_bundle(source, "base").sha256)

    config = base_config(ref, artifacts)

    assert config["model_type"] == "qwen2"
    fetched = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert fetched < (source / "model.safetensors").stat().st_size


def test_a_config_that_cannot_be_had_is_unknown(offline, tmp_path):
    artifacts = ArtifactClient("http://127.0.0.1:9", None, tmp_path)

    assert base_config(BaseModelRef(name="org/model"), artifacts) is None


def test_only_config_tokenizer_and_weights_are_asked_for():
    assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in base_model.WANTED)
