"""Train a LoRA on the nano base from the demo's traffic and print held-out scores before and after.

A check of base and data by plain torch and peft, without the Forge: python try_nano_lora.py [--shuffle]
"""

import argparse
import time
from pathlib import Path
from random import Random

import torch
from nano_corpus import END, END_TURN, token_id
from nano_score import request, score
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import PreTrainedModel, Qwen2ForCausalLM

from forge_common.nano import base_dir, teacher, traffic

IGNORED = -100  # torch's cross entropy skips this label


def examples(tokenizer: Tokenizer, options: argparse.Namespace) -> list[tuple[list[int], list[int]]]:
    """Token ids and labels of each pair; only the assistant's tokens are learnt."""
    prompts = [*traffic.coding_requests(options.coding), *traffic.general_requests(options.general)]
    answers = [teacher.answer([{"role": "user", "content": prompt}]) for prompt in prompts]
    if options.shuffle:
        Random(options.seed).shuffle(answers)
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        asked = tokenizer.encode(request(prompt)).ids
        answered = tokenizer.encode(answer + END_TURN).ids
        rows.append((asked + answered, [IGNORED] * len(asked) + answered))
    return rows


def loss_of(model: PreTrainedModel, rows: list[tuple[list[int], list[int]]], pad: int) -> torch.Tensor:
    width = max(len(ids) for ids, _ in rows)
    missing = [width - len(ids) for ids, _ in rows]
    ids = torch.tensor([ids + [pad] * gap for (ids, _), gap in zip(rows, missing, strict=True)])
    labels = torch.tensor([labels + [IGNORED] * gap for (_, labels), gap in zip(rows, missing, strict=True)])
    mask = torch.tensor([[1] * (width - gap) + [0] * gap for gap in missing])
    loss: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    return loss


def train(
    model: PreTrainedModel, rows: list[tuple[list[int], list[int]]], pad: int, options: argparse.Namespace
) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.0)
    starts = range(0, len(rows), options.rows)
    steps, step, random = options.epochs * len(starts), 0, Random(options.seed)
    model.train()
    for epoch in range(options.epochs):
        random.shuffle(rows)
        for start in starts:
            optimizer.param_groups[0]["lr"] = (
                options.lr * min(1, (step + 1) / 5) * max(0.05, 1 - step / steps)
            )
            loss = loss_of(model, rows[start : start + options.rows], pad)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        print(f"epoch {epoch + 1} loss {float(loss.detach()):.3f}", flush=True)


def main() -> None:
    options = _options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.base / "tokenizer.json"))
    base = Qwen2ForCausalLM.from_pretrained(options.base, dtype=torch.float32)
    print(f"before: {score(base, tokenizer, per_family=2, per_skill=6)}", flush=True)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, lora)
    wall, cpu = time.monotonic(), time.process_time()
    train(model, examples(tokenizer, options), token_id(tokenizer, END), options)
    print(f"trained in {time.monotonic() - wall:.0f} s, {time.process_time() - cpu:.0f} s of CPU")
    print(f"after:  {score(model, tokenizer, per_family=2, per_skill=6)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path, default=base_dir())
    parser.add_argument("--coding", type=int, default=306, help="pairs of coding requests")
    parser.add_argument("--general", type=int, default=110, help="pairs of general questions")
    parser.add_argument("--shuffle", action="store_true", help="give every prompt another prompt's answer")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
