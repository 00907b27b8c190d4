"""SentencePiece's tokenizers in llama.cpp: the tokens of transformers' fast tokenizer, and the answers of the fused weights."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from transformers import AutoTokenizer

from forge_common.contracts.exchange import Message
from forge_common.testing.sentencepieces import Prefix
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.adapter import Adapter, Pair, merge, write_adapter_folder
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.gguf_writer import write_base
from forge_engine import verify
from forge_trainer_cuda.generate import greedy
from forge_trainer_cuda.jobs import GreedyJob

pytestmark = pytest.mark.integration

CORPUS = (
    "Hello! Who are you?",
    " one space first",
    "  two   spaces    between and after  ",
    "def f(x):\n    if x > 0:\n\treturn x ** 2\n\n\n",
    '{"key": [1, 2.5, null], "path": "C:\\\\dir"}',
    "\n",
    "a",
    "Ünïcødé naïve ß ½ ™ ﷺ",
    "数据 模型 привет мир مرحبا",
    "🙂🚀👩‍👩‍👧 flags 🇩🇪",
    "====----!!!!",
    "x" * 60,
    "zero\u200bwidth \ufeff mark",
    "tabs\t\tand\r\nlines",
)


@pytest.fixture(params=get_args(Prefix))
def fused(request, tmp_path):
    """Base and adapter merged, as Hugging Face's folder and as GGUF."""
    family = "llama" if request.param in ("prepend", "never") else "mistral"
    base = write_tiny_model(tmp_path / "base", family, tied=False, pieces=request.param)
    name = "model.layers.1.mlp.up_proj.weight"
    rows, columns = Checkpoint(base).shape(name)
    random = np.random.default_rng(1)
    a, b = (random.normal(size=shape).astype(np.float32) for shape in ((4, columns), (rows, 4)))
    write_adapter_folder(tmp_path / "adapter", Adapter({name: Pair(a, b)}, rank=4, alpha=2.0), base_name="t")
    (tmp_path / "fused").mkdir()
    merge(base, tmp_path / "adapter", tmp_path / "fused")
    write_base(base, tmp_path / "fused.gguf", quant="f16", name="t", adapter=tmp_path / "adapter")
    return tmp_path / "fused", tmp_path / "fused.gguf"


def test_llama_cpp_cuts_conversations_into_the_fast_tokenizers_tokens(fused):
    folder, gguf = fused
    chats = [[{"role": "user", "content": text}] for text in CORPUS]
    theirs = AutoTokenizer.from_pretrained(folder)
    rendered = [
        theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats
    ]

    found = verify.prompt_tokens(gguf, chats)

    expected = [tuple(theirs.encode(text, add_special_tokens=False)) for text in rendered]
    assert list(found) == expected


def test_greedy_tokens_are_those_of_the_fused_weights(fused):
    folder, gguf = fused
    prompts = [(Message(role="user", content=text),) for text in CORPUS[:8]]
    job = GreedyJob(base=str(folder), prompts=tuple(prompts), adapters=(None,), max_tokens=24, device="cpu")

    found = verify.greedy(gguf, prompts, max_tokens=24)

    (expected,) = greedy(job).answers
    answers = [each.tokens[: len(own.tokens)] for each, own in zip(found, expected, strict=True)]
    assert answers == [own.tokens for own in expected]
    assert len({own.tokens for own in expected}) > 1
