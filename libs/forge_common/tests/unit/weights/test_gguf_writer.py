"""GGUF files, read back by the gguf library."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from gguf import GGUFReader, quants

from forge_common.testing.tiny_model import write_tensors, write_tiny_model
from forge_common.weights import checkpoint
from forge_common.weights.adapter import Adapter, AdapterInvalid, Pair, write_adapter_folder
from forge_common.weights.architectures import ArchitectureUnknown
from forge_common.weights.checkpoint import Checkpoint, UnsupportedWeights
from forge_common.weights.gguf_writer import check_exportable, write_adapter, write_base
from forge_common.weights.tokenizer import ModelFolderBroken

Q0, K0 = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"


def read(path):
    """Tensors as numpy arrays by name, and a lookup of the metadata."""
    reader = GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    return tensors, lambda key: reader.fields[key].contents() if key in reader.fields else None


def numbers(tensor):
    return quants.dequantize(tensor.data, tensor.tensor_type).reshape(tuple(reversed(tensor.shape.tolist())))


def make_adapter(folder, base, names=(Q0, K0), rank=4):
    random = np.random.default_rng(3)
    shapes = {name: Checkpoint(base).shape(name) for name in names}
    pairs = {
        name: Pair(
            a=random.standard_normal((rank, shape[1])).astype(np.float32),
            b=random.standard_normal((shape[0], rank)).astype(np.float32),
        )
        for name, shape in shapes.items()
    }
    adapter = Adapter(pairs=pairs, rank=rank, alpha=8.0)
    write_adapter_folder(folder, adapter, base_name="tiny")
    return adapter


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_every_tensor_arrives_within_the_rounding_of_f16(tmp_path, dtype):
    base = write_tiny_model(tmp_path / "base", dtype=dtype)

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    tensors, _ = read(tmp_path / "base.gguf")
    source = Checkpoint(base)
    assert len(tensors) == len(source.names())
    assert np.array_equal(
        numbers(tensors["blk.1.ffn_down.weight"]),
        source.tensor("model.layers.1.mlp.down_proj.weight").astype(np.float16).astype(np.float32),
    )
    assert np.array_equal(
        numbers(tensors["blk.0.attn_q.bias"]), source.tensor("model.layers.0.self_attn.q_proj.bias")
    )


def test_matrices_are_stored_as_f16_and_vectors_as_f32(tmp_path):
    base = write_tiny_model(tmp_path / "base")

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    tensors, _ = read(tmp_path / "base.gguf")
    assert {t.tensor_type.name for t in tensors.values() if len(t.shape) == 2} == {"F16"}
    assert {t.tensor_type.name for t in tensors.values() if len(t.shape) == 1} == {"F32"}


def test_q8_0_is_within_a_rounding_step_of_the_source(tmp_path):
    base = write_tiny_model(tmp_path / "base")

    write_base(base, tmp_path / "base.gguf", quant="q8_0", name="tiny")

    tensors, field = read(tmp_path / "base.gguf")
    source = Checkpoint(base).tensor(Q0)
    steps = np.abs(source.reshape(64, -1, 32)).max(axis=2, keepdims=True) / 127
    error = np.abs(numbers(tensors["blk.0.attn_q.weight"]) - source).reshape(64, -1, 32)
    assert tensors["blk.0.attn_q.weight"].tensor_type.name == "Q8_0"
    # Half a step, and the rounding of the f16 scale times up to 127.
    assert (error <= steps * (0.5 + 127 * 2**-11)).all()
    assert field("general.file_type") == 7


def test_rows_that_hold_no_whole_block_stay_f16(tmp_path):
    base = write_tiny_model(tmp_path / "base", intermediate_size=80)

    write_base(base, tmp_path / "base.gguf", quant="q8_0", name="tiny")

    tensors, _ = read(tmp_path / "base.gguf")
    assert tensors["blk.0.ffn_down.weight"].tensor_type.name == "F16"


def test_the_model_is_described_as_llama_cpp_reads_it(tmp_path):
    base = write_tiny_model(tmp_path / "base")

    write_base(base, tmp_path / "base.gguf", quant="f16", name="engie-tiny")

    _, field = read(tmp_path / "base.gguf")
    assert field("general.architecture") == "qwen2"
    assert field("general.type") == "model"
    assert field("general.name") == "engie-tiny"
    assert field("qwen2.rope.freq_base") == 1e6
    assert (field("qwen2.block_count"), field("qwen2.attention.head_count_kv")) == (2, 2)


def test_the_tokenizer_and_its_template_travel_along(tmp_path):
    base = write_tiny_model(tmp_path / "base")

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    _, field = read(tmp_path / "base.gguf")
    source = json.loads((base / "tokenizer.json").read_text())
    texts, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    assert field("tokenizer.ggml.pre") == "qwen2"
    assert all(texts[i] == text for text, i in source["model"]["vocab"].items())
    assert len(field("tokenizer.ggml.merges")) == len(source["model"]["merges"])
    assert texts[field("tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert types[texts.index("<|im_end|>")] == 3  # control
    assert texts[-1] == f"[PAD{len(texts) - 1}]"
    assert types[-1] == 5  # unused: the model has more rows than the tokenizer has tokens
    assert field("tokenizer.ggml.add_bos_token") is False
    assert field("tokenizer.chat_template") == (base / "chat_template.jinja").read_text()


def test_untied_models_bring_their_output_and_tied_ones_do_not(tmp_path):
    for tied in (True, False):
        base = write_tiny_model(tmp_path / f"tied-{tied}", tied=tied)
        write_base(base, tmp_path / f"{tied}.gguf", quant="f16", name="tiny")

    assert "output.weight" not in read(tmp_path / "True.gguf")[0]
    assert "output.weight" in read(tmp_path / "False.gguf")[0]


def test_an_untied_model_without_output_is_refused(tmp_path):
    base = write_tiny_model(tmp_path / "base", tied=True, tie_word_embeddings=True)
    config = json.loads((base / "config.json").read_text()) | {"tie_word_embeddings": False}
    (base / "config.json").write_text(json.dumps(config))

    with pytest.raises(ModelFolderBroken, match="lm_head"):
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")


def test_llamas_query_rows_are_interleaved_and_others_are_not(tmp_path):
    base = write_tiny_model(tmp_path / "base", "llama", tied=False)

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    tensors, field = read(tmp_path / "base.gguf")
    source = Checkpoint(base)
    # One head is 16 rows; its two halves of 8 alternate in llama.cpp.
    order = [half * 8 + i for i in range(8) for half in (0, 1)]
    assert np.array_equal(
        numbers(tensors["blk.0.attn_q.weight"])[:16], source.tensor(Q0)[order].astype(np.float16)
    )
    value = "model.layers.0.self_attn.v_proj.weight"
    assert np.array_equal(numbers(tensors["blk.0.attn_v.weight"]), source.tensor(value).astype(np.float16))
    assert field("tokenizer.ggml.pre") == "llama-bpe"


def test_llama_3s_stretched_rope_becomes_factors(tmp_path):
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    base = write_tiny_model(tmp_path / "base", "llama", rope_scaling=scaling, rope_theta=1e4)

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    factors = numbers(read(tmp_path / "base.gguf")[0]["rope_freqs.weight"])
    # Wavelengths from 2π on grow tenfold every two steps: short ones stay, those beyond 256 are stretched eightfold.
    assert factors.shape == (8,)
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert 1.0 < factors[3] < 8.0


def test_a_merged_file_holds_the_merged_weights(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base)

    write_base(base, tmp_path / "f.gguf", quant="f16", name="tiny", adapter=tmp_path / "adapter")

    merged = Checkpoint(base).tensor(Q0) + 2.0 * adapter.pairs[Q0].b @ adapter.pairs[Q0].a
    found = numbers(read(tmp_path / "f.gguf")[0]["blk.0.attn_q.weight"])
    assert np.allclose(found, merged, rtol=2**-10, atol=1e-4)


def test_an_adapter_file_holds_both_halves_and_alpha(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base)

    write_adapter(base, tmp_path / "adapter", tmp_path / "adapter.gguf")

    tensors, field = read(tmp_path / "adapter.gguf")
    assert (field("general.type"), field("adapter.type"), field("adapter.lora.alpha")) == (
        "adapter",
        "lora",
        8.0,
    )
    assert field("general.architecture") == "qwen2"
    assert set(tensors) == {f"blk.0.attn_{part}.weight.lora_{half}" for part in "qk" for half in "ab"}
    assert np.allclose(numbers(tensors["blk.0.attn_q.weight.lora_a"]), adapter.pairs[Q0].a, rtol=2**-10)


def test_llamas_adapter_rows_are_interleaved_as_the_bases_are(tmp_path):
    base = write_tiny_model(tmp_path / "base", "llama")
    adapter = make_adapter(tmp_path / "adapter", base)

    write_adapter(base, tmp_path / "adapter", tmp_path / "adapter.gguf")

    order = [half * 8 + i for i in range(8) for half in (0, 1)]
    found = numbers(read(tmp_path / "adapter.gguf")[0]["blk.0.attn_q.weight.lora_b"])
    assert np.allclose(found[:16], adapter.pairs[Q0].b[order], rtol=2**-10)


def test_an_adapter_of_another_base_is_refused(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    wide = write_tiny_model(tmp_path / "wide", hidden_size=128)
    make_adapter(tmp_path / "adapter", wide)

    with pytest.raises(AdapterInvalid):
        write_adapter(base, tmp_path / "adapter", tmp_path / "adapter.gguf")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gpt_neox"}, "gpt_neox"),
        ({"use_sliding_window": True}, "sliding"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_what_cannot_be_written_exactly_is_refused(tmp_path, changes, reason):
    base = write_tiny_model(tmp_path / "base")
    config = json.loads((base / "config.json").read_text()) | changes
    (base / "config.json").write_text(json.dumps(config))

    with pytest.raises(ArchitectureUnknown, match=reason):
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    assert not (tmp_path / "base.gguf").exists()


@pytest.mark.parametrize(
    ("window", "is_refused"),
    [({}, True), ({"sliding_window": 4096}, True), ({"sliding_window": None}, False)],
)
def test_a_mistral_that_looks_back_over_less_than_its_context_is_refused(tmp_path, window, is_refused):
    base = write_tiny_model(tmp_path / "base", "mistral", max_position_embeddings=32768)
    config = json.loads((base / "config.json").read_text())
    del config["sliding_window"]  # what it says nothing about is 4096, as in transformers
    (base / "config.json").write_text(json.dumps(config | window))

    with pytest.raises(ArchitectureUnknown, match="sliding") if is_refused else nullcontext():
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")


def test_mistral_is_written_as_llama_with_its_own_words(tmp_path):
    base = write_tiny_model(tmp_path / "base", "mistral", tied=False)

    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    tensors, field = read(tmp_path / "base.gguf")
    order = [half * 8 + i for i in range(8) for half in (0, 1)]
    assert (field("general.architecture"), field("tokenizer.ggml.pre")) == ("llama", "tekken")
    assert np.array_equal(
        numbers(tensors["blk.0.attn_q.weight"])[:16], Checkpoint(base).tensor(Q0)[order].astype(np.float16)
    )


def test_an_unknown_tokenizer_is_refused(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+"
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(ArchitectureUnknown, match="tokenizer"):
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "mistral"])
def test_a_base_that_can_be_written_is_known_before_it_is_trained_on(tmp_path, family):
    check_exportable(write_tiny_model(tmp_path / "base", family))

    assert list(tmp_path.rglob("*.gguf*")) == []


def test_a_tokenizer_of_no_known_kind_is_refused_before_training(tmp_path):
    base = write_tiny_model(tmp_path / "base", "mistral")
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["model"]["byte_fallback"] = True
    tokenizer["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(ArchitectureUnknown, match="tokenizer") as refused:
        check_exportable(base)

    assert "Mistral's tokenizer" in refused.value.fix


def test_weights_that_are_no_numbers_never_become_a_file(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    tensors = {name: Checkpoint(base).tensor(name) for name in Checkpoint(base).names()}
    tensors[Q0][3, 3] = np.nan
    write_tensors(base / "model.safetensors", tensors, "F32")

    with pytest.raises(UnsupportedWeights, match=r"attn_q"):
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")

    assert not (tmp_path / "base.gguf").exists()


@pytest.mark.parametrize("quant", ["f16", "q8_0"])
def test_no_more_than_a_block_of_a_tensor_is_ever_in_memory(tmp_path, monkeypatch, quant):
    monkeypatch.setattr(checkpoint, "BLOCK_NUMBERS", 1000)
    base = write_tiny_model(tmp_path / "base")
    read_rows, sizes = Checkpoint.rows, []

    def watched(self, name, start, stop):
        rows = read_rows(self, name, start, stop)
        sizes.append(rows.size)
        return rows

    monkeypatch.setattr(Checkpoint, "rows", watched)

    write_base(base, tmp_path / "blocks.gguf", quant=quant, name="tiny")

    monkeypatch.undo()
    write_base(base, tmp_path / "whole.gguf", quant=quant, name="tiny")
    assert max(sizes) <= 1000
    assert (tmp_path / "blocks.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_the_same_weights_are_the_same_bytes(tmp_path):
    base = write_tiny_model(tmp_path / "base")

    for name in ("a", "b"):
        write_base(base, tmp_path / f"{name}.gguf", quant="f16", name="tiny")

    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_writing_that_is_called_off_leaves_no_file_under_its_name(tmp_path):
    class CalledOff(Exception):
        pass

    asked = iter(range(5))

    def check() -> None:
        if next(asked, None) is None:
            raise CalledOff

    base = write_tiny_model(tmp_path / "base")

    with pytest.raises(CalledOff):
        write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny", check=check)

    assert not (tmp_path / "base.gguf").exists()
