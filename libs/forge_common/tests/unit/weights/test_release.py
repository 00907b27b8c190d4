"""A version as a folder: whole or not at all, never over another."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGUFReader

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import BaseModelRef
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights import release
from forge_common.weights.adapter import Adapter, Pair, read_adapter, write_adapter_folder
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.tokenizer import ChatTokenizer

Q0 = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def artifacts(tmp_path):
    with serve_artifacts(tmp_path / "store") as url:
        yield ArtifactClient(url, "key", tmp_path / "cache")


@pytest.fixture
def base(artifacts, tmp_path):
    folder = write_tiny_model(tmp_path / "base")
    (folder / "README.md").write_text('---\nlicense: "mit"\n---\n# Tiny\n')
    (folder / "LICENSE").write_text("\nMIT License\n")
    return BaseModelRef(name="acme/tiny", bundle=artifacts.push_bundle(folder, "base").sha256)


@pytest.fixture
def adapter(artifacts, tmp_path):
    pair = Pair(a=np.ones((2, 64), dtype=np.float32), b=np.full((64, 2), 0.25, dtype=np.float32))
    write_adapter_folder(tmp_path / "adapter", Adapter({Q0: pair}, 2, 2.0), base_name="acme/tiny")
    return artifacts.push_bundle(tmp_path / "adapter", "adapter").sha256


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with pytest.raises(RuntimeError), release.new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_never_written_over(tmp_path):
    (tmp_path / "out").mkdir()

    with pytest.raises(release.FolderTaken), release.new_folder(tmp_path / "out"):
        pass

    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_one_that_appears_meanwhile_is_not_written_over_either(tmp_path):
    with pytest.raises(release.FolderTaken), release.new_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()


def test_the_bases_texts_come_without_its_weights(artifacts, base, tmp_path):
    texts = release.base_texts(base, artifacts, tmp_path / "texts")

    assert {"tokenizer.json", "chat_template.jinja", "LICENSE"} <= {path.name for path in texts.iterdir()}
    assert list(texts.glob("*.safetensors")) == []
    assert release.licence(texts) == "mit"


def test_without_a_model_card_the_licence_file_is_quoted_and_without_either_nothing_is(tmp_path):
    assert release.licence(tmp_path) is None

    (tmp_path / "LICENSE").write_text("\n  Apache License\nVersion 2.0\n")

    assert release.licence(tmp_path) == "Apache License"


def test_an_adapter_travels_with_its_bases_tokenizer_and_licence(artifacts, base, adapter, tmp_path):
    texts = release.base_texts(base, artifacts, tmp_path / "texts")
    with release.new_folder(tmp_path / "out") as folder:
        release.write_adapter_files(folder, adapter, texts, artifacts)

    assert read_adapter(tmp_path / "out").rank == 2
    assert ChatTokenizer(tmp_path / "out").prompt([{"role": "user", "content": "hi"}])
    assert (tmp_path / "out" / "LICENSE").read_text() == "\nMIT License\n"
    assert not (tmp_path / "out" / "config.json").exists()  # that is the base's, and would load as a model


def test_fused_weights_are_the_base_with_the_adapter(artifacts, base, adapter, tmp_path):
    with release.new_folder(tmp_path / "out") as folder:
        release.write_fused_files(folder, base, adapter, artifacts, tmp_path / "bases")

    before, after = Checkpoint(tmp_path / "base"), Checkpoint(tmp_path / "out")
    assert np.allclose(after.tensor(Q0), before.tensor(Q0) + 0.5, atol=1e-5)
    assert ChatTokenizer(tmp_path / "out").stop_ids


def test_a_gguf_is_named_and_quantised_as_asked(artifacts, base, adapter, tmp_path):
    with release.new_folder(tmp_path / "out") as folder:
        release.write_gguf_file(
            folder / "m.gguf", base, adapter, artifacts, tmp_path / "bases", quant="q8_0", name="engie-v1"
        )

    reader = GGUFReader(tmp_path / "out" / "m.gguf")
    assert reader.fields["general.name"].contents() == "engie-v1"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.gguf"]
