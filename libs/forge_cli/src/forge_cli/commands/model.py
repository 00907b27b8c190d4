"""`forge model export`: a version as a folder in Hugging Face's layout, with a model card."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, get_args

import typer

from forge_cli import clients, model_card
from forge_cli.commands.versions import number
from forge_cli.console import DomainOption, JsonFlag, command, done, escape, note, print_json, working
from forge_cli.installation import Installation
from forge_cli.model_card import Facts, Shape
from forge_common.artifacts import ArtifactClient, ArtifactMissing
from forge_common.contracts.base import Sha256
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import Quant
from forge_common.contracts.runs import Provenance
from forge_common.contracts.stages import ExportResult, StageKind
from forge_common.errors import Invalid, NotFound
from forge_common.http.registry import RegistryClient

app = typer.Typer(help="Models: export a version.", no_args_is_help=True)


class NothingTrained(Invalid):
    """The version is a bare base."""


@app.callback()
def models() -> None:
    """A callback of its own keeps `export` a word of the command."""


@app.command()
@command
def export(
    *,
    to: Annotated[Path, typer.Option("--out", help="The folder to make; it must not exist.")],
    domain: DomainOption = None,
    version: Annotated[str | None, typer.Option(help="Which version; default: the live one.")] = None,
    fused: Annotated[bool, typer.Option("--fused", help="The base with the adapter merged in.")] = False,
    quant: Annotated[
        str | None, typer.Option(help=f"With --fused: one GGUF file, as {', '.join(get_args(Quant))}.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Write a version as a folder that others can use: adapter, fused weights or GGUF, tokenizer, model card."""
    here, registry = Installation.find(), clients.registry()
    chosen = clients.domain(domain)
    provenance = registry.provenance(chosen, number(version) if version else _live(registry, chosen))
    shape = _shape(fused=fused, quant=quant)
    what = f"writing {provenance.version.model}" + (": of a 7B this takes minutes" if fused else "")
    with working(what, quiet=json_):
        facts = _write(to, provenance, shape, _quant(quant), here=here, registry=registry)
    files = sorted(path.name for path in to.iterdir())
    if json_:
        model = provenance.version
        said = {"model": model.model, "shape": shape, "folder": str(to.absolute()), "files": files}
        print_json(said | ({} if shape is not Shape.GGUF else {"fidelity": model_card.fidelity(facts)}))
        return
    done(f"{escape(provenance.version.model)} is in {escape(str(to))}: {escape(', '.join(files))}")
    if shape is Shape.GGUF:
        note(model_card.fidelity(facts))
    if facts.licence is None:
        note("the base's files state no licence: read its page before you pass this on")


def _live(registry: RegistryClient, domain: str) -> int:
    live = [found.number for found in registry.versions(domain) if found.is_live]
    if not live:
        raise NotFound(f"domain {domain!r} has no live version", fix="name one: `forge versions` lists them")
    return live[0]


def _shape(*, fused: bool, quant: str | None) -> Shape:
    if quant is not None and not fused:
        raise Invalid("--quant writes one GGUF of the fused model", fix="add --fused, or leave --quant away")
    if not fused:
        return Shape.ADAPTER
    return Shape.FUSED if quant is None else Shape.GGUF


def _quant(given: str | None) -> Quant | None:
    known = {name: name for name in get_args(Quant)}
    if given is not None and given.lower() not in known:
        raise Invalid(f"no quantisation is called {given!r}", fix=f"one of {', '.join(known)}")
    quant: Quant | None = None if given is None else known[given.lower()]
    return quant


def _write(
    to: Path,
    provenance: Provenance,
    shape: Shape,
    quant: Quant | None,
    *,
    here: Installation,
    registry: RegistryClient,
) -> Facts:
    # Imported here: numpy, gguf and the tokenizers take a second that no other command needs.
    from forge_common.weights import release

    artifacts, adapter = clients.artifacts(here), provenance.version.adapter
    if adapter is None:
        raise NothingTrained(
            f"{provenance.version.model} is the bare base {provenance.base.name}: nothing was trained",
            fix="name a version from 1 on; the base itself is on the model hub",
        )
    with release.new_folder(to) as folder, tempfile.TemporaryDirectory(prefix="forge-") as texts_at:
        texts = release.base_texts(provenance.base, artifacts, Path(texts_at))
        facts = _facts(
            provenance, shape, quant, release.licence(texts), registry=registry, artifacts=artifacts
        )
        if shape is Shape.ADAPTER:
            release.write_adapter_files(folder, adapter.sha256, texts, artifacts)
        elif quant is None:
            release.write_fused_files(folder, provenance.base, adapter.sha256, artifacts, here.home / "cache")
            release.copy_texts(texts, folder)
        else:
            assert facts.file is not None
            out = folder / facts.file
            _gguf(out, facts, quant, adapter.sha256, artifacts=artifacts, here=here)
            if not facts.is_verified:
                facts = replace(facts, anew=release.compared(out, quant, facts.probes, texts))
            release.copy_texts(texts, folder)
        (folder / "README.md").write_text(model_card.render(facts), encoding="utf-8")
    return facts


def _gguf(
    out: Path,
    facts: Facts,
    quant: Quant,
    adapter: Sha256,
    *,
    artifacts: ArtifactClient,
    here: Installation,
) -> None:
    from forge_common.weights import release

    fused = facts.provenance.fused_gguf
    if facts.is_verified and fused is not None:
        shutil.copyfile(artifacts.fetch(fused.sha256), out)
        return
    base, cache = facts.provenance.base, here.home / "cache"
    release.write_gguf_file(out, base, adapter, artifacts, cache, quant=quant, name=facts.name)


def _facts(
    provenance: Provenance,
    shape: Shape,
    quant: Quant | None,
    licence: str | None,
    *,
    registry: RegistryClient,
    artifacts: ArtifactClient,
) -> Facts:
    version = provenance.version
    run = registry.run(version.run_id) if version.run_id else None
    facts = Facts(
        provenance=provenance,
        shape=shape,
        licence=licence,
        file=f"{provenance.document.model_prefix}-v{version.number}-{quant}.gguf" if quant else None,
        run=run,
        dataset=_dataset(version.dataset, artifacts),
        scorecard=registry.scorecard(version.scorecard_id) if version.scorecard_id else None,
    )
    exported = facts.result(StageKind.EXPORT)
    stored = ExportResult.model_validate(exported).quant if exported else None
    is_verified = provenance.fused_gguf is not None and stored == quant
    return replace(facts, is_verified=is_verified)


def _dataset(sha256: Sha256 | None, artifacts: ArtifactClient) -> DatasetManifest | None:
    """None where its exchanges were erased since."""
    try:
        return None if sha256 is None else artifacts.read_json(sha256, DatasetManifest)
    except ArtifactMissing:
        return None
