from __future__ import annotations

import pytest

from forge_common.settings import InstallationKeyMissing
from forge_registry.settings import Settings


def test_without_an_installation_key_the_registry_does_not_start(monkeypatch):
    monkeypatch.delenv("FORGE_KEY", raising=False)

    with pytest.raises(InstallationKeyMissing, match="forge init"):
        _ = Settings().installation_key


def test_own_fields_are_read_with_the_services_prefix(monkeypatch):
    monkeypatch.setenv("FORGE_REGISTRY_LEASE_S", "7")
    monkeypatch.setenv("FORGE_REGISTRY_PORT", "19000")

    assert (Settings().lease_s, Settings().port) == (7.0, 19000)


def test_artifacts_lie_in_the_home_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_HOME", str(tmp_path))

    assert Settings().artifact_root == tmp_path / "artifacts"
