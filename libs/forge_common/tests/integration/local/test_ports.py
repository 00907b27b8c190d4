"""Ports for servers that are started a little later, or again."""

import contextlib
import socket

import pytest

from forge_common.local.process import ServerDidNotStart, free_port, listens

pytestmark = pytest.mark.integration


def test_a_port_is_given_to_nobody_else_until_its_server_starts() -> None:
    mine = free_port()

    others = {free_port() for _ in range(100)}
    with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
        somebody.bind(("127.0.0.1", mine))
    with contextlib.ExitStack() as stack:
        anywhere = {
            stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(300)
        }

    assert len(others) == 100
    assert mine not in others | anywhere


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_server_that_starts_and_starts_again_has_its_port(host: str) -> None:
    port = free_port()
    assert not listens(port)

    for _ in range(3):
        with socket.create_server((host, port)):
            assert listens(port)


def test_a_port_that_somebody_has_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr("forge_common.local.process._PORTS", range(taken, taken + 1))

        with pytest.raises(ServerDidNotStart, match="no port is free"):
            free_port()
