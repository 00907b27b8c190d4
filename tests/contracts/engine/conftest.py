"""The engine under test: the Ollama that OLLAMA_HOST names, else the embedded engine, started here."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from forge_common.engine import Engine
from forge_engine.testing.running import running_engine
from forge_engine.testing.scripted_model import (
    ENDLESS,
    GOODBYE,
    HELLO,
    write_scripted_adapter,
    write_scripted_model,
)


@dataclass(frozen=True)
class Fixtures:
    """What the cases speak of: names in a namespace of this run, and digests of the files."""

    engine: Engine
    base: str
    tuned: str
    endless: str
    new: str
    alias: str
    files: dict[str, Path]

    def sha(self, file: str) -> str:
        return hashlib.sha256(self.files[file].read_bytes()).hexdigest()

    def values(self) -> dict[str, str]:
        names = {"base": self.base, "BASE": self.base.upper(), "tuned": self.tuned}
        return names | {"new": self.new, "alias": self.alias} | {f"{f}_sha": self.sha(f) for f in self.files}


def ollama_url() -> str | None:
    host = os.environ.get("OLLAMA_HOST")
    if not host:
        return None
    if "//" in host:
        return host
    name, _, port = host.partition(":")
    return f"http://{'127.0.0.1' if name == '0.0.0.0' else name}:{port or 11434}"


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := ollama_url():
        yield url
        return
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine.url


@pytest.fixture(scope="session")
def http(engine_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=engine_url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def models(engine_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixtures]:
    engine, run = Engine(engine_url, timeout_s=120), f"conformance-{secrets.token_hex(4)}"
    made = Fixtures(
        engine=engine,
        base=f"{run}/hello",
        tuned=f"{run}/goodbye",
        endless=f"{run}/endless",
        new=f"{run}/new",
        alias=f"{run}/alias",
        files=_files(tmp_path_factory.mktemp("models")),
    )
    before = {tag.name for tag in engine.tags()}
    for file, path in made.files.items():
        engine.push_blob(made.sha(file), path)
    engine.create(made.base, gguf_sha=made.sha("base"))
    engine.create(made.tuned, from_=made.base, adapter_sha=made.sha("adapter"))
    engine.create(made.endless, gguf_sha=made.sha("endless"))
    yield made
    for name in {tag.name for tag in engine.tags()} - before:
        if name.startswith(run):
            engine.delete(name)


def _files(folder: Path) -> dict[str, Path]:
    base = write_scripted_model(folder / "base.gguf", HELLO)
    files = {
        "base": base,
        "endless": write_scripted_model(folder / "endless.gguf", ENDLESS),
        "adapter": write_scripted_adapter(folder / "adapter.gguf", HELLO, GOODBYE),
        "truncated": folder / "truncated.gguf",
        "header": folder / "header.gguf",
        "text": folder / "text",
    }
    files["truncated"].write_bytes(base.read_bytes()[: base.stat().st_size // 2])
    files["header"].write_bytes(base.read_bytes()[:1000])
    files["text"].write_text("this is no GGUF\n")
    return files
