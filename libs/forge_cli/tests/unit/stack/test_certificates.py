"""The installation's own CA and what it signs."""

from __future__ import annotations

import socket
import ssl
import stat

import pytest
from cryptography import x509

from forge_cli.stack import signing
from forge_cli.stack.certificates import Certificates, own_host, own_names


@pytest.fixture
def made(tmp_path):
    found = Certificates(tmp_path)
    found.ensure(["localhost", "127.0.0.1", "mac.local"])
    return found


def handshake(made: Certificates, name: str, ca: str) -> None:
    """A whole TLS handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.server)
    client = ssl.create_default_context(cafile=ca)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert near.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "mac.local"])
def test_whoever_trusts_the_ca_trusts_this_machine_by_each_of_its_names(made, name):
    handshake(made, name, str(made.ca))


def test_another_name_is_not_ours(made):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(made, "elsewhere.local", str(made.ca))


def test_another_ca_did_not_sign_it(made, tmp_path):
    other = Certificates(tmp_path / "other")
    other.folder.mkdir()
    other.ensure(["localhost"])

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, "localhost", str(other.ca))


def test_keys_are_readable_by_nobody_else(made):
    for path in (made.folder / "ca-key.pem", made.server):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_made_anew_while_it_serves(made):
    before = made.server.read_bytes()

    made.ensure(["localhost"])

    assert made.server.read_bytes() == before


def test_a_new_name_gets_a_new_certificate_from_the_same_ca(made):
    fingerprint = made.fingerprint

    made.ensure(["localhost", "192.0.2.7"])

    handshake(made, "192.0.2.7", str(made.ca))
    assert made.fingerprint == fingerprint


def test_a_certificate_that_runs_out_soon_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(signing, "SERVER_DAYS", signing.RENEW_DAYS - 1)
    made = Certificates(tmp_path)
    made.ensure(["localhost"])
    before = made.server.read_bytes()

    made.ensure(["localhost"])

    assert made.server.read_bytes() != before


def test_the_server_can_sign_nothing_and_the_ca_nothing_below(made):
    server = x509.load_pem_x509_certificate(made.server.read_bytes())
    ca = x509.load_pem_x509_certificate(made.ca.read_bytes())

    def constraints(certificate):
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert not constraints(server).ca
    assert (constraints(ca).ca, constraints(ca).path_length) == (True, 0)


def test_own_names_hold_loopback_this_host_and_what_was_added(monkeypatch):
    monkeypatch.setenv("FORGE_TLS_NAMES", "forge.example.org, ")

    names = own_names()

    assert {"localhost", "127.0.0.1", "forge.example.org"} <= set(names)
    assert "" not in names


@pytest.mark.integration
def test_the_address_for_others_is_one_of_this_machines_names():
    """Asks the routing table, which unit tests may not: it looks like a connection to elsewhere."""
    assert own_host() in {*own_names(), socket.gethostname()}
