"""Rows in llama.cpp's block formats, read back by the gguf library; whole files beside those of llama.cpp's quantiser."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, quants

from forge_common.errors import Cancelled
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.gguf_writer import write_base
from forge_engine import kquants

MIXES = {"q8_0": 7, "q6_k": 18, "q5_k_m": 17, "q4_k_m": 15, "q4_0": 2}
# The largest error in steps of the row's range: two to the bits, and the rounding of the blocks' own scales.
BITS = {Kind.Q4_0: 4, Kind.Q5_0: 5, Kind.Q5_1: 5, Kind.Q4_K: 4, Kind.Q5_K: 5, Kind.Q6_K: 6}


needs_cyllama = pytest.mark.skipif(
    find_spec("cyllama") is None, reason="cyllama has no wheel for this machine"
)


def make_block(rows=24, width=512):
    return np.random.default_rng(5).standard_normal((rows, width)).astype(np.float32)


@pytest.mark.parametrize("kind", BITS)
def test_rows_come_back_within_the_rounding_of_their_bits(kind):
    block = make_block()

    found = quants.dequantize(kquants.rows(block, kind), kind)

    span = block.max() - block.min()
    assert np.abs(found - block).max() < span / 2 ** BITS[kind]
    assert np.abs(found - block).max() > 0


def test_the_number_of_cores_changes_nothing(monkeypatch):
    monkeypatch.setattr(kquants, "usable_cores", lambda: 1)
    alone = kquants.rows(make_block(rows=7), Kind.Q4_K)

    monkeypatch.setattr(kquants, "usable_cores", lambda: 16)

    assert np.array_equal(kquants.rows(make_block(rows=7), Kind.Q4_K), alone)


def test_a_library_without_the_function_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(kquants, "_function", lambda: None)

    with pytest.raises(kquants.QuantiserMissing, match="Q4_K") as refused:
        kquants.rows(make_block(), Kind.Q4_K)

    assert "q8_0" in refused.value.fix


def by_llama_cpp(source, out, quant):
    """The whole file by llama.cpp's own quantiser, in a process of its own: it is a second llama.cpp."""
    code = (
        "import sys\nfrom cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize\n"
        "p = LlamaModelQuantizeParams(); p.ftype = int(sys.argv[3]); model_quantize(sys.argv[1], sys.argv[2], p)"
    )
    command = [sys.executable, "-c", code, str(source), str(out), str(MIXES[quant])]
    subprocess.run(command, check=True, capture_output=True)
    return out


def tensors(path):
    return {each.name: each for each in GGUFReader(path).tensors}


@pytest.mark.integration
@needs_cyllama
@pytest.mark.parametrize("quant", MIXES)
@pytest.mark.parametrize(
    ("family", "shape"),
    [
        # Eleven blocks: the mixes treat the first, the last and every third in their own way.
        ("llama", {"hidden_size": 256, "head_dim": 64, "intermediate_size": 512, "num_hidden_layers": 11}),
        ("qwen2", {"tied": True, "hidden_size": 256, "head_dim": 64, "intermediate_size": 160}),
        ("qwen3", {"tied": False}),  # rows of 64 numbers hold no block of 256
        ("qwen3", {"tied": False, "hidden_size": 256, "head_dim": 64, "intermediate_size": 512}),
        ("mistral", {"tied": False, "hidden_size": 256, "head_dim": 64, "intermediate_size": 512}),
    ],
)
def test_our_files_are_those_of_llama_cpps_quantiser_bit_for_bit(tmp_path, quant, family, shape):
    base = write_tiny_model(tmp_path / "base", family, dtype="F16", **shape)
    write_base(base, tmp_path / "f16.gguf", quant="f16", name="tiny")

    write_base(base, tmp_path / "ours.gguf", quant=quant, name="tiny")

    ours = tensors(tmp_path / "ours.gguf")
    theirs = tensors(by_llama_cpp(tmp_path / "f16.gguf", tmp_path / "theirs.gguf", quant))
    assert {n: t.tensor_type for n, t in ours.items()} == {n: t.tensor_type for n, t in theirs.items()}
    assert all(np.array_equal(ours[name].data, theirs[name].data) for name in ours)


PROGRAM = """#!{python}
import sys
from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize
source, out, quant = sys.argv[1:]
parameters = LlamaModelQuantizeParams()
parameters.ftype = {{"Q4_K_M": 15}}[quant]
model_quantize(source, out, parameters)
"""


@needs_cyllama
def test_without_the_function_the_program_on_path_writes_the_same_file(tmp_path, monkeypatch):
    base = write_tiny_model(tmp_path / "base", dtype="F16")
    write_base(base, tmp_path / "rows.gguf", quant="q4_k_m", name="tiny")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / kquants.PROGRAM
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(kquants, "_function", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    write_base(base, tmp_path / "program.gguf", quant="q4_k_m", name="tiny")

    ours, theirs = tensors(tmp_path / "rows.gguf"), tensors(tmp_path / "program.gguf")
    assert all(np.array_equal(ours[name].data, theirs[name].data) for name in ours)
    assert {path.name for path in tmp_path.glob("*.gguf*")} == {"rows.gguf", "program.gguf"}


def test_a_program_that_fails_says_why_and_leaves_no_file(tmp_path, monkeypatch):
    base = write_tiny_model(tmp_path / "base")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / kquants.PROGRAM
    program.write_text("#!/bin/sh\necho no room left; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(kquants, "_function", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + os.environ["PATH"])

    with pytest.raises(kquants.QuantiserFailed, match="3: no room left"):
        write_base(base, tmp_path / "out.gguf", quant="q4_k_m", name="tiny")

    assert list(tmp_path.glob("*.gguf*")) == []


def test_a_program_that_is_called_off_is_ended_and_leaves_no_file(tmp_path, monkeypatch):
    base = write_tiny_model(tmp_path / "base")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / kquants.PROGRAM
    program.write_text("#!/bin/sh\necho $$ > $(dirname $0)/pid\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(kquants, "_function", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + os.environ["PATH"])

    def check() -> None:
        if (tmp_path / "bin" / "pid").exists():
            raise Cancelled("the run was cancelled")

    with pytest.raises(Cancelled):
        write_base(base, tmp_path / "out.gguf", quant="q4_k_m", name="tiny", check=check)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "bin" / "pid").read_text()), 0)
    assert list(tmp_path.glob("out.gguf.f16")) == []


def test_with_neither_nothing_is_written_at_all(tmp_path, monkeypatch):
    base = write_tiny_model(tmp_path / "base")
    monkeypatch.setattr(kquants, "_function", lambda: None)
    monkeypatch.setattr(kquants, "program", lambda: None)

    with pytest.raises(kquants.QuantiserMissing, match="q4_k_m"):
        write_base(base, tmp_path / "out.gguf", quant="q4_k_m", name="tiny")

    assert list(tmp_path.glob("*.gguf*")) == []
