"""Our torch-free tokenizer, adapter and GGUF code against transformers and llama.cpp."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from forge_common import nano
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.exchange import Message
from forge_common.testing.tiny_model import TEMPLATE, write_tiny_model
from forge_common.weights.adapter import Adapter, Pair, merge, write_adapter_folder
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.gguf_writer import write_adapter, write_base
from forge_common.weights.rows import as_chat, encode_row
from forge_common.weights.tokenizer import ChatTokenizer
from forge_engine import verify
from forge_trainer_cuda.model import go_on_from, load_trainable, trained

pytestmark = pytest.mark.integration

CALL = {"type": "function", "function": {"name": "f", "arguments": '{"a": [1, "<é>"]}'}}
CHATS = [
    [Message(role="user", content="Write f(a): return a*2!  \n\n\tdone 1234")],
    [Message(role="system", content="Be brief. 日本語 & <b>"), Message(role="user", content="hi")],
    [
        Message(role="user", content="a"),
        Message(role="assistant", content="", tool_calls=(CALL,)),
        Message(role="tool", content="42"),
        Message(role="assistant", content="It's 42."),
    ],
]
QUESTIONS = [
    "def add(a, b):",
    "Hello, who? 1234 times",
    "The quick brown fox",
    "function returns",
    "a b c d e",
]


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("with_prompt", [True, False])
def test_conversations_become_the_same_text_and_tokens_as_with_transformers(chat, with_prompt):
    ours, theirs = ChatTokenizer(nano.base_dir()), AutoTokenizer.from_pretrained(nano.base_dir())
    plain = [as_chat(message) for message in chat]

    text = ours.apply_chat_template(plain, add_generation_prompt=with_prompt)

    assert text == theirs.apply_chat_template(plain, tokenize=False, add_generation_prompt=with_prompt)
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert ours.decode(ours.encode(text)) == theirs.decode(ours.encode(text), skip_special_tokens=True)


def test_rows_are_the_same_with_either_tokenizer():
    ours, theirs = ChatTokenizer(nano.base_dir()), AutoTokenizer.from_pretrained(nano.base_dir())

    assert encode_row(CHATS[2], ours) == encode_row(CHATS[2], theirs)


TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": 'Looks é <up> & "down"',
        "parameters": {
            "type": "object",
            "properties": {
                "at": {"type": "string", "enum": ["x", "y"]},
                "n": {"type": "number", "minimum": 0.5},
            },
            "required": ["at"],
        },
    },
}
# Qwen2.5's way of offering tools, written for this test.
OFFER = """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n\\n<tools>' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- endif %}
"""


@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_tools_and_calls_are_the_same_tokens_in_training_in_transformers_and_in_llama_cpp(tmp_path, tools):
    base = write_tiny_model(tmp_path / "base")
    (base / "chat_template.jinja").write_text(OFFER + TEMPLATE)
    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")
    ours, theirs = ChatTokenizer(base), AutoTokenizer.from_pretrained(base)
    chats = [chat for chat in CHATS if chat[-1].role == "user"] + [CHATS[2][:-1]]

    served = verify.prompt_tokens(tmp_path / "base.gguf", chats, tools=tools)

    for chat, found in zip(chats, served, strict=True):
        plain = [as_chat(message) for message in chat]
        trained = ours.encode(ours.apply_chat_template(plain, tools=tools, add_generation_prompt=True))
        assert list(found) == trained
        text = theirs.apply_chat_template(plain, tools=tools, tokenize=False, add_generation_prompt=True)
        assert theirs.encode(text, add_special_tokens=False) == trained


def make_adapter(folder, base, *, is_dora=False):
    random = np.random.default_rng(1)
    source = Checkpoint(base)

    def numbers(*shape):
        return (random.standard_normal(shape) * 0.2).astype(np.float32)

    pairs = {
        name: Pair(
            a=numbers(4, source.shape(name)[1]),
            b=numbers(source.shape(name)[0], 4),
            magnitude=1.5 + numbers(source.shape(name)[0]) if is_dora else None,
        )
        for name in source.names()
        if name.endswith("proj.weight")
    }
    write_adapter_folder(folder, Adapter(pairs, 4, 8.0), base_name="tiny")
    return folder


def first_logprobs(model, base):
    """Of the likeliest first token of each answer."""
    tokenizer = ChatTokenizer(base)
    found = []
    for question in QUESTIONS:
        tokens = tokenizer.prompt([{"role": "user", "content": question}])
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0, -1]
        found.append(torch.log_softmax(logits, -1).max().item())
    return found


def served_logprobs(gguf, adapter=None):
    prompts = [[Message(role="user", content=question)] for question in QUESTIONS]
    return [each.logprobs[0] for each in verify.greedy(gguf, prompts, adapter=adapter, max_tokens=1)]


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("qwen2", {"tied": True}),
        ("qwen2", {"tied": False, "dtype": "BF16"}),
        ("qwen3", {}),
        ("llama", {"tied": False}),
        ("llama", {"rope_scaling": LLAMA3, "rope_theta": 1e4}),
        ("mistral", {"tied": False}),
        ("mistral", {"head_dim": 32, "dtype": "BF16"}),  # heads that are wider than the model, as Nemo's
    ],
)
def test_every_family_scores_the_same_in_llama_cpp_as_in_transformers(tmp_path, family, options):
    base = write_tiny_model(tmp_path / "base", family, **options)
    adapter = make_adapter(tmp_path / "adapter", base)
    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")
    write_adapter(base, adapter, tmp_path / "adapter.gguf")
    write_base(base, tmp_path / "fused.gguf", quant="f16", name="tiny", adapter=adapter)
    merge(base, adapter, tmp_path / "merged")

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    bare = first_logprobs(model, base)
    tuned = first_logprobs(PeftModel.from_pretrained(model, adapter), base)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)

    assert max(abs(a - b) for a, b in zip(bare, tuned, strict=True)) > 0.3
    # Widest differences recorded with a real Ollama were 0.007; these models are narrower and noisier.
    assert served_logprobs(tmp_path / "base.gguf") == pytest.approx(bare, abs=0.05)
    assert served_logprobs(tmp_path / "base.gguf", tmp_path / "adapter.gguf") == pytest.approx(
        tuned, abs=0.05
    )
    assert served_logprobs(tmp_path / "fused.gguf") == pytest.approx(tuned, abs=0.05)
    assert first_logprobs(merged, base) == pytest.approx(tuned, abs=0.05)


FAMILIES = [
    ("qwen2", {"tied": True}),
    ("qwen3", {}),
    ("llama", {"tied": False}),
    ("mistral", {"tied": False}),
]


def logprobs_after(model, tokens):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([tokens])).logits[0, -1], -1)


def assert_greedy_answers(model, gguf, adapter=None, count=8):
    """llama.cpp takes the model's likeliest token each time, or one that the model gives nearly the same chance."""
    different = 0
    prompts = [[Message(role="user", content=question)] for question in QUESTIONS]
    for answer in verify.greedy(gguf, prompts, adapter=adapter, max_tokens=count):
        context = list(answer.prompt)
        assert answer.tokens
        for token in answer.tokens:
            likely = logprobs_after(model, context)
            different += int(likely.argmax() != token)
            # Random weights have near-ties, which f16 rounds either way; what follows is then another text.
            assert likely.max() - likely[token] < 0.05
            context.append(token)
    assert different <= len(QUESTIONS)


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_every_familys_greedy_tokens_are_the_trained_weights_as_adapter_and_fused(tmp_path, family, options):
    base = write_tiny_model(tmp_path / "base", family, **options)
    adapter = make_adapter(tmp_path / "adapter", base)
    write_base(base, tmp_path / "base.gguf", quant="f16", name="tiny")
    write_adapter(base, adapter, tmp_path / "adapter.gguf")
    write_base(base, tmp_path / "fused.gguf", quant="f16", name="tiny", adapter=adapter)

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert_greedy_answers(model, tmp_path / "base.gguf")
    tuned = PeftModel.from_pretrained(model, adapter)

    assert_greedy_answers(tuned, tmp_path / "base.gguf", tmp_path / "adapter.gguf")
    assert_greedy_answers(tuned, tmp_path / "fused.gguf")
    with pytest.raises(AssertionError):
        assert_greedy_answers(tuned, tmp_path / "base.gguf")


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_a_fused_dora_answers_as_peft_does(tmp_path, family, options):
    base = write_tiny_model(tmp_path / "base", family, **options)
    adapter = make_adapter(tmp_path / "adapter", base, is_dora=True)
    write_base(base, tmp_path / "fused.gguf", quant="f16", name="tiny", adapter=adapter)
    merge(base, adapter, tmp_path / "merged")

    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter
    )
    assert_greedy_answers(tuned, tmp_path / "fused.gguf")
    logprobs = first_logprobs(tuned, base)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    theirs = dict(tuned.merge_and_unload().named_parameters())

    assert served_logprobs(tmp_path / "fused.gguf") == pytest.approx(logprobs, abs=0.05)
    assert all(torch.allclose(p, theirs[name], atol=1e-5) for name, p in ours.named_parameters())


def test_a_trained_dora_keeps_its_magnitudes_from_pefts_state_to_the_folder(tmp_path):
    base = write_tiny_model(tmp_path / "base")
    rules = TrainingRules(method="dora", rank=4, alpha=8.0)
    model = load_trainable(base, rules, "cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))

    write_adapter_folder(tmp_path / "adapter", trained(model, rules), base_name="tiny")
    again = load_trainable(base, rules, "cpu")
    go_on_from(again, tmp_path / "adapter", rules)

    before, after = (dict(each.named_parameters()) for each in (model, again))
    assert any("magnitude" in name for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before if "lora_" in name)
