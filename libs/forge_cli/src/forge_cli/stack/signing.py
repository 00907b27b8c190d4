"""How certificates are signed and read. Apart from `certificates.py` because `cryptography` takes a tenth of a second to load, which `forge status` need not wait for."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS, SERVER_DAYS, RENEW_DAYS = 3650, 397, 30


def make_ca() -> tuple[bytes, bytes]:
    """Certificate and private key, as PEM."""
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
    ca = builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())
    return ca.public_bytes(serialization.Encoding.PEM), _private(key)


def sign(ca: bytes, ca_key: bytes, names: list[str]) -> bytes:
    """A new key and its certificate for `names`, in one PEM."""
    issuer = x509.load_pem_x509_certificate(ca)
    signer = serialization.load_pem_private_key(ca_key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
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


def serves(server: bytes, ca: bytes, wanted: list[str]) -> bool:
    """Whether the certificate is that CA's, names all that is wanted, and is good for a month."""
    there, issuer = x509.load_pem_x509_certificate(server), x509.load_pem_x509_certificate(ca)
    names = there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    is_ours = there.issuer == issuer.subject
    is_fresh = there.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
    return (
        is_ours and is_fresh and {str(_name(each).value) for each in wanted} <= {str(n.value) for n in names}
    )


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
