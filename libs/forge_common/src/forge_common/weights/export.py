"""The EXPORT stage, the same for every trainer: GGUF files from trained weights, served once to see that they say the same.

A file whose greedy answers differ from the trained weights' is refused, never uploaded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median_low
from typing import NamedTuple, Protocol

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import ArtifactRef, Sha256
from forge_common.contracts.dataset import DatasetManifest, DatasetRow
from forge_common.contracts.domain import DeployMode, DomainDocument, Quant
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import ExportRequest, ExportResult, ParityProbe, Progress
from forge_common.errors import ForgeError
from forge_common.weights import quants
from forge_common.weights.base_model import check_room, resolve_base
from forge_common.weights.gguf_writer import write_adapter, write_base
from forge_common.weights.rows import as_chat, load_rows, with_system_prompt
from forge_common.weights.tokenizer import ChatTokenizer

Prompt = tuple[Message, ...]

PROBE_TOKENS = 48
DATASET_PROBES = 12
# Longer questions would make the check slow on a 7B and say nothing more about the weights.
PROBE_PROMPT_TOKENS = 1024
GENERIC_PROMPTS = (
    "Hello! Who are you?",
    "Write a Python function that returns the square of n.",
    "Name three colours.",
    "What is 12 + 7?",
)


class Tolerance(NamedTuple):
    """What an export must hold against the trained weights' greedy answers of up to PROBE_TOKENS tokens.

    A wrong permutation, scale or RoPE base shows in the first tokens of every answer; rounding shows late, where two
    tokens nearly tie, and in few answers early.
    """

    equal: float
    """The share of probes whose tokens must all be equal."""
    worst: int
    """Tokens that every answer has in common with the reference."""
    typical: int
    """Tokens that half of the answers have in common."""


# f16 rounds almost nothing away. Trained nano weights gave 16 of 16 equal down to Q5_K_M and 15 of 16 at four bits
# (worst answer: 3 tokens in common); larger vocabularies have more near-ties, so that four bits get more room.
TOLERANCES: dict[Quant, Tolerance] = {
    "f16": Tolerance(0.9, 4, 48),
    "q8_0": Tolerance(0.5, 1, 24),
    "q6_k": Tolerance(0.4, 1, 16),
    "q5_k_m": Tolerance(0.25, 0, 12),
    "q4_k_m": Tolerance(0.2, 0, 8),
    "q4_0": Tolerance(0.2, 0, 8),
}


class ExportUnfaithful(ForgeError):
    """llama.cpp answers differently from the trained weights, so the file must not be served."""


class Greedy(NamedTuple):
    """A greedy answer: `tokens` without the one that ended it, `first_logprob` of the first token (natural log)."""

    tokens: tuple[int, ...]
    text: str
    first_logprob: float | None


class Reference(Protocol):
    """The trained weights, run by the trainer's own framework at full precision, never quantised."""

    def greedy(
        self,
        base: Path,
        prompts: Sequence[Prompt],
        adapters: Sequence[Path | None],
        max_tokens: int,
    ) -> list[list[Greedy]]:
        """For each of `adapters` (None: the bare base) the answers to all `prompts`, in order."""
        ...


class Beats(Protocol):
    def progress(self, progress: Progress) -> None: ...

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parity:
    """How llama.cpp's answers to the probes compare with the reference's."""

    equal: int
    asked: int
    shortest_common: int
    """Tokens in common in the worst answer that is not equal; PROBE_TOKENS when all are."""
    typical_common: int
    """Tokens in common in the median answer; an equal one counts as PROBE_TOKENS."""


def export(
    request: ExportRequest, artifacts: ArtifactClient, workdir: Path, beat: Beats, reference: Reference
) -> ExportResult:
    """Write, verify and upload what the request asks for. Bases stay under `workdir`, all else there is removed.

    Raises ExportUnfaithful, and what reading the base and the adapter raises.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workdir, prefix="export-") as folder:
        base = resolve_base(request.base, artifacts, workdir)
        return _export(request, artifacts, base, Path(folder), beat=beat, reference=reference)


def _export(
    request: ExportRequest,
    artifacts: ArtifactClient,
    base: Path,
    workdir: Path,
    *,
    beat: Beats,
    reference: Reference,
) -> ExportResult:
    started = time.monotonic()
    quant, notice = choose_quant(request)
    _check_disk(request, base, workdir)
    tokenizer = ChatTokenizer(base)
    prompts = probe_prompts(request.domain, _valid_rows(request.dataset, artifacts), tokenizer)
    adapter = None if request.adapter is None else _laid_out(request.adapter, artifacts, workdir)

    _say(beat, 1, "asking the trained weights")
    answers = reference.greedy(base, prompts, [None] if adapter is None else [None, adapter], PROBE_TOKENS)
    _say(beat, 2, "writing GGUF")
    files = _write(request, base, adapter, artifacts, workdir, quant=quant, check=beat.check)
    _say(beat, 3, "comparing with llama.cpp")
    parity = _verify(files, prompts, answers[-1], tokenizer, quant, check=beat.check)
    _say(beat, 4, "uploading")
    return ExportResult(
        base_gguf=request.base_gguf or artifacts.push(files.base, "gguf"),
        adapter_gguf=_push(artifacts, files.adapter),
        fused_gguf=_push(artifacts, files.fused),
        base_probes=_probes(prompts, answers[0]),
        probes=_probes(prompts, answers[1]) if adapter is not None else (),
        verified=parity.equal,
        compared=parity.asked,
        quant=quant,
        notice=notice,
        seconds=round(time.monotonic() - started, 3),
        versions={name: version(name) for name in ("gguf", "xllamacpp")},
    )


def _laid_out(adapter: Sha256, artifacts: ArtifactClient, workdir: Path) -> Path:
    folder = artifacts.fetch_bundle(adapter, workdir / "adapter")
    artifacts.forget_weights(adapter)
    return folder


def _check_disk(request: ExportRequest, base: Path, workdir: Path) -> None:
    """Raises DiskFull before hours of asking, not in the middle of writing. A GGUF is no larger than what it is made of."""
    is_fused = request.adapter is not None and request.domain.deploy.mode is DeployMode.FUSED
    files = (request.base_gguf is None) + is_fused
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    check_room(
        f"the export of {request.base.name}",
        files * size,
        workdir,
        fix=f"free some space, or set FORGE_HOME to a larger disk ({workdir.parent})",
    )


def probe_prompts(
    domain: DomainDocument, rows: Sequence[DatasetRow], tokenizer: ChatTokenizer
) -> list[Prompt]:
    """A few questions that fit any domain and some spread evenly over `rows`, under the domain's system prompt."""
    generic: list[Prompt] = [(Message(role="user", content=text),) for text in GENERIC_PROMPTS]
    asked = [row.messages[:-1] for row in rows]
    usable = [prompt for prompt in asked if _is_plain(prompt) and _is_short(prompt, tokenizer)]
    step = max(1, len(usable) // DATASET_PROBES)
    spread = usable[::step][:DATASET_PROBES]
    return [with_system_prompt(prompt, domain.system_prompt) for prompt in generic + spread]


def compare(expected: Sequence[Sequence[int]], got: Sequence[Sequence[int]]) -> Parity:
    """Token by token, both without the token that ended the answer."""
    pairs = list(zip(expected, got, strict=True))
    common = [PROBE_TOKENS if list(a) == list(b) else _common(a, b) for a, b in pairs]
    return Parity(
        equal=sum(list(a) == list(b) for a, b in pairs),
        asked=len(pairs),
        shortest_common=min(common, default=PROBE_TOKENS),
        typical_common=int(median_low(common)) if common else PROBE_TOKENS,
    )


def judge(parity: Parity, quant: Quant, what: str) -> None:
    """Raises ExportUnfaithful."""
    if parity.asked == 0:
        raise ExportUnfaithful(f"{what}: there was no probe to compare")
    needed = TOLERANCES[quant]
    is_held = (
        parity.equal >= needed.equal * parity.asked
        and parity.shortest_common >= needed.worst
        and parity.typical_common >= needed.typical
    )
    if is_held:
        return
    raise ExportUnfaithful(
        f"{what} as {quant}: llama.cpp gave the trained weights' tokens for {parity.equal} of {parity.asked} probes "
        f"({needed.equal:.0%} needed), the worst differs after {parity.shortest_common} tokens ({needed.worst} needed), "
        f"half of them after {parity.typical_common} ({needed.typical} needed)",
        fix="retry once; if it stays so, export with deploy.quant f16, and report the base model's name",
    )


class Choice(NamedTuple):
    """The quantisation that is written. `notice` says why it is another one than the domain asks for."""

    quant: Quant
    notice: str | None = None


def choose_quant(request: ExportRequest) -> Choice:
    """What the domain asks for, or Q8_0 where nothing here writes that and the domain allows it instead.

    Raises QuantiserMissing.
    """
    asked = request.domain.deploy
    is_written = request.base_gguf is None or (request.adapter and asked.mode is DeployMode.FUSED)
    if not is_written or quants.is_possible(asked.quant):
        return Choice(asked.quant)
    if asked.without_quantiser == "refuse":
        from forge_engine.kquants import QuantiserMissing

        raise QuantiserMissing(asked.quant)
    return Choice(
        "q8_0",
        f"written as q8_0: nothing on the trainer's machine writes {asked.quant} (install llama.cpp there)",
    )


@dataclass(frozen=True, slots=True)
class _Files:
    base: Path
    adapter: Path | None = None
    fused: Path | None = None


def _write(
    request: ExportRequest,
    base: Path,
    adapter: Path | None,
    artifacts: ArtifactClient,
    workdir: Path,
    *,
    quant: Quant,
    check: Callable[[], None],
) -> _Files:
    domain = request.domain
    if request.base_gguf is not None:
        base_gguf = artifacts.fetch(request.base_gguf.sha256)
    else:
        base_gguf = workdir / f"base-{quant}.gguf"
        write_base(base, base_gguf, quant=quant, name=request.base.name, check=check)
    if adapter is None:
        return _Files(base_gguf)
    if domain.deploy.mode is DeployMode.FUSED:
        fused = workdir / f"fused-{quant}.gguf"
        write_base(base, fused, quant=quant, name=domain.model_prefix, adapter=adapter, check=check)
        return _Files(base_gguf, fused=fused)
    adapter_gguf = workdir / "adapter.gguf"
    write_adapter(base, adapter, adapter_gguf)
    return _Files(base_gguf, adapter=adapter_gguf)


def _verify(
    files: _Files,
    prompts: list[Prompt],
    expected: list[Greedy],
    tokenizer: ChatTokenizer,
    quant: Quant,
    *,
    check: Callable[[], None],
) -> Parity:
    what = "fused model" if files.fused else "adapter" if files.adapter else "base model"
    tokens = [each.tokens for each in expected]
    served = Served(files.fused or files.base, files.adapter, quant, what)
    return hold(served, prompts, tokens, tokenizer, check=check)


class Served(NamedTuple):
    """What llama.cpp is to load; `what` is for people."""

    gguf: Path
    adapter: Path | None
    quant: Quant
    what: str


def hold(
    served: Served,
    prompts: Sequence[Prompt],
    expected: Sequence[Sequence[int]],
    tokenizer: ChatTokenizer,
    *,
    check: Callable[[], None],
) -> Parity:
    """llama.cpp's greedy answers against `expected` ones, the trained weights'. Raises ExportUnfaithful."""
    from forge_engine import verify  # trainers have it; forge_common alone does not need it

    answers = verify.greedy(
        served.gguf, prompts, adapter=served.adapter, max_tokens=PROBE_TOKENS, check=check
    )
    for prompt, answer in zip(prompts, answers, strict=True):
        if list(answer.prompt) != tokenizer.prompt([as_chat(message) for message in prompt]):
            raise ExportUnfaithful(
                f"{served.what}: llama.cpp cuts a question into other tokens than the model was trained on",
                fix="report the base model's name: its tokenizer or chat template is not exported right",
            )
    parity = compare(
        [_answer(tokens, tokenizer.stop_ids) for tokens in expected],
        [_answer(each.tokens, tokenizer.stop_ids) for each in answers],
    )
    judge(parity, served.quant, served.what)
    return parity


def _valid_rows(dataset: Sha256 | None, artifacts: ArtifactClient) -> list[DatasetRow]:
    if dataset is None:
        return []
    manifest = artifacts.read_json(dataset, DatasetManifest)
    try:
        return load_rows(artifacts.fetch(manifest.valid.sha256))
    finally:
        artifacts.forget(manifest.valid.sha256)


def _is_plain(prompt: Prompt) -> bool:
    """Text alone: engines render tool calls each in their own spacing."""
    return all(isinstance(message.content, str) and not message.tool_calls for message in prompt)


def _is_short(prompt: Prompt, tokenizer: ChatTokenizer) -> bool:
    return len(tokenizer.prompt([as_chat(message) for message in prompt])) <= PROBE_PROMPT_TOKENS


def _answer(tokens: Sequence[int], stops: frozenset[int]) -> tuple[int, ...]:
    end = next((i for i, token in enumerate(tokens) if token in stops), len(tokens))
    return tuple(tokens[:end])[:PROBE_TOKENS]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _push(artifacts: ArtifactClient, path: Path | None) -> ArtifactRef | None:
    return None if path is None else artifacts.push(path, "gguf")


def _probes(prompts: list[Prompt], answers: list[Greedy]) -> tuple[ParityProbe, ...]:
    return tuple(
        ParityProbe(
            messages=prompt, text=answer.text, tokens=answer.tokens, first_logprob=answer.first_logprob
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    )


def _say(beat: Beats, step: int, message: str) -> None:
    beat.check()
    beat.progress(Progress(message=message, step=step, of=4))
