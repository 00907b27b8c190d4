"""A model card from what the registry knows: base, data, training, scores, fidelity. It says what is unknown; it guesses nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.runs import Provenance, RunView
from forge_common.contracts.scorecard import Figure, GroupScore, Scorecard
from forge_common.contracts.stages import ExportResult, ParityProbe, StageKind, TrainResult


class Shape(StrEnum):
    ADAPTER = "adapter"
    FUSED = "fused"
    GGUF = "gguf"


class Comparison(Protocol):
    """`weights.export.Parity`, whose module takes a second to load."""

    @property
    def equal(self) -> int: ...

    @property
    def asked(self) -> int: ...


@dataclass(frozen=True)
class Facts:
    """`file` is the GGUF's name, `is_verified` whether it is the very file that was compared with the trained weights.

    `anew` is what the comparison of a file written anew found; None where it could not be made.
    """

    provenance: Provenance
    shape: Shape
    licence: str | None
    file: str | None = None
    is_verified: bool = False
    anew: Comparison | None = None
    run: RunView | None = None
    dataset: DatasetManifest | None = None
    scorecard: Scorecard | None = None

    @property
    def name(self) -> str:
        return f"{self.provenance.document.model_prefix}-v{self.provenance.version.number}"

    @property
    def probes(self) -> tuple[ParityProbe, ...]:
        """The trained weights' answers; none where the dataset that they quote was erased."""
        exported = self.result(StageKind.EXPORT)
        return ExportResult.model_validate(exported).probes if exported else ()

    def result(self, kind: StageKind) -> dict[str, JsonValue] | None:
        stages = self.run.stages if self.run else ()
        return next((stage.result for stage in stages if stage.kind is kind and stage.result), None)


def render(facts: Facts) -> str:
    parts = [
        _front_matter(facts),
        _head(facts),
        _usage(facts),
        _base(facts),
        _data(facts),
        _training(facts),
        _scores(facts),
        _fidelity(facts),
        _versions(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: Facts) -> str:
    library = {Shape.ADAPTER: "peft", Shape.FUSED: "transformers", Shape.GGUF: "gguf"}[facts.shape]
    relation = {Shape.ADAPTER: "adapter", Shape.FUSED: "finetune", Shape.GGUF: "quantized"}[facts.shape]
    lines = ["---", f"base_model: {facts.provenance.base.name}", f"base_model_relation: {relation}"]
    if facts.licence:
        lines.append(f"license: {facts.licence}")
    lines += [
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        f"tags: [{facts.provenance.document.training.method}]",
        "---",
    ]
    return "\n".join(lines)


def _head(facts: Facts) -> str:
    document = facts.provenance.document
    base = f"`{facts.provenance.base.name}`"
    what = {
        Shape.ADAPTER: f"An adapter on {base}",
        Shape.FUSED: f"{base} with an adapter merged in",
        Shape.GGUF: f"{base} with an adapter merged in, as one GGUF file",
    }[facts.shape]
    about = f" {_sentence(document.description)}" if document.description else ""
    return f"# {facts.name}\n\n{what}, for the domain “{document.name}”.{about}"


def _usage(facts: Facts) -> str:
    base, system = facts.provenance.base.name, facts.provenance.document.system_prompt
    how = {
        Shape.ADAPTER: "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), ".")\n'
        'tokenizer = AutoTokenizer.from_pretrained(".")\n```',
        Shape.FUSED: "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained(".")\ntokenizer = AutoTokenizer.from_pretrained(".")\n```',
        Shape.GGUF: f"```sh\nprintf 'FROM ./{facts.file}\\n' > Modelfile && ollama create {facts.name} -f Modelfile\n```",
    }[facts.shape]
    said = f"\n\nIt was trained under this system prompt; use it:\n\n{_quoted(system)}" if system else ""
    return f"## Use\n\n{how}{said}"


def _base(facts: Facts) -> str:
    base = facts.provenance.base
    terms = (
        f"Its licence is **{facts.licence}**; it holds for this model too."
        if facts.licence
        else "Its files state no licence: read its page before you pass this on."
    )
    return f"## Base and licence\n\n`{base.name}`, revision `{base.revision}`. {terms}"


def _data(facts: Facts) -> str:
    data = facts.dataset
    if data is None:
        return "## Data\n\nThe dataset is no longer stored; what it held is not known."
    counts = (
        f"{data.train_rows:,} training and {data.valid_rows:,} validation rows from {data.conversations:,} "
        f"conversations; {data.seen:,} exchanges were looked at."
    )
    parts = [f"## Data\n\n{counts}"]
    if data.preference_rows:
        parts.append(f"{data.preference_rows:,} pairs of a better and a worse answer.")
    if data.sources:
        rows = [(each.origin, each.model or "not said", f"{each.rows:,}") for each in data.sources]
        parts.append("Rows by where they came from and whose answers they are:")
        parts.append(_table(("origin", "model", "rows"), rows))
    if data.policy:
        rules = [
            (r.rule, r.source, "yes" if r.eligible else "no", f"{r.exchanges:,}", r.reason)
            for r in data.policy
        ]
        parts.append("Whose answers may be trained on, by the rules that decided something:")
        parts.append(_table(("rule", "whose", "eligible", "exchanges", "reason"), rules))
    if data.dropped:
        parts.append("Left out: " + ", ".join(f"{one.rows:,} {one.reason}" for one in data.dropped) + ".")
    family = "; instances of its task families were allowed" if data.same_family_allowed else ""
    parts.append(
        "The benchmark's own prompts were kept out" + family + "."
        if data.benchmark
        else "There was no benchmark to keep out."
    )
    parts.append("Answers of other models are subject to the terms of those who offer them.")
    return "\n\n".join(parts)


def _training(facts: Facts) -> str:
    rules = facts.provenance.document.training
    asked = [
        ("method", rules.method),
        ("rank, alpha", f"{rules.rank}, {rules.alpha:g}"),
        ("targets", ", ".join(rules.targets) or "all linear maps of the blocks"),
        ("epochs", f"{rules.epochs:g}" if rules.iterations is None else f"{rules.iterations} steps"),
        ("learning rate", f"{rules.learning_rate:g}, {rules.schedule}"),
        ("longest row", f"{rules.max_seq_length:,} tokens"),
        ("seed", str(rules.seed)),
    ]
    found = facts.result(StageKind.TRAIN)
    if found is None:
        return "## Training\n\n" + _table(("", ""), asked)
    result = TrainResult.model_validate(found)
    happened = [
        ("steps", f"{result.steps}; the best checkpoint is of step {result.best_step}"),
        ("loss", f"training {result.train_loss:.4f}, validation {_number(result.valid_loss, '.4f')}"),
        ("tokens", f"{result.tokens:,} in {result.seconds:,.0f} s"),
        ("device", f"{result.device}, peak memory {result.peak_memory_bytes / 2**30:.2f} GiB"),
    ]
    if result.split or result.too_long:
        happened.append(
            (
                "too long",
                f"{result.split} conversations split between turns, {result.too_long} turns left out",
            )
        )
    if result.preferred:
        kept = "kept" if result.preferred.kept else "not kept: it was no better on held-out pairs"
        happened.append(("preferences", f"DPO on {result.preferred.pairs} pairs, {kept}"))
    if result.pairs_split or result.pairs_too_long:
        said = (
            f"{result.pairs_split} pairs without their oldest turns, {result.pairs_too_long} pairs left out"
        )
        happened.append(("pairs too long", said))
    return "## Training\n\n" + _table(("", ""), asked + happened)


def _scores(facts: Facts) -> str:
    card = facts.scorecard
    if card is None:
        return "## Scores\n\nThis version was not evaluated."
    others = () if card.incumbent is None else (card.incumbent, "difference")
    # The verdict's own row first; groups that are one category each are not said twice.
    said = [card.overall.model_copy(update={"group": f"what decides: {card.overall.group}"}), *card.groups]
    said += [category for category in card.categories if category not in card.groups]
    rows = [_score(score, paired=bool(others)) for score in said]
    answers = "one answer" if card.samples == 1 else f"{card.samples} answers"
    judged = (
        f"{card.tasks} tasks, {answers} each at temperature {card.temperature:g}, seed {card.seed}; "
        f"code ran in {card.sandbox}; judge: {card.judge}. Points of 100 with 95 % intervals; n is tasks."
    )
    parts = [
        f"## Scores\n\n{judged}",
        _table(("", "n", card.candidate, *others), rows),
        f"**{card.headline}.** " + " ".join(_sentence(reason) for reason in card.reasons),
    ]
    if card.guards:
        guards = [(g.domain, str(g.tasks), *_score(g.score, paired=bool(others))[2:]) for g in card.guards]
        parts.append("What it keeps of other domains:")
        parts.append(_table(("domain", "tasks", card.candidate, *others), guards))
    parts.append(f"Benchmark `{card.benchmark}`.")
    return "\n\n".join(parts)


def _fidelity(facts: Facts) -> str:
    return f"## Fidelity\n\n{fidelity(facts)}"


def fidelity(facts: Facts) -> str:
    """What is known of how the file answers, beside the trained weights."""
    found = facts.result(StageKind.EXPORT)
    if found is None:
        return "No export of this version is on record, and nothing was compared."
    result = ExportResult.model_validate(found)
    quant = f" as {result.quant}" if result.quant else ""
    said = f"Exported{quant}, {_answered(result.verified, result.compared)}."
    if facts.shape is not Shape.GGUF:
        return said
    if facts.is_verified:
        return f"{said} The file here is that one."
    if facts.anew is not None:
        return f"{said} The file here was written anew from the same weights: {_answered(facts.anew.equal, facts.anew.asked)}."
    why = (
        "the engine's library is not installed where it was written"
        if facts.probes
        else "the questions were erased"
    )
    return f"{said} The file here was written anew from the same weights and was not compared: {why}."


def _answered(equal: int, asked: int) -> str:
    return (
        f"llama.cpp gave the trained weights' greedy answer, token for token, to {equal} of {asked} questions"
    )


def _versions(facts: Facts) -> str:
    version, train = facts.provenance.version, facts.result(StageKind.TRAIN)
    rows = [("version", f"{version.model}, made {version.created_at:%Y-%m-%d %H:%M} UTC")]
    known = [("run", version.run_id), ("dataset", version.dataset), ("adapter", version.adapter)]
    for what, found in known:
        value = getattr(found, "sha256", found)
        if value:
            rows.append((what, f"`{value}`"))
    if train is not None:
        result = TrainResult.model_validate(train)
        rows.append(("software", ", ".join(f"{name} {at}" for name, at in sorted(result.versions.items()))))
        if result.environment:
            rows.append(("environment", ", ".join(f"{k} {v}" for k, v in sorted(result.environment.items()))))
    return "## Versions\n\n" + _table(("", ""), rows)


def _score(score: GroupScore, *, paired: bool) -> tuple[str, ...]:
    row = (score.group, str(score.candidate.n), _figure(score.candidate))
    return (*row, _figure(score.incumbent), _figure(score.difference, signed=True)) if paired else row


def _figure(figure: Figure | None, *, signed: bool = False) -> str:
    if figure is None or figure.mean is None:
        return "–"
    sign = "+" if signed else ""
    interval = (
        f" ({figure.low:{sign}.1f} to {figure.high:{sign}.1f})"
        if figure.low is not None and figure.high is not None
        else ""
    )
    return f"{figure.mean:{sign}.1f}{interval}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
