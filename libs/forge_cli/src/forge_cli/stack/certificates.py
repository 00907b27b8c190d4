"""A CA of the installation's own, and the certificate that it signs for this machine's names. Keys are readable by nobody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from forge_common.http.trust import fingerprint


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
        from forge_cli.stack import signing

        wanted = sorted(set(names))
        key_file = self.folder / "ca-key.pem"
        if not (self.ca.is_file() and key_file.is_file()):
            ca, key = signing.make_ca()
            _write(key_file, key)
            _write(self.ca, ca, mode=0o644)
        if self.server.is_file() and signing.serves(self.server.read_bytes(), self.ca.read_bytes(), wanted):
            return
        _write(self.server, signing.sign(self.ca.read_bytes(), key_file.read_bytes(), wanted))


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


def _write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    aside.replace(path)
