from __future__ import annotations

import hashlib
import os
import time

from forge_common.artifacts import ArtifactStore
from forge_registry.leftovers import remove_leftovers


def test_what_a_killed_upload_left_is_removed_and_nothing_else(tmp_path):
    store, data = ArtifactStore(tmp_path), b"whole"
    whole = store.put(hashlib.sha256(data).hexdigest(), [data])
    old, young = (whole.parent / f".incoming-{name}" for name in ("old", "young"))
    for file in (old, young):
        file.write_bytes(b"half")
    for file in (old, whole):
        os.utime(file, (time.time() - 4000, time.time() - 4000))

    removed = remove_leftovers(tmp_path)

    assert removed == 1
    assert sorted(whole.parent.iterdir()) == [young, whole]


def test_a_new_installation_has_no_store_yet(tmp_path):
    assert remove_leftovers(tmp_path / "none") == 0
