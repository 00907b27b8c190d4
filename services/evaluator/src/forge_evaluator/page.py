"""The report as one self-contained page: no script, no network, every word of a model escaped. Flipped tasks come first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape

from forge_common.contracts.scorecard import Figure, GroupScore, Outcome, Scorecard
from forge_evaluator.samples import Role, Sample

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e}
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid var(--line);padding:.3rem .8rem;text-align:right}
td:first-child,th:first-child{text-align:left}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.5rem;
border:1px solid var(--line);border-radius:6px;font-size:13px}.both{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
.passed{color:var(--good)}.failed{color:var(--bad)}details{border-top:1px solid var(--line);padding:.4rem 0}
summary{cursor:pointer}small{opacity:.75}
"""


def render(card: Scorecard, samples: Sequence[Sample]) -> str:
    title = f"{card.candidate} against {card.incumbent or 'nothing'}"
    return "".join(
        (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
            f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
            f"<h1>{escape(title)}</h1><p><b>{escape(card.verdict.replace('_', ' '))}</b>: ",
            f"{escape('; '.join(card.reasons))}.</p>",
            _table(card),
            _inputs(card),
            *_tasks(samples),
            "</html>\n",
        )
    )


def _table(card: Scorecard) -> str:
    head = "<tr><th>tasks<th>n<th>live version<th>candidate<th>difference<th>95 % interval</tr>"
    rows = "".join(_row(group) for group in (card.overall, *card.groups))
    return f"<table>{head}{rows}</table>"


def _row(group: GroupScore) -> str:
    gain = group.difference
    interval = (
        f"{gain.low:+.1f} to {gain.high:+.1f}"
        if gain and gain.low is not None and gain.high is not None
        else "–"
    )
    cells = (_mean(group.incumbent), _mean(group.candidate), _mean(gain, sign=True), interval)
    return (
        f"<tr><td>{escape(group.group)}<td>{group.candidate.n}" + "".join(f"<td>{c}" for c in cells) + "</tr>"
    )


def _mean(figure: Figure | None, *, sign: bool = False) -> str:
    if figure is None or figure.mean is None:
        return "unscored"
    return f"{figure.mean:{'+' if sign else ''}.1f}"


def _inputs(card: Scorecard) -> str:
    ours, theirs = (
        digest or "of unknown digest" for digest in (card.candidate_digest, card.incumbent_digest)
    )
    asked = (
        f"{card.tasks} tasks, {card.samples} samples each, seed {card.seed}, temperature {card.temperature:g}"
    )
    facts = (
        f"benchmark {card.benchmark[:16]}…, {asked}",
        f"candidate {ours}, live version {theirs}",
        f"sandbox {card.sandbox}; judge: {card.judge}",
        f"own errors {card.infra_error_share:.1%}; took {card.duration_s:.0f} s",
    )
    return f"<p><small>{'<br>'.join(map(escape, facts))}</small></p>"


def _tasks(samples: Sequence[Sample]) -> Iterator[str]:
    tasks: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        tasks[sample.task].append(sample)
    changes = {task: _change(found) for task, found in tasks.items()}
    for heading, wanted in (("Lost", -1), ("Gained", 1), ("Unchanged", 0)):
        chosen = [task for task in tasks if changes[task] == wanted]
        yield f"<h2>{heading} ({len(chosen)})</h2>"
        for task in chosen:
            yield _task(task, tasks[task])


def _change(samples: Sequence[Sample]) -> int:
    ours, theirs = (_passes(samples, role) for role in (Role.CANDIDATE, Role.INCUMBENT))
    return 0 if theirs is None or ours is None else (ours > theirs) - (ours < theirs)


def _passes(samples: Sequence[Sample], role: Role) -> float | None:
    outcomes = [sample.outcome for sample in samples if sample.role is role and sample.points is not None]
    return sum(outcome is Outcome.PASSED for outcome in outcomes) / len(outcomes) if outcomes else None


def _task(task: str, samples: Sequence[Sample]) -> str:
    sides = "".join(
        _side([s for s in samples if s.role is role]) for role in (Role.INCUMBENT, Role.CANDIDATE)
    )
    return (
        f"<details><summary>{escape(task)}: {escape(samples[0].prompt[:120])}</summary>"
        f"<pre>{escape(samples[0].prompt)}</pre><div class=both>{sides}</div></details>"
    )


def _side(samples: Sequence[Sample]) -> str:
    return f"<div>{''.join(_answer(sample) for sample in samples)}</div>"


def _answer(sample: Sample) -> str:
    style = "passed" if sample.outcome is Outcome.PASSED else "failed"
    points = "unscored" if sample.points is None else f"{sample.points:.0f}"
    notes = "<br>".join(escape(line) for line in (sample.explanation, *sample.evidence))
    return (
        f"<b class={style}>{escape(str(sample.outcome or 'unscored'))}</b> {points} "
        f"<small>{escape(sample.model)}, seed {sample.seed}</small>"
        f"<pre>{escape(sample.answer)}</pre><small>{notes}</small>"
    )
