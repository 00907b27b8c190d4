"""The peer: TRL's SFTTrainer with a PEFT LoRA, as its documentation writes it. Runs in an environment of its own.

    python peer_trl.py TASK.json

Prints one JSON line. It gets the same token ids and masks, so that templates cannot differ; padding is the collator's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """CPU seconds (and, on a card, seconds) at the end of every step, and TRL's own count of real tokens by then."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.tokens: list[int] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs and "num_tokens" in logs:
            self.tokens.append(round(logs["num_tokens"]))


class Counted:
    """A collator that counts what is learned: labels that a causal model predicts."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator
        self.labelled = 0

    def __call__(self, examples: Any) -> Any:
        batch = self._collator(examples)
        self.labelled += int((batch["labels"][:, 1:] != -100).sum())
        return batch


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rules, on_card = task["rules"], torch.cuda.is_available()
    rows = Dataset.from_list(
        [
            {"input_ids": tokens, "assistant_masks": mask}
            for tokens, mask in zip(task["tokens"], task["masks"], strict=True)
        ]
    )
    arguments = SFTConfig(
        output_dir=task["workdir"],
        per_device_train_batch_size=task["rows_at_once"],
        gradient_accumulation_steps=rules["batch_size"] // task["rows_at_once"],
        num_train_epochs=rules["epochs"],
        learning_rate=rules["learning_rate"],
        warmup_steps=rules["warmup_steps"],
        adam_beta2=0.98,
        max_length=rules["max_seq_length"],
        packing=task.get("packing", False),
        gradient_checkpointing=task["recompute"],
        # bf16 is 13 times slower on CPUs without its instructions.
        bf16=on_card,
        use_cpu=not on_card,
        seed=rules["seed"],
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    lora = LoraConfig(
        r=rules["rank"], lora_alpha=rules["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    clock = Clock()
    trainer = SFTTrainer(
        model=load(task, on_card=on_card),
        args=arguments,
        train_dataset=rows,
        peft_config=lora,
        processing_class=AutoTokenizer.from_pretrained(task["tokenizer"]),
        callbacks=[clock],
    )
    counted = trainer.data_collator = Counted(trainer.data_collator)
    trainer.train()
    trainer.save_model(task["workdir"])
    peak = torch.cuda.max_memory_allocated() if on_card else 0
    told = {"cpu": clock.cpu, "wall": clock.wall, "seen": clock.tokens, "labelled": counted.labelled}
    print(json.dumps(told | {"peak": peak}))  # noqa: T201  its answer


def load(task: dict[str, Any], *, on_card: bool) -> Any:
    quantization = None
    if task["rules"]["method"] == "qlora":
        from transformers import BitsAndBytesConfig

        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if on_card else torch.float32,
        )
    return AutoModelForCausalLM.from_pretrained(
        task["base"],
        dtype=torch.bfloat16 if on_card else torch.float32,
        quantization_config=quantization,
        device_map="cuda" if on_card else "cpu",
    )


if __name__ == "__main__":
    main()
