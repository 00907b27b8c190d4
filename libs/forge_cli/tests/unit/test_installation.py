"""Secrets, ports and addresses of an installation."""

import json
import socket
import stat

from forge_cli.commands.versions import number
from forge_cli.installation import Installation


def test_a_secret_is_made_once_and_readable_by_nobody_else(tmp_path):
    here = Installation(tmp_path)

    first = here.secret("key")

    assert here.secret("key") == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_two_secrets_differ(tmp_path):
    here = Installation(tmp_path)

    assert here.secret("postgres") != here.secret("redis")


def test_a_taken_default_port_is_replaced_and_the_choice_kept(tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setitem(
            __import__("forge_cli.installation", fromlist=["x"]).DEFAULT_PORTS, "gateway", taken
        )

        chosen = Installation(tmp_path).port("gateway")

    assert chosen != taken
    assert Installation(tmp_path).port("gateway") == chosen


def test_the_environment_wins_over_what_is_saved(tmp_path, monkeypatch):
    (tmp_path / "ports.json").write_text(json.dumps({"registry": "1234"}))
    monkeypatch.setenv("FORGE_REGISTRY_URL", "http://mac.local:18795/")

    assert Installation(tmp_path).url("registry") == "http://mac.local:18795"


def test_a_broken_file_reads_as_empty(tmp_path):
    (tmp_path / "ports.json").write_text('{"gateway": ')

    assert isinstance(Installation(tmp_path).port("gateway"), int)


def test_a_version_is_read_in_every_form_that_people_write():
    assert [number(text) for text in ("3", "v3", "engie-coder:v3")] == [3, 3, 3]
