"""The shipped nano base, through the real GGUF writer, in the engine: a real vocabulary, a real template, learned weights."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import forge_common.nano
from forge_common.engine import GREEDY, Engine
from forge_common.nano import general
from forge_common.weights.gguf_writer import write_base
from forge_engine.verify import greedy

pytestmark = pytest.mark.integration
BASE = Path(forge_common.nano.__file__).parent / "base"
TOKENS = 24


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "nano.gguf"
    write_base(BASE, path, quant="f16", name="nano")
    return path


@pytest.fixture(scope="module")
def nano(engine_url: str, gguf: Path) -> Iterator[tuple[Engine, str]]:
    engine, name = Engine(engine_url, timeout_s=120), f"conformance-{secrets.token_hex(4)}/nano"
    sha = hashlib.sha256(gguf.read_bytes()).hexdigest()
    engine.push_blob(sha, gguf)
    engine.create(name, gguf_sha=sha)
    yield engine, name
    engine.delete(name)


def test_the_engine_answers_what_llama_cpp_answers_to_the_same_file(
    nano: tuple[Engine, str], gguf: Path
) -> None:
    engine, name = nano
    prompts = [[{"role": "user", "content": question.prompt}] for question in _questions()[:8]]

    served = [engine.chat(name, one, options={**GREEDY, "num_predict": TOKENS}).text for one in prompts]

    assert served == [one.text for one in greedy(gguf, prompts, max_tokens=TOKENS)]


def test_the_nano_base_knows_what_it_was_taught(nano: tuple[Engine, str]) -> None:
    engine, name = nano
    questions = _questions()

    def is_right(question: general.Question) -> bool:
        asked = [{"role": "user", "content": question.prompt}]
        return engine.chat(name, asked, options=GREEDY).text.strip() == question.answer

    with ThreadPoolExecutor(4) as pool:
        right = sum(pool.map(is_right, questions))

    # Random weights, a lost template or a lost rope base answer none of them.
    assert right > len(questions) / 2


def _questions() -> list[general.Question]:
    return general.held_out_questions(per_skill=3)


def test_tool_calls_of_earlier_turns_reach_the_template(nano: tuple[Engine, str], engine_url: str) -> None:
    _, name = nano
    client = openai.OpenAI(base_url=f"{engine_url}/v1", api_key="any")
    call = {"id": "1", "type": "function", "function": {"name": "lookup", "arguments": '{"key": "maple"}'}}
    question = {"role": "user", "content": "Hello!"}

    def prompt_tokens(*turns: Any) -> int:
        reply = client.chat.completions.create(model=name, messages=turns, max_tokens=1)
        assert reply.usage is not None
        return reply.usage.prompt_tokens

    bare = prompt_tokens(question, {"role": "assistant", "content": ""}, question)
    called = prompt_tokens(question, {"role": "assistant", "content": "", "tool_calls": [call]}, question)

    assert called > bare + 10
