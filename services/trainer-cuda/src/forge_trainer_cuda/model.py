"""The base model in memory, with a LoRA to train or for reading only. bf16 on CUDA, f32 on the CPU, NF4 for QLoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from forge_common.contracts.domain import TrainingRules
from forge_common.weights.adapter import (
    WEIGHTS_FILE,
    Adapter,
    Pair,
    check_parent,
    read_adapter,
    trained_layers,
)
from forge_common.weights.checkpoint import Checkpoint, model_config
from forge_common.weights.targets import targets_of
from forge_trainer_cuda import memory, merged, packed
from forge_trainer_cuda.footprint import Shape, choose
from forge_trainer_cuda.sharded import load_sharded

_PREFIX = "base_model.model."


def settle_arithmetic(device: str) -> None:
    """On the CPU the same bits every time; on a card the fastest that bf16 training can tell no difference of."""
    torch.use_deterministic_algorithms(mode=device == "cpu", warn_only=True)
    # Nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if device == "cuda":
        torch.set_float32_matmul_precision("high")


def load_trainable(base: Path, rules: TrainingRules, device: str, *, sharded: bool = False) -> PeftModel:
    """The frozen base, or this process's shares of it, with a fresh LoRA whose initial weights `rules.seed` fixes."""
    # bf16 is 13 times slower than f32 on CPUs without its instructions.
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    packed.register()
    quantization = _nf4(dtype) if rules.method == "qlora" else None
    if sharded:
        model = load_sharded(base, dtype, device, packed.ATTENTION)
    else:
        model = _load(base, dtype, device, quantization, packed.ATTENTION)
    model.config.use_cache = False
    _keep_as_loaded(model)
    if device == "cuda" and _embedding_must_leave(base, rules):
        model.set_input_embeddings(BesideTheCard(model.get_input_embeddings()))
        torch.cuda.empty_cache()
    # Until it is known what else fits: `recompute.py`.
    if rules.method == "qlora" and device == "cuda":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    torch.manual_seed(rules.seed)
    config = _lora(rules, targets_of(base, rules), model.config.num_hidden_layers)
    is_plain = device == "cpu" and rules.method == "lora" and not sharded
    adapted = get_peft_model(model, merged.use(config) if is_plain else config)
    if device == "cuda" and rules.method == "lora":
        _leave_inputs_narrow(adapted)
    return adapted


def _leave_inputs_narrow(model: PeftModel) -> None:
    """Autocast casts what a map gets to bf16; peft would cast it to the adapter's f32 before, twice the memory's traffic."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


class BesideTheCard(torch.nn.Module):  # type: ignore[misc]
    """An embedding whose rows are looked up in the CPU's memory: a gigabyte that a small card has better uses for."""

    def __init__(self, embedding: torch.nn.Embedding) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(embedding.weight.detach().cpu(), requires_grad=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(ids.cpu(), self.weight).to(ids.device)


def load_for_reading(base: Path, device: str) -> Any:
    """The base at full precision, for reference answers; at half of it where f32 does not fit."""
    dtype = torch.float32 if _fits(base, device, 4) else torch.bfloat16
    # What one card does not hold lies on all of them, and beside them.
    where = device if device == "cpu" or _fits(base, device, dtype.itemsize) else "auto"
    return _load(base, dtype, where, None).eval()


def trained(model: PeftModel, rules: TrainingRules) -> Adapter:
    """The LoRA's present weights, copied to the CPU."""
    state = {
        name: tensor.detach().float().cpu().numpy().copy()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    modules = sorted({name.rpartition(".lora_")[0] for name in state})
    pairs = {
        f"{module.removeprefix(_PREFIX)}.weight": Pair(
            a=state[f"{module}.lora_A.weight"],
            b=state[f"{module}.lora_B.weight"],
            magnitude=state.get(f"{module}.lora_magnitude_vector"),
        )
        for module in modules
    }
    return Adapter(pairs=pairs, rank=rules.rank, alpha=rules.alpha)


def go_on_from(model: PeftModel, adapter: Path, rules: TrainingRules) -> None:
    """Put a trained adapter's weights in the place of the fresh ones. Raises AdapterInvalid when it is of another kind."""
    check_parent(read_adapter(adapter), trained(model, rules))
    restore(model, load_file(adapter / WEIGHTS_FILE))


def restore(model: PeftModel, state: dict[str, torch.Tensor]) -> None:
    set_peft_model_state_dict(model, state)


def _keep_as_loaded(model: torch.nn.Module) -> None:
    """On CPUs with bfloat16 bitsandbytes packs 4-bit weights anew, rounding them, when a model is first judged: a training
    that goes on after a kill, not judged yet, would see other weights than one that was not killed.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _lora(rules: TrainingRules, targets: tuple[str, ...], layers: int) -> LoraConfig:
    return LoraConfig(
        r=rules.rank,
        lora_alpha=rules.alpha,
        lora_dropout=0.0,
        target_modules=list(targets),
        layers_to_transform=trained_layers(rules, layers),
        task_type="CAUSAL_LM",
        use_dora=rules.method == "dora",
    )


def _nf4(compute: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _load(
    base: Path,
    dtype: torch.dtype,
    device: str,
    quantization: BitsAndBytesConfig | None,
    attention: str = "sdpa",
) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        base,
        config=AutoConfig.from_pretrained(base),
        dtype=dtype,
        device_map=device,
        quantization_config=quantization,
        attn_implementation=attention,
        use_safetensors=True,
    )


def _embedding_must_leave(base: Path, rules: TrainingRules) -> bool:
    if rules.method != "qlora":
        return False
    shape = Shape.of(model_config(base))
    choice = choose(shape, "qlora", rules.rank, memory.budget_bytes())
    # None: nothing fits by arithmetic, so nothing is held back.
    return not shape.is_tied and (choice is None or not choice.embedding_on_card)


def _numbers(base: Path) -> int:
    return sum(stored.row_length * stored.shape[0] for stored in Checkpoint(base).stored.values())


def _fits(base: Path, device: str, word: int) -> bool:
    """With `word` bytes a number."""
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    return _numbers(base) * word * 1.2 < free
