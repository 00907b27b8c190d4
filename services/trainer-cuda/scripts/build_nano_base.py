"""Rebuild the nano base model that ships in forge_common (`nano/base`); trains on CPU, downloads nothing.

    OMP_WAIT_POLICY=PASSIVE python build_nano_base.py --out /tmp/nano-base

2.56 M parameters, 5.7 M tokens in 1400 steps of 16 x 256: 32 minutes on two busy cores (3.0 k to 4.2 k
tokens/s, seed 0). Held-out shares at a step, of 51 coding tasks in chat, the same after a docstring, and of
44 general questions:

    step      300   450   600   750   900  1050  1350  as shipped (102, 102, 66)
    coding    .00   .00   .04   .12   .14   .14   .14  .137 (the seven families of nano_corpus.SOLVED)
    docstring .69   .96   .92   .96   .98  1.00  1.00  1.000
    general   .02   .21   .39   .66   .73   .86   .89  .879

The weights ship as bfloat16: scores in bfloat16, in float32 and in llama.cpp (f16) are the same.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from muon import Muon
from nano_corpus import END, END_TURN, SPECIAL, document, token_id
from nano_folder import ship
from nano_score import score
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM

from forge_common.nano import base_dir

VOCABULARY = 768
CONTEXT = 1024
ROPE_THETA = 1_000_000.0
# the split of Qwen2's tokenizer.json, character by character: single digits, words with their space
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train_tokenizer(random: Random) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [document(random) for _ in range(6000)]
    for token in SPECIAL:
        texts = [text.replace(token, "\n") for text in texts]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    assert tokenizer.get_vocab_size() == VOCABULARY, tokenizer.get_vocab_size()
    return tokenizer


def make_model(tokenizer: Tokenizer) -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            max_window_layers=4,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
            bos_token_id=token_id(tokenizer, END),
            eos_token_id=token_id(tokenizer, END_TURN),
            use_cache=True,
        )
    )


def batches(tokenizer: Tokenizer, random: Random, rows: int, columns: int) -> Iterator[torch.Tensor]:
    """Token ids (rows, columns + 1), documents end to end with the end-of-text token between them."""
    end, need = token_id(tokenizer, END), rows * (columns + 1)
    buffer: list[int] = []
    while True:
        while len(buffer) < need:
            for encoding in tokenizer.encode_batch([document(random) for _ in range(256)]):
                buffer += [*encoding.ids, end]
        yield torch.tensor(buffer[:need]).view(rows, columns + 1)
        del buffer[:need]


def schedule(progress: float) -> float:
    """Factor of the learning rate: up over 4 %, flat, down to nothing over the last 45 %."""
    return min(1.0, progress / 0.04 + 0.02, max(0.01, (1 - progress) / 0.45))


def train(model: Qwen2ForCausalLM, tokenizer: Tokenizer, random: Random, options: argparse.Namespace) -> None:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    muon = Muon(matrices, lr=options.muon_lr)
    adam = torch.optim.AdamW(others, lr=options.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    started = time.monotonic()
    for step, tokens in enumerate(batches(tokenizer, random, options.rows, options.columns)):
        elapsed = time.monotonic() - started
        progress = max(step / options.steps, elapsed / (60 * options.minutes) if options.minutes else 0)
        if progress >= 1:
            print(f"ended at step {step} after {elapsed:.0f} s", flush=True)
            return
        muon.param_groups[0]["lr"] = options.muon_lr * schedule(progress)
        adam.param_groups[0]["lr"] = options.adam_lr * schedule(progress)
        loss = descend(model, tokens, muon, adam)
        if step % 25 == 0:
            seen = (step + 1) * options.rows * options.columns
            print(
                f"step {step} loss {loss:.3f} tokens/s {seen / (time.monotonic() - started):.0f}", flush=True
            )
        if step and step % options.look_every == 0:
            print(f"step {step} {score(model, tokenizer, per_family=1, per_skill=4)}", flush=True)
            ship(model, tokenizer, options.out, ROPE_THETA)


def descend(model: Qwen2ForCausalLM, tokens: torch.Tensor, *optimizers: torch.optim.Optimizer) -> float:
    model.train()
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return float(loss.detach())


def main() -> None:
    options = _options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    random = Random(options.seed)
    tokenizer = train_tokenizer(random)
    model = make_model(tokenizer)
    train(model, tokenizer, random, options)
    ship(model, tokenizer, options.out, ROPE_THETA)
    shipped = Qwen2ForCausalLM.from_pretrained(options.out, dtype=torch.float32)
    print(f"as shipped: {score(shipped, tokenizer, per_family=2, per_skill=6)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=base_dir())
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--minutes", type=float, help="end by then, with fewer steps if need be")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--look-every", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
