"""The content-addressed store."""

import hashlib

import pytest

from forge_common.artifacts import ArtifactClient, ArtifactMissing, ArtifactStore, DigestMismatch
from forge_common.errors import Invalid
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
