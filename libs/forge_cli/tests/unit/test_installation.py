"""Secrets, ports and addresses of an installation."""

import json
import os
import shutil
import socket
import stat

import pytest

from forge_cli import installation
from forge_cli.commands.versions import number
from forge_cli.installation import Installation
from forge_common.errors import Invalid
from forge_common.local import account


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("FORGE_", "OLLAMA_"))]:
        monkeypatch.delenv(name)


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


def test_a_broken_file_is_an_error_and_is_never_written_over(tmp_path):
    (tmp_path / "secrets.json").write_text('{"postgres": ')

    with pytest.raises(Invalid, match="secrets"):
        Installation(tmp_path).secret("postgres")

    assert (tmp_path / "secrets.json").read_text() == '{"postgres": '


def test_the_engine_of_a_home_is_chosen_once(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "answers", lambda _: False)
    here = Installation(tmp_path)
    own = here.engine()

    monkeypatch.setattr(installation, "answers", lambda _: True)

    assert here.engine() == own == here.url("engine")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("http://box:11434/", "http://box:11434"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(tmp_path, monkeypatch, given, url):
    monkeypatch.setenv("OLLAMA_HOST", given)

    assert Installation(tmp_path).engine() == url


def test_only_loopback_and_every_interface_can_be_bound(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_BIND", "10.0.0.1")

    with pytest.raises(Invalid, match="10"):
        _ = Installation(tmp_path).bind


def test_a_home_made_again_gets_a_database_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(account, "SYSTEM_STATE", tmp_path / "system")
    monkeypatch.setattr(account, "service_account", lambda: account.Account(os.getuid(), os.getgid()))
    first = account.state_folder(made(tmp_path / "home"), "postgres")
    shutil.rmtree(tmp_path / "home")

    again = account.state_folder(made(tmp_path / "home"), "postgres")

    assert again != first
    assert account.state_folder(tmp_path / "home", "postgres") == again


def made(folder):
    folder.mkdir()
    return folder


def test_a_version_is_read_in_every_form_that_people_write():
    assert [number(text) for text in ("3", "v3", "engie-coder:v3")] == [3, 3, 3]
