from __future__ import annotations

from forge_engine.runner import failure_reason, runner_environment

LOG = """0.00.006.050 I srv          init: loading model
0.00.014.628 E llama_adapter_lora_init_from_file_ptr: failed to apply lora adapter: wrong shape
0.00.014.662 E cmn  common_init_: failed to load lora adapter 'lora.gguf'
RuntimeError: Failed to init server, please check the input params."""


def test_the_first_complaint_of_llama_cpp_is_the_reason():
    assert failure_reason(LOG) == "failed to apply lora adapter: wrong shape"


def test_without_a_complaint_the_last_line_is_the_reason():
    assert failure_reason("ggml.c:12: GGML_ASSERT(x) failed\n") == "ggml.c:12: GGML_ASSERT(x) failed"
    assert failure_reason("") == "no reason given"


def test_runners_do_not_inherit_keys_and_do_not_spin(monkeypatch):
    monkeypatch.setenv("FORGE_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    environment = runner_environment()

    assert "secret" not in environment.values()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
