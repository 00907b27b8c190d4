"""A CA of the installation's own, and the certificate that it signs for this machine's names. Keys are readable by nobody else."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forge_common.http.trust import fingerprint

CA_DAYS, SERVER_DAYS, RENEW_DAYS = 3650, 397, 30


@dataclass(frozen=True)
class Certificates:
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """Certificate and key in one file, as `SSLContext.load_cert_chain` takes them."""
        return self.folder / "server.pem"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.ca.read_text())

    def ensure(self, names: Iterable[str]) -> None:
        """Make the CA once; sign anew when a name is missing or the time is nearly up. Boxes trust the CA, so they need no news."""
        wanted = sorted(set(names))
        key_file = self.folder / "ca-key.pem"
        if not (self.ca.is_file() and key_file.is_file()):
            ca, key = _make_ca()
            _write(key_file, _private(key))
            _write(self.ca, ca.public_bytes(serialization.Encoding.PEM), mode=0o644)
        if self._serves(wanted):
            return
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signer = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        _write(self.server, _sign(issuer, signer, wanted))

    def _serves(self, wanted: list[str]) -> bool:
        if not self.server.is_file():
            return False
        there = x509.load_pem_x509_certificate(self.server.read_bytes())
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        names = there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_ours = there.issuer == issuer.subject
        is_fresh = there.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
        return (
            is_ours
            and is_fresh
            and {str(_name(each).value) for each in wanted} <= {str(n.value) for n in names}
        )


def own_names() -> list[str]:
    """What other machines may call this one: host names, with `.local` as Macs announce themselves, and all addresses."""
    host = socket.gethostname()
    short = host.partition(".")[0]
    names = {"localhost", "127.0.0.1", "::1", host, short, f"{short}.local"}
    for addresses in psutil.net_if_addrs().values():
        found = (
            each.address.partition("%")[0]
            for each in addresses
            if each.family in (socket.AF_INET, socket.AF_INET6)
        )
        names |= set(found)
    names |= {name.strip() for name in os.environ.get("FORGE_TLS_NAMES", "").split(",")}
    return sorted(name for name in names if name)


def own_host() -> str:
    """The address to give to others: that of the interface towards them. Names are not known in every network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only asks which interface would be taken.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _make_ca() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"The Forge on {socket.gethostname()}"[:64])]
    )
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _dated(subject, subject, key, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256()), key


def _sign(issuer: x509.Certificate, signer: ec.EllipticCurvePrivateKey, names: list[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, socket.gethostname()[:64])])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = _dated(subject, issuer.subject, key, SERVER_DAYS)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_name(name) for name in names]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    certificate = builder.add_extension(authority, critical=False).sign(signer, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM) + _private(key)


def _dated(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    # From yesterday: clocks of other machines are not ours.
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    aside.replace(path)
