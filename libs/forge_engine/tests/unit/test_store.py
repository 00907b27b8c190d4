from __future__ import annotations

import asyncio
import hashlib
import os
import time

import pytest

from forge_common.errors import Conflict
from forge_engine import names
from forge_engine.errors import BadRequest, BlobMissing, ModelUnknown
from forge_engine.store import Details, Layer, Manifest, ModelStore

DETAILS = Details(
    family="qwen2", parameter_size="1K", quantization_level="F32", context_length=8, embedding_length=4
)
NEVER = "0" * 64


@pytest.fixture
def store(tmp_path):
    opened = ModelStore(tmp_path / "store")
    yield opened
    opened.close()


def name(text):
    parsed = names.parse(text)
    assert parsed is not None
    return parsed


def receive(store, data, digest=None):
    digest = digest or f"sha256:{hashlib.sha256(data).hexdigest()}"

    async def chunks():
        for start in range(0, len(data), 7):
            yield data[start : start + 7]

    asyncio.run(store.receive(digest, chunks()))
    return digest


def manifest(store, data=b"weights"):
    return Manifest(model=store.layer(receive(store, data)), details=DETAILS)


def make_old(store, digest):
    path = store.blob(digest)
    os.utime(path, (time.time() - 7200, time.time() - 7200))


def test_a_blob_is_stored_under_its_digest(store):
    digest = receive(store, b"some weights")

    assert store.blob(digest).read_bytes() == b"some weights"
    assert store.layer(digest).size == 12


def test_a_blob_with_another_digest_is_refused_and_leaves_nothing(store):
    with pytest.raises(BadRequest, match="digest mismatch"):
        receive(store, b"some weights", f"sha256:{NEVER}")

    assert list(store.blobs.iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(store):
    async def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(store.receive(f"sha256:{NEVER}", broken()))

    assert list(store.blobs.iterdir()) == []


@pytest.mark.parametrize("digest", ["nope", "sha256:../../etc/passwd", f"sha256:{'A' * 64}", f"md5:{NEVER}"])
def test_only_sha256_digests_name_blobs(store, digest):
    with pytest.raises(BadRequest, match="invalid digest"):
        store.has_blob(digest)


def test_a_missing_blob_is_named(store):
    with pytest.raises(BlobMissing, match=NEVER):
        store.layer(f"sha256:{NEVER}")


def test_names_are_kept_as_first_written_and_found_in_any_case(store):
    store.put(name("Tiny"), manifest(store))
    store.put(name("tiny:LATEST"), manifest(store, b"other"))

    (record,) = store.records()
    assert record.name == "Tiny:latest"
    assert store.find(name("TINY")) == record


def test_a_copy_has_the_same_digest_and_replaces_what_was_there(store):
    store.put(name("old"), manifest(store, b"old weights"))
    store.put(name("new"), manifest(store, b"new weights"))

    store.copy(name("new"), name("old"))

    assert {record.manifest.digest for record in store.records()} == {store.find(name("new")).manifest.digest}


def test_copying_what_is_not_there_says_so(store):
    with pytest.raises(ModelUnknown, match='"nope" not found'):
        store.copy(name("nope"), name("x"))


def test_deleting_removes_old_blobs_that_nobody_else_names(store):
    shared, own = manifest(store, b"shared"), manifest(store, b"own")
    store.put(name("a"), shared)
    store.put(name("b"), shared)
    store.put(name("c"), own)
    for one in (shared, own):
        make_old(store, one.model.digest)

    store.delete(name("a"))
    store.delete(name("c"))

    assert store.blob(shared.model.digest).exists()
    assert not store.blob(own.model.digest).exists()


def test_a_fresh_upload_is_kept_for_the_create_that_follows(store):
    digest = receive(store, b"uploaded a moment ago")

    store.prune()

    assert store.has_blob(digest)


def test_asking_for_an_old_blob_keeps_it_for_the_create_that_follows(store):
    digest = receive(store, b"uploaded long ago")
    make_old(store, digest)

    assert store.has_blob(digest)
    store.prune()

    assert store.blob(digest).exists()


def test_opening_removes_half_uploads_and_old_orphans(tmp_path):
    store = ModelStore(tmp_path)
    kept, orphan = manifest(store, b"kept"), receive(store, b"orphan")
    store.put(name("kept"), kept)
    make_old(store, kept.model.digest)
    make_old(store, orphan)
    (store.blobs / "partial-abc").write_bytes(b"half an upl")
    store.close()

    reopened = ModelStore(tmp_path)

    assert [path.name for path in reopened.blobs.iterdir()] == [f"sha256-{kept.model.sha256}"]
    reopened.close()


def test_a_manifest_cut_by_a_crash_does_not_hide_the_others(store):
    store.put(name("good"), manifest(store))
    (store.manifests / "bad%3Alatest.json").write_text('{"name": "bad:la')

    assert [record.name for record in store.records()] == ["good:latest"]
    assert store.find(name("bad")) is None


def test_two_engines_cannot_open_one_store(store):
    with pytest.raises(Conflict, match="another engine"):
        ModelStore(store.root)


def test_the_store_is_its_owners_alone(store):
    assert store.root.stat().st_mode & 0o077 == 0


def test_a_digest_covers_system_prompt_and_parameters():
    layer = Layer(sha256=NEVER, size=1)
    plain = Manifest(model=layer, details=DETAILS)

    digests = {plain.digest, plain.model_copy(update={"system": "x"}).digest}
    digests.add(plain.model_copy(update={"parameters": {"num_ctx": 1}}).digest)

    assert len(digests) == 3
