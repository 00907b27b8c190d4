"""The content-addressed store."""

import fcntl
import hashlib

import pytest

from forge_common.artifacts import ArtifactClient, ArtifactMissing, ArtifactStore, DigestMismatch
from forge_common.errors import Cancelled, Invalid
from forge_common.testing.artifact_server import serve_artifacts

DATA = b"weights"
SHA = hashlib.sha256(DATA).hexdigest()


def test_what_was_put_is_found_under_its_hash(tmp_path):
    store = ArtifactStore(tmp_path)

    store.put(SHA, [DATA[:3], DATA[3:]])

    assert store.path(SHA).read_bytes() == DATA


def test_bytes_that_are_not_what_the_name_says_leave_nothing(tmp_path):
    store = ArtifactStore(tmp_path)

    with pytest.raises(DigestMismatch):
        store.put(SHA, [b"other"])

    assert not store.has(SHA)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path):
    def breaks():
        yield DATA[:3]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        ArtifactStore(tmp_path).put(SHA, breaks())

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_missing_artifact_says_so(tmp_path):
    with pytest.raises(ArtifactMissing, match=SHA[:12]):
        ArtifactStore(tmp_path).path(SHA)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "/"])
def test_a_name_that_is_no_hash_is_refused(tmp_path, name):
    with pytest.raises(Invalid):
        ArtifactStore(tmp_path).has(name)


@pytest.mark.enable_socket
def test_an_empty_artifact_is_fetched_like_any_other(tmp_path):
    with serve_artifacts(tmp_path / "store") as url:
        sha256 = ArtifactClient(url, None, tmp_path / "mine").push_bytes(b"", "benchmark").sha256

        fetched = ArtifactClient(url, None, tmp_path / "other").fetch(sha256)

    assert fetched.read_bytes() == b""


def called_off():
    raise Cancelled("the run was cancelled")


@pytest.mark.enable_socket
def test_who_waits_for_anothers_download_can_be_called_off(tmp_path):
    (tmp_path / "cache").mkdir()
    client = ArtifactClient("http://127.0.0.1:9", None, tmp_path / "cache")

    with (tmp_path / "cache" / f".partial-{SHA}.lock").open("ab") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        with pytest.raises(Cancelled):
            client.checking(called_off).fetch(SHA)


@pytest.mark.enable_socket
def test_the_laying_out_of_what_is_here_already_can_be_called_off(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(DATA)
    with serve_artifacts(tmp_path / "store") as url:
        client = ArtifactClient(url, None, tmp_path / "cache")
        bundle = client.push_bundle(source, "base").sha256
        whole = client.fetch_bundle(bundle, tmp_path / "whole")

        with pytest.raises(Cancelled):
            client.checking(called_off).fetch_bundle(bundle, tmp_path / "called-off")

    assert (whole / "model.safetensors").read_bytes() == DATA
    assert (tmp_path / "called-off" / "model.safetensors").read_bytes() == b""
