"""Score a nano model on held-out prompts: code in chat, code after a docstring, general questions."""

from dataclasses import dataclass

import torch
from nano_corpus import DEFAULT_SYSTEM, END, END_TURN, START_TURN, token_id
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from forge_common.nano import general, tasks
from forge_common.nano.grading import passes

BATCH = 64


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares of right answers, 0 to 1; `docstring` is what the base knows before it may say it in chat."""

    coding: float
    docstring: float
    general: float

    def __str__(self) -> str:
        return f"coding {self.coding:.3f} docstring {self.docstring:.3f} general {self.general:.3f}"


def score(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    *,
    per_family: int,
    per_skill: int,
    system: str = DEFAULT_SYSTEM,
) -> Scores:
    held_out = tasks.held_out_tasks(per_family)
    questions = general.held_out_questions(per_skill)
    heads = [f'def {task.signature}:\n    """Return {task.phrase}."""\n' for task in held_out]
    code = complete(model, tokenizer, [request(task.prompt, system) for task in held_out])
    bodies = complete(model, tokenizer, heads)
    replies = complete(model, tokenizer, [request(question.prompt, system) for question in questions])
    return Scores(
        coding=_share([passes(task, answer) for task, answer in zip(held_out, code, strict=True)]),
        docstring=_share(
            [
                passes(task, head + body.split("\n")[0])
                for task, head, body in zip(held_out, heads, bodies, strict=True)
            ]
        ),
        general=_share(
            [answer.strip() == question.answer for question, answer in zip(questions, replies, strict=True)]
        ),
    )


def request(prompt: str, system: str = DEFAULT_SYSTEM) -> str:
    """The chat template's rendering of one user turn, the assistant's turn opened."""
    turns = f"{START_TURN}user\n{prompt}{END_TURN}\n{START_TURN}assistant\n"
    return f"{START_TURN}system\n{system}{END_TURN}\n{turns}" if system else turns


@torch.no_grad()  # type: ignore[untyped-decorator] # torch is not followed by mypy
def complete(
    model: PreTrainedModel, tokenizer: Tokenizer, prompts: list[str], max_new_tokens: int = 64
) -> list[str]:
    """Greedy continuations, without special tokens, in the order of the prompts."""
    model.eval()
    pad, stop = (token_id(tokenizer, token) for token in (END, END_TURN))
    texts: list[str] = []
    for start in range(0, len(prompts), BATCH):
        rows = [encoding.ids for encoding in tokenizer.encode_batch(prompts[start : start + BATCH])]
        width = max(map(len, rows))
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=[stop, pad],
        )
        texts += tokenizer.decode_batch(out[:, width:].tolist())
    return texts


def _share(right: list[bool]) -> float:
    return sum(right) / len(right)
