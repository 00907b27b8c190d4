from __future__ import annotations

import contextlib

import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge_engine import gguf_header
from forge_engine.errors import AdapterMismatch, BrokenGguf, NotGguf
from forge_engine.testing.scripted_model import GOODBYE, HELLO, write_scripted_adapter, write_scripted_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def model(folder):
    return write_scripted_model(folder / "model.gguf", HELLO)


@pytest.fixture(scope="module")
def adapter(folder):
    return write_scripted_adapter(folder / "adapter.gguf", HELLO, GOODBYE)


def test_it_reads_what_the_reference_reader_reads(model):
    reference = GGUFReader(model)

    header = gguf_header.read(model)

    assert [(t.name, t.shape, t.size_bytes) for t in header.tensors] == [
        (t.name, tuple(int(n) for n in t.shape), int(t.n_bytes)) for t in reference.tensors
    ]
    assert header.parameters == sum(int(t.n_elements) for t in reference.tensors)
    assert header.number("rope.freq_base") == 1_000_000
    assert header.lengths["tokenizer.ggml.tokens"] == 284
    assert (
        header.metadata["tokenizer.chat_template"] == reference.fields["tokenizer.chat_template"].contents()
    )


def test_the_cache_of_a_token_is_layers_times_heads_times_keys_and_values_in_f16(model):
    # 2 layers, 2 key/value heads of 128 / 4 = 32, keys and values, 2 bytes
    assert gguf_header.read(model).kv_bytes_per_token() == 2 * 2 * (32 + 32) * 2


def test_long_arrays_are_counted_and_skipped(folder):
    path = folder / "long.gguf"
    writer = GGUFWriter(path, "qwen2")
    writer.add_array("words", [f"word {n}" for n in range(5000)])
    writer.add_array("numbers", list(range(5000)))
    writer.add_string("after", "still in step")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    header = gguf_header.read(path)

    assert header.lengths["words"] == header.lengths["numbers"] == 5000
    assert header.metadata["words"] is None
    assert header.metadata["after"] == "still in step"


def test_a_text_file_is_no_gguf(folder):
    path = folder / "text"
    path.write_text("hello")

    with pytest.raises(NotGguf):
        gguf_header.read(path)


def test_an_empty_file_is_no_gguf(folder):
    path = folder / "empty"
    path.touch()

    with pytest.raises(NotGguf):
        gguf_header.read(path)


def test_a_file_that_ends_inside_its_weights_names_the_tensor(model, folder):
    path = folder / "half.gguf"
    path.write_bytes(model.read_bytes()[: model.stat().st_size // 2])

    with pytest.raises(BrokenGguf, match=r"exceeds file size"):
        gguf_header.read(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(4, 4000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_read_or_refused_and_never_anything_else(model, tmp_path, at, bit):
    damaged = bytearray(model.read_bytes())
    damaged[at] ^= 1 << bit
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)

    with contextlib.suppress(BrokenGguf, NotGguf):
        gguf_header.check_model(gguf_header.read(path))


def test_a_fitting_adapter_is_accepted(model, adapter):
    gguf_header.check_adapter(gguf_header.read(adapter), gguf_header.read(model))


def test_an_adapter_for_another_architecture_is_refused(model, folder):
    other = write_scripted_adapter(folder / "llama.gguf", HELLO, GOODBYE, architecture="llama")

    with pytest.raises(AdapterMismatch, match=r"'llama'.*'qwen2'"):
        gguf_header.check_adapter(gguf_header.read(other), gguf_header.read(model))


def test_an_adapter_for_another_width_is_refused(model, folder):
    other = write_scripted_adapter(folder / "wide.gguf", HELLO, GOODBYE, width=256)

    with pytest.raises(AdapterMismatch, match=r"output\.weight.*256.*128"):
        gguf_header.check_adapter(gguf_header.read(other), gguf_header.read(model))


def test_a_model_is_no_adapter_and_an_adapter_no_model(model, adapter):
    with pytest.raises(AdapterMismatch, match="no GGUF LoRA"):
        gguf_header.check_adapter(gguf_header.read(model), gguf_header.read(model))
    with pytest.raises(BrokenGguf, match="adapter"):
        gguf_header.check_model(gguf_header.read(adapter))
