from __future__ import annotations

import hashlib

import httpx2
import pytest

from forge_engine.testing.running import running_engine
from forge_engine.testing.scripted_model import (
    BROKEN_TEXT,
    ENDLESS,
    GOODBYE,
    HELLO,
    write_scripted_adapter,
    write_scripted_model,
)

LONG_CONTEXT = 1 << 17


@pytest.fixture(scope="session")
def ggufs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ggufs")
    return {
        "hello": write_scripted_model(folder / "hello.gguf", HELLO),
        "endless": write_scripted_model(folder / "endless.gguf", ENDLESS, context=LONG_CONTEXT),
        "broken-text": write_scripted_model(folder / "broken-text.gguf", BROKEN_TEXT),
        "goodbye": write_scripted_adapter(folder / "goodbye.gguf", HELLO, GOODBYE),
        "wide": write_scripted_adapter(folder / "wide.gguf", HELLO, GOODBYE, width=256),
        "llama": write_scripted_adapter(folder / "llama.gguf", HELLO, GOODBYE, architecture="llama"),
    }


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """One engine for all tests that leave it as it was."""
    with running_engine(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def client(engine):
    client = engine.client()
    yield client
    for tag in client.tags():
        httpx2.post(
            f"{engine.url}/api/generate", json={"model": tag.name, "keep_alive": 0}, timeout=60
        ).raise_for_status()
        client.delete(tag.name)
    client.close()


@pytest.fixture
def start(tmp_path):
    """Start an engine with these settings; every call in one test uses the same store."""

    def started(**settings):
        return running_engine(tmp_path / "engine", **settings)

    return started


@pytest.fixture
def push():
    def pushed(client, path):
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        client.push_blob(sha, path)
        return sha

    return pushed
