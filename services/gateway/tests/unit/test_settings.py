from __future__ import annotations

import pytest
from pydantic import SecretStr

from forge_gateway.settings import KeysMissing, Settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORGE_API_KEYS", raising=False)


def settings(tmp_path, **more):
    return Settings(home=tmp_path / "home", **more)


def test_keys_come_from_the_environment_and_from_both_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_API_KEYS", "one, two,,")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "api-keys.txt").write_text("# mine\nthree # laptop\n\n")
    (tmp_path / "api-keys.txt").write_text("four\n")

    assert settings(tmp_path).keys() == {"one", "two", "three", "four"}


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.2", "forge.example"])
def test_beyond_loopback_it_starts_only_with_keys(tmp_path, bind):
    with pytest.raises(KeysMissing, match=r"api-keys\.txt"):
        settings(tmp_path, bind=bind).require_keys_beyond_loopback()

    settings(tmp_path, bind=bind, api_keys=SecretStr("one")).require_keys_beyond_loopback()


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_loopback_no_key_is_needed(tmp_path, bind):
    settings(tmp_path, bind=bind).require_keys_beyond_loopback()


def test_the_seeds_variables_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_GATEWAY_PORT", "1234")
    monkeypatch.setenv("FORGE_GATEWAY_BIND", "::1")
    monkeypatch.setenv("FORGE_ENGINE_URL", "http://engine:1")

    read = settings(tmp_path)

    assert (read.port, read.bind, read.engine_url) == (1234, "::1", "http://engine:1")


def test_keys_are_not_shown(tmp_path):
    assert "hunter2" not in repr(settings(tmp_path, api_keys=SecretStr("hunter2")))
