"""The report as one self-contained page: no script, no network, every word of a model escaped. Flipped tasks come first."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from forge_common.contracts.scorecard import Figure, GroupScore, Scorecard
from forge_evaluator import answers, chart
from forge_evaluator.samples import Sample

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#1a7f37;--bad:#cf222e;--mid:#9a6700}
@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#ff7b72;--mid:#d29922}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:82rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:.4rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.verdict{display:inline-block;padding:.1rem .7rem;border-radius:1rem;font-weight:600;color:#fff;background:var(--mid)}
.verdict.promote{background:#1a7f37}.verdict.keep{background:#57606a}
ul.why{margin:.3rem 0 1rem;padding-left:1.2rem}
.tiles{display:flex;flex-wrap:wrap;gap:.7rem;margin:1rem 0}
.tile{border:1px solid var(--line);border-radius:8px;padding:.5rem .9rem;min-width:8.5rem}
.tile b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
svg{width:100%;max-width:800px;height:auto;font:13px system-ui,sans-serif}svg text{fill:currentColor}
svg .grid{stroke:var(--line)}svg .zero{stroke:currentColor;stroke-width:1.5}svg .tick{font-size:11px;opacity:.7}
svg .reach{stroke-width:4;stroke-linecap:round;opacity:.45}svg .bound{stroke:currentColor;stroke-width:2}
svg .unsure{stroke:#8c959f;fill:#8c959f}svg .good{stroke:var(--good);fill:var(--good)}svg .bad{stroke:var(--bad);fill:var(--bad)}svg .said{font-size:12px}
table{border-collapse:collapse;margin:.5rem 0 1rem;font-variant-numeric:tabular-nums}
td,th{white-space:nowrap;border-bottom:1px solid var(--line);padding:.25rem .8rem;text-align:right;font-weight:400}
th{opacity:.75;font-size:.9em}td:first-child,th:first-child{text-align:left;padding-left:0}
.wide{overflow-x:auto}.wide svg{min-width:560px}.row{display:flex;flex-wrap:wrap;gap:0 4rem}.row>*{min-width:0;max-width:100%}
.facts td{white-space:normal;overflow-wrap:anywhere;text-align:left;vertical-align:top}.facts td:first-child{white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.mid{color:var(--mid)}small,.dim{opacity:.72}
fieldset{border:0;margin:.2rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.35rem;align-items:center}
fieldset input{position:absolute;opacity:0}
label{border:1px solid var(--line);border-radius:1rem;padding:.05rem .7rem;cursor:pointer;font-size:.92em}
input:checked+label{background:currentColor;border-color:currentColor}input:checked+label span{color:Canvas}
input:focus-visible+label{outline:2px solid Highlight;outline-offset:2px}
details.task{border-top:1px solid var(--line)}details.task>summary{cursor:pointer;padding:.4rem 0;display:flex;gap:.8rem}
summary::-webkit-details-marker{display:none}summary:hover{background:var(--soft)}
.flag{flex:0 0 4.6rem;font-weight:600}.id{flex:0 0 13rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.share{flex:0 0 9rem;font-variant-numeric:tabular-nums}
.ask{flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;opacity:.75}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.6rem;background:var(--soft);border-radius:6px;
font:13px/1.45 ui-monospace,monospace;max-height:32rem;overflow:auto}
.both{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem;margin-bottom:1rem}
.both>div{min-width:0}.answer{margin:.6rem 0}
@media(max-width:46rem){details.task>summary{flex-wrap:wrap;gap:0 .8rem}.id{flex:1 1 8rem}.share{flex:0 0 auto}.ask{flex:1 0 100%}}
"""


def render(card: Scorecard, samples: Sequence[Sample]) -> str:
    tasks = answers.by_task(samples)
    style = _STYLE + answers.filter_rules(tasks)
    body = "".join(
        (
            _head(card),
            _tiles(card),
            _chart(card),
            _table(card),
            f"<div class=row>{_guards(card)}{_passes(card)}{_outcomes(card)}</div>",
            _inputs(card),
            answers.section(card, tasks),
        )
    )
    title = escape(f"{card.candidate} against {card.incumbent or 'nothing'}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8>{_policy(style)}<title>{title}</title>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><style>{style}</style>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _policy(style: str) -> str:
    """Nothing is loaded and nothing is run, whatever a model managed to write; only this very style sheet counts."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


def _head(card: Scorecard) -> str:
    verdict = card.verdict.replace("_", " ")
    why = "".join(f"<li>{escape(reason)}" for reason in card.reasons)
    return (
        f"<span class='verdict {card.verdict}'>{escape(verdict)}</span> <small>domain {escape(card.domain)}</small>"
        f"<h1>{escape(card.headline)}</h1><ul class=why>{why}</ul>"
    )


def _tiles(card: Scorecard) -> str:
    overall, gain = card.overall, card.overall.difference
    tiles = [
        (_mean(overall.candidate), f"candidate, of 100 {_reach(overall.candidate)}"),
        (_mean(overall.incumbent), f"{_other(card)} {_reach(overall.incumbent)}"),
        (_mean(gain, sign=True), f"difference {_reach(gain, sign=True)}"),
        (f"{len(card.gained)} / {len(card.lost)}", "tasks done better / worse"),
        (str(overall.candidate.n), f"tasks scored, {card.samples} × each"),
    ]
    if card.canaries:
        held = card.canaries - len(card.canaries_failed)
        tiles.append((f"{held} / {card.canaries}", "canaries hold"))
    shown = "".join(
        f"<div class=tile><b>{escape(big)}</b><small>{escape(small)}</small></div>" for big, small in tiles
    )
    return f"<div class=tiles>{shown}</div>"


def _chart(card: Scorecard) -> str:
    rows = [
        chart.Row(score.group, score.difference, bound)
        for score, bound in ((card.overall, card.lower_bound), *((one, None) for one in _parts(card)))
        if score.difference is not None
    ]
    rows += [
        chart.Row(f"domain {guard.domain}", guard.score.difference, is_harmed=guard.is_harmed)
        for guard in card.guards
        if guard.score.difference is not None
    ]
    drawn = chart.draw(rows)
    if not drawn:
        return ""
    bound = (
        f"<small>The upright mark is the lower bound that the gate looks at: with {100 * (1 - card.alpha):.3g} % "
        "confidence the true difference is above it.</small>"
        if card.lower_bound is not None
        else ""
    )
    return f"<h2>Difference, candidate minus {escape(_other(card))}</h2><div class=wide>{drawn}</div>{bound}"


def _parts(card: Scorecard) -> list[GroupScore]:
    """Categories, else groups, without the one that all that decides is of: it is the first row already."""
    return [part for part in card.categories or card.groups if part != card.overall]


def _table(card: Scorecard) -> str:
    theirs, ours = _short(card.incumbent), _short(card.candidate)
    head = ("", "tasks", theirs, "± se", ours, "± se", "difference", "± se", "95 % interval")
    rows = [_row(group) for group in (card.overall, *_parts(card))]
    return _section("By category, points of 100", _grid(head, rows) + "<small>se: the standard error</small>")


def _row(group: GroupScore) -> list[str]:
    gain = group.difference
    return [
        group.group,
        str(group.candidate.n),
        _mean(group.incumbent),
        _error(group.incumbent),
        _mean(group.candidate),
        _error(group.candidate),
        _mean(gain, sign=True),
        _error(gain),
        _reach(gain, sign=True) or "–",
    ]


def _guards(card: Scorecard) -> str:
    if not card.guards:
        return ""
    head = (
        "domain",
        "tasks",
        _short(card.incumbent),
        _short(card.candidate),
        "difference",
        "95 % interval",
        "",
    )
    rows = [
        [
            guard.domain,
            str(guard.score.candidate.n),
            _mean(guard.score.incumbent),
            _mean(guard.score.candidate),
            _mean(guard.score.difference, sign=True),
            _reach(guard.score.difference, sign=True) or "–",
            "forgotten" if guard.is_harmed else "holds",
        ]
        for guard in card.guards
    ]
    return _section("What it must not forget", _grid(head, rows))


def _passes(card: Scorecard) -> str:
    if not card.pass_rates:
        return ""
    head = ("", "tasks", _short(card.incumbent), "95 % interval", _short(card.candidate), "95 % interval")
    rows = [
        [
            f"pass@{rate.k}",
            str(rate.candidate.n),
            _mean(rate.incumbent),
            _reach(rate.incumbent) or "–",
            _mean(rate.candidate),
            _reach(rate.candidate) or "–",
        ]
        for rate in card.pass_rates
    ]
    return _section("Tasks passed, of 100", _grid(head, rows))


def _outcomes(card: Scorecard) -> str:
    names = sorted({*card.outcomes, *card.incumbent_outcomes}, key=lambda name: (name != "passed", name))
    rows = [
        [name.replace("_", " "), str(card.incumbent_outcomes.get(name, 0)), str(card.outcomes.get(name, 0))]
        for name in names
    ]
    return _section(
        "How the answers ended", _grid(("", _short(card.incumbent), _short(card.candidate)), rows)
    )


def _inputs(card: Scorecard) -> str:
    rows = _grid(None, _facts(card))
    return f"<details class=facts><summary><b>What these figures were made from</b></summary>{rows}</details>"


def _facts(card: Scorecard) -> Iterator[list[str]]:
    yield ["benchmark", f"{card.benchmark}, {card.tasks} tasks"]
    yield ["candidate", f"{card.candidate}, digest {card.candidate_digest or 'unknown'}"]
    yield ["other", f"{card.incumbent or 'none'}, digest {card.incumbent_digest or 'unknown'}"]
    sampling = f"temperature {card.temperature:g}"
    sampling += f", top_p {card.top_p:g}" if card.top_p is not None else ""
    sampling += f", at most {card.max_tokens} tokens" if card.max_tokens else ""
    yield ["sampling", f"{card.samples} answers a task, seed {card.seed}, {sampling}"]
    yield ["sandbox", card.sandbox]
    yield ["judge", card.judge]
    yield ["extractor", card.extractor or "unknown"]
    yield ["scorers", card.scorers or "unknown"]
    for one in card.parity:
        yield ["as trained", f"{one.model} gave {one.equal} of {one.asked} reference answers"]
    yield ["own errors", f"{card.infra_error_share:.1%} of the answers"]
    yield ["level", f"alpha {card.alpha:g}; {card.judged_before} candidates judged on this benchmark before"]
    if card.detectable is not None:
        yield ["smallest difference", f"{card.detectable:.1f} points would have been found 4 times in 5"]
    yield ["took", f"{card.duration_s:.0f} s"]


def _grid(head: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>" + "".join(f"<th>{escape(name)}" for name in head) if head else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return f"<div class=wide><table>{top}{body}</table></div>"


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _short(model: str | None) -> str:
    """`v8` of `engie-coder:v8`."""
    return "–" if model is None else model.rpartition(":")[2]


def _other(card: Scorecard) -> str:
    if card.incumbent is None:
        return "nothing"
    return f"{card.incumbent} (live)" if card.is_against_live else card.incumbent


def _mean(figure: Figure | None, *, sign: bool = False) -> str:
    if figure is None or figure.mean is None:
        return "unscored"
    return f"{figure.mean:{'+' if sign else ''}.1f}"


def _error(figure: Figure | None) -> str:
    return "–" if figure is None or figure.stderr is None else f"{figure.stderr:.1f}"


def _reach(figure: Figure | None, *, sign: bool = False) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return ""
    mark = "+" if sign else ""
    return f"({figure.low:{mark}.1f} to {figure.high:{mark}.1f})"
