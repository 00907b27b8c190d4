"""Greedy answers of the full-precision weights: the reference that exported files are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from forge_common.contracts.exchange import Message
from forge_common.weights.adapter import read_adapter
from forge_common.weights.jobs import Answer, GreedyOutcome
from forge_common.weights.rows import as_chat
from forge_common.weights.tokenizer import ChatTokenizer
from forge_trainer_mlx.jobs import GreedyJob
from forge_trainer_mlx.model import load_adapter, load_for_reading, remove_adapter


def greedy(job: GreedyJob) -> GreedyOutcome:
    base = Path(job.base)
    model, tokenizer = load_for_reading(base), ChatTokenizer(base)
    answers = []
    for adapter in job.adapters:
        if adapter is not None:
            load_adapter(model, read_adapter(Path(adapter)))
        answers.append(tuple(_answer(model, tokenizer, prompt, job.max_tokens) for prompt in job.prompts))
        remove_adapter(model)
    return GreedyOutcome(answers=tuple(answers))


def _answer(model: nn.Module, tokenizer: ChatTokenizer, prompt: Sequence[Message], max_tokens: int) -> Answer:
    asked = tokenizer.prompt([as_chat(message) for message in prompt])
    tokens: list[int] = []
    first_logprob: float | None = None
    for token, logprob in _generate(model, asked, max_tokens):
        first_logprob = logprob if first_logprob is None else first_logprob
        if token in tokenizer.stop_ids:
            break
        tokens.append(token)
    return Answer(tokens=tuple(tokens), text=tokenizer.decode(tokens), first_logprob=first_logprob)


def _generate(model: nn.Module, asked: Sequence[int], max_tokens: int) -> Iterator[tuple[int, float]]:
    """Greedy tokens with their log-probabilities (natural log), one at a time."""
    cache = make_prompt_cache(model)
    seen = list(asked)
    for _ in range(max_tokens):
        logits = model(mx.array([seen]), cache=cache)[0, -1].astype(mx.float32)
        logprobs = np.array(logits - mx.logsumexp(logits))
        token = int(logprobs.argmax())
        yield token, float(logprobs[token])
        seen = [token]
