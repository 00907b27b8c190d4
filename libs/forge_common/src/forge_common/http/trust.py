"""Whom to trust over TLS: what the system trusts, and a private CA that FORGE_CA_FILE names. Never turns checking off."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path

import httpx2

from forge_common.errors import DependencyDown, Forbidden, Invalid

CA_FILE = "FORGE_CA_FILE"
FINGERPRINT = "sha256:"


class CaUnusable(Invalid):
    """FORGE_CA_FILE names no certificate."""


class WrongCa(Forbidden):
    """Somebody else answers at that address, or the CA was made anew."""


def ca_file() -> str | None:
    """Raises CaUnusable when the file that is named is not there."""
    given = os.environ.get(CA_FILE)
    if not given:
        return None
    path = Path(given).expanduser()
    if not path.is_file():
        raise CaUnusable(
            f"there is no CA certificate {given}", fix=f"set {CA_FILE} to the PEM file of the CA"
        )
    return str(path)


def tls_context() -> ssl.SSLContext:
    """For clients: certificates and names are checked. Raises CaUnusable."""
    context = httpx2.create_ssl_context()
    own = ca_file()
    if own is not None:
        try:
            context.load_verify_locations(cafile=own)
        except ssl.SSLError as error:
            raise CaUnusable(f"{own} holds no certificate in PEM: {error.reason}") from error
    return context


def fingerprint(pem: str) -> str:
    """`sha256:` and the digest of the certificate, as `openssl x509 -fingerprint -sha256` has it, without its colons."""
    return FINGERPRINT + hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def obtain_ca(registry_url: str, given: str, keep: Path) -> Path:
    """The CA's file: `given` itself, or, for a fingerprint, what the registry shows, checked against it and kept in `keep`.

    Raises CaUnusable, WrongCa, DependencyDown.
    """
    if not given.startswith(FINGERPRINT):
        path = Path(given).expanduser().absolute()
        if not path.is_file():
            raise CaUnusable(f"there is no CA certificate {path}", fix="name a PEM file, or sha256:…")
        return path
    wanted = given.lower().replace(":", "").removeprefix("sha256")
    if keep.is_file() and fingerprint(keep.read_text()) == FINGERPRINT + wanted:
        return keep
    shown = _ask_for_ca(registry_url)
    if fingerprint(shown) != FINGERPRINT + wanted:
        raise WrongCa(
            f"{registry_url} shows another CA: {fingerprint(shown)}",
            fix="`forge up` on the registry's machine prints its fingerprint; if that one is right, somebody is in between",
        )
    keep.write_text(shown)
    return keep


def _ask_for_ca(registry_url: str) -> str:
    # Unchecked on purpose: the fingerprint decides, and nothing of ours is sent.
    try:
        reply = httpx2.get(f"{registry_url.rstrip('/')}/ca.pem", verify=False, timeout=10.0)
        reply.raise_for_status()
        ssl.PEM_cert_to_DER_cert(reply.text)
    except (httpx2.HTTPError, ValueError) as error:
        raise DependencyDown(
            f"{registry_url} shows no CA: {error}",
            fix="does `forge up --tls` run there, and does its firewall let this machine through?",
        ) from error
    return reply.text
