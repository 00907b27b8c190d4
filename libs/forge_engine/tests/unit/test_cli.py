"""Where the engine agrees to listen."""

import sys

import pytest

from forge_engine.cli import is_loopback, main


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("box", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_an_engine_without_keys_is_not_offered_to_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["forge-engine", "--host", "0.0.0.0"])

    with pytest.raises(SystemExit):
        main()

    assert "Offer the gateway instead" in capsys.readouterr().err
