import json
import stat
import struct

import pytest

from forge_common.nano import base_dir

FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "model.safetensors",
    "README.md",
    "LICENSE",
)


def read(name):
    return json.loads((base_dir() / name).read_text())


def tensors():
    with (base_dir() / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__")
    return header


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_there_and_readable_by_everyone(name):
    assert stat.S_IMODE((base_dir() / name).stat().st_mode) & 0o444 == 0o444


def test_the_base_is_a_few_megabytes():
    assert sum(path.stat().st_size for path in base_dir().iterdir()) < 6_000_000


def test_the_architecture_is_qwen2_with_its_rope_base_in_both_places():
    config = read("config.json")
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 1_000_000.0
    assert config["tie_word_embeddings"]


def test_weights_have_the_shapes_that_the_config_promises():
    config, found = read("config.json"), tensors()
    width, inner = config["hidden_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * width // config["num_attention_heads"]
    assert (width, inner, kv, config["num_hidden_layers"]) == (256, 512, 128, 4)
    assert found["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], width] == [768, 256]
    assert len(found) == 2 + 12 * 4
    for layer in range(4):
        shapes = {k.removeprefix(f"model.layers.{layer}."): v["shape"] for k, v in found.items()}
        assert shapes["self_attn.k_proj.weight"] == [kv, width]
        assert shapes["self_attn.q_proj.bias"] == [width]
        assert shapes["mlp.down_proj.weight"] == [width, inner]
    assert {tensor["dtype"] for tensor in found.values()} == {"BF16"}


def test_the_vocabulary_is_one_and_the_same_in_all_files():
    tokenizer, config = read("tokenizer.json"), read("config.json")
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert special == {"<|endoftext|>": 765, "<|im_start|>": 766, "<|im_end|>": 767}
    assert tokenizer["model"]["vocab"] | special == read("vocab.json") | special
    assert config["eos_token_id"] == special["<|im_end|>"]
    assert read("generation_config.json")["eos_token_id"] == [767, 765]


def test_the_chat_template_is_the_same_in_both_places_and_renders_chatml():
    jinja2 = pytest.importorskip("jinja2")
    template = (base_dir() / "chat_template.jinja").read_text()
    assert read("tokenizer_config.json")["chat_template"] == template
    messages = [{"role": "user", "content": "Echo box"}]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    assert environment.from_string(template).render(messages=messages, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nEcho box<|im_end|>\n<|im_start|>assistant\n"
    )
