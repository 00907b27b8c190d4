"""`forge init` and `forge domain`."""

from __future__ import annotations

import platform
import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from forge_cli import clients
from forge_cli.commands import bench
from forge_cli.commands.stack import start
from forge_cli.console import JsonFlag, command, done, err, in_words, note, print_json, table
from forge_cli.installation import Installation
from forge_common import domains
from forge_common.artifacts import sha256_of
from forge_common.contracts.domain import DomainDocument
from forge_common.errors import Invalid
from forge_common.http.registry import RegistryClient

# Columns of a terminal that a sentence fits into.
ROOMY = 110
_ORIGINALS_BASE = re.compile(r"(Qwen[\d.]+-(?:Coder-)?[\d.]+B(?:-Instruct)?)-[48]bit")
NANO_BASE = "forge/nano-qwen2"


@command
def init(
    *,
    domain: Annotated[str | None, typer.Option(help="Make this the active domain.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Set up The Forge: detect the hardware, start the stack, upload the shipped domains and benchmarks."""
    here = Installation.find()
    start(here)
    registry = clients.registry(here)
    if domain is not None:
        registry.domain(domain)
        registry.set_active_domain(domain)
    uploaded = upload_benchmarks(here, registry)
    others = _with_other_benchmarks(registry)
    if (domain or registry.active_domain()) == "nano":
        upload_nano_base(here, registry)
    found = {
        "hardware": hardware(),
        "home": str(here.home),
        "domain": registry.active_domain(),
        "benchmarks": uploaded,
        "other_benchmarks": others,
    }
    if json_:
        print_json(found)
        return
    done(f"Ready in {here.home}, for {found['hardware']}.")
    note(f"active domain: {found['domain']} · new benchmarks: {', '.join(uploaded) or 'none'}")
    for name, path in others.items():
        note(f"{name} has another benchmark than the shipped one: forge domain {name} --benchmark {path}")
    note(f"capture: base URL {here.url('collector')}/v1 · answers: {here.url('gateway')}/v1")


@command
def domain(
    domain: Annotated[str | None, typer.Argument(help="Make this the active domain.")] = None,
    *,
    add: Annotated[Path | None, typer.Option(help="Add or replace a domain from this JSON document.")] = None,
    benchmark: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its benchmark tasks, JSON lines.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """List the domains, or switch to one. A benchmark must pass its self-test; else nothing is changed."""
    here = Installation.find()
    registry = clients.registry(here)
    document = _parsed(add) if add is not None else registry.domain(domain) if domain is not None else None
    if benchmark is not None:
        if document is None:
            raise Invalid("whose benchmark is it?", fix="name the domain: forge domain ID --benchmark FILE")
        bench.require(here, benchmark, document, quiet=json_)
    if document is not None:
        if add is not None:
            registry.put_domain(document)
        if benchmark is not None:
            bench.give(here, document.id, benchmark)
        registry.set_active_domain(document.id)
    _list_domains(registry, as_json=json_)
    if document is not None and not json_:
        done(f"{document.id} is the active domain now.")
        if registry.domain(document.id).benchmark is None:
            note(
                "it has no benchmark, so nothing of it is promoted by itself: " + _how_to_get_one(document.id)
            )


def _how_to_get_one(domain: str) -> str:
    if _shipped_benchmark(domain) is not None:
        return "`forge init` gives it the shipped one"
    return f"`forge domain {domain} --benchmark FILE`"


def upload_benchmarks(here: Installation, registry: RegistryClient) -> list[str]:
    """Give every shipped domain that has none its shipped benchmark. Returns the ids that were given one."""
    artifacts, given = clients.artifacts(here), []
    for document in registry.domains():
        source = _shipped_benchmark(document.id)
        if source is None or document.benchmark is not None:
            continue
        with as_file(source) as path:
            registry.put_benchmark(document.id, artifacts.push(path, "benchmark"))
        given.append(document.id)
    return given


def _with_other_benchmarks(registry: RegistryClient) -> dict[str, str]:
    """The shipped file of every domain that uses another: the person's own, or that of an earlier Forge."""
    found = {}
    for document in registry.domains():
        source = _shipped_benchmark(document.id)
        if source is not None:
            with as_file(source) as path:
                if sha256_of(path) != document.benchmark:
                    found[document.id] = str(path)
    return found


def upload_nano_base(here: Installation, registry: RegistryClient) -> None:
    """The nano base comes with the Forge, not from the model hub: the registry hands it to trainers as a bundle."""
    from forge_common.nano import base_dir

    bundle = clients.artifacts(here).push_bundle(base_dir(), "base")
    registry.put_base(NANO_BASE, bundle=bundle.sha256)


def hardware() -> str:
    """`Apple silicon`, `NVIDIA` or `CPU only`."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "Apple silicon"
    return "NVIDIA" if shutil.which("nvidia-smi") else "CPU only"


def _parsed(document: Path) -> DomainDocument:
    try:
        return _with_base_on_hub(DomainDocument.model_validate_json(document.read_bytes()))
    except OSError as error:
        raise Invalid(f"cannot read {document}: {error.strerror}", fix="check the path") from error
    except ValidationError as error:
        raise Invalid(
            f"{document} is not a domain document: {in_words(error)}",
            fix="see docs/domains.md for a whole one",
        ) from error


def _with_base_on_hub(document: DomainDocument) -> DomainDocument:
    """The original Forge named bases by the folder of their 4-bit copy, which no hub knows. Bases are quantised here by `training.method` and `deploy.quant`."""
    if not (local := _ORIGINALS_BASE.fullmatch(document.base_model)):
        return document
    base = f"Qwen/{local[1]}"
    err.print(f"  [dim]base model {document.base_model}, as the original Forge called it, is {base}[/]")
    return document.model_copy(update={"base_model": base})


def _list_domains(registry: RegistryClient, *, as_json: bool) -> None:
    active, documents = registry.active_domain(), registry.domains()
    if as_json:
        print_json({"active": active, "domains": documents})
        return
    rows = [
        [
            "→" if d.id == active else "",
            d.id,
            d.model_prefix,
            d.base_model,
            "yes" if d.benchmark else "no",
            d.description,
        ]
        for d in documents
    ]
    table("", "domain", "prefix", "base model", "benchmark", "what it covers", rows=rows, last_from=ROOMY)


def _shipped_benchmark(domain: str) -> Any:
    if domain not in domains.shipped():
        return None
    try:
        source = files("forge_evaluator") / "benchmarks" / f"{domain}.jsonl"
    except ModuleNotFoundError:
        return None
    return source if source.is_file() else None
