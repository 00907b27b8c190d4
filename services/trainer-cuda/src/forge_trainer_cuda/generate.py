"""Greedy answers of the full-precision weights: the reference that exported files are held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig

from forge_common.weights.jobs import Answer, GreedyOutcome
from forge_common.weights.rows import as_chat
from forge_common.weights.tokenizer import ChatTokenizer
from forge_trainer_cuda.jobs import GreedyJob
from forge_trainer_cuda.model import load_for_reading

AT_ONCE = 16


def greedy(job: GreedyJob) -> GreedyOutcome:
    tokenizer = ChatTokenizer(Path(job.base))
    prompts = [tokenizer.prompt([as_chat(message) for message in prompt]) for prompt in job.prompts]
    answers = []
    for adapter in job.adapters:
        # Loaded afresh each time: an adapter leaves its marks in the model it is put on.
        model = load_for_reading(Path(job.base), job.device)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter).eval()
        answers.append(_answers(model, prompts, tokenizer, job))
    return GreedyOutcome(answers=tuple(answers))


def _answers(
    model: Any, prompts: Sequence[list[int]], tokenizer: ChatTokenizer, job: GreedyJob
) -> tuple[Answer, ...]:
    # A model folder's own settings (penalties, sampling) would not be greedy.
    model.generation_config = GenerationConfig()
    found: list[Answer] = []
    for start in range(0, len(prompts), AT_ONCE):
        found += _batch(model, prompts[start : start + AT_ONCE], tokenizer, job)
    return tuple(found)


def _batch(
    model: Any, prompts: Sequence[list[int]], tokenizer: ChatTokenizer, job: GreedyJob
) -> list[Answer]:
    width = max(len(prompt) for prompt in prompts)
    pad = [width - len(prompt) for prompt in prompts]
    ids = torch.tensor(
        [[tokenizer.pad_id] * gap + prompt for gap, prompt in zip(pad, prompts, strict=True)],
        device=job.device,
    )
    attention = torch.tensor([[0] * gap + [1] * (width - gap) for gap in pad], device=job.device)
    reply = model.generate(  # keeps no gradients of its own accord
        input_ids=ids,
        attention_mask=attention,
        do_sample=False,
        max_new_tokens=job.max_tokens,
        pad_token_id=tokenizer.pad_id,
        eos_token_id=sorted(tokenizer.stop_ids),
        return_dict_in_generate=True,
        output_logits=True,
    )
    first = torch.log_softmax(reply.logits[0].float(), dim=-1).amax(dim=-1).tolist()
    return [
        _answer(tokens, logprob, tokenizer)
        for tokens, logprob in zip(reply.sequences[:, width:].tolist(), first, strict=True)
    ]


def _answer(tokens: list[int], first_logprob: float, tokenizer: ChatTokenizer) -> Answer:
    end = next((i for i, token in enumerate(tokens) if token in tokenizer.stop_ids), len(tokens))
    kept = tuple(tokens[:end])
    return Answer(tokens=kept, text=tokenizer.decode(kept), first_logprob=first_logprob)
