"""Who runs the servers, and where their state lies.

Postgres refuses to run as root. As root, servers drop to a system account, and their state lies under a system folder
that this account can reach, since a private home (and a virtual environment in it) may not be: nothing here ever
widens the permissions of a user's folders.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

SYSTEM_STATE = Path("/var/lib/forge")


@dataclass(frozen=True)
class Account:
    """A user to run as. `None` fields mean: as whoever we are."""

    uid: int | None = None
    gid: int | None = None

    @property
    def popen(self) -> dict[str, object]:
        """Keyword arguments for subprocess that drop to this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def service_account() -> Account:
    """Ourselves, or, as root, the account `postgres` where the system has one, else `nobody`."""
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    msg = "running as root, and the system has neither a postgres nor a nobody account to drop to"
    raise RuntimeError(msg)


def state_folder(home: Path, name: str) -> Path:
    """Where the server `name` of the installation at `home` keeps its data; made, private to its account.

    Not root: `home/state/name`. Root: `/var/lib/forge/<id>/name`, the id kept in `home`, so that a home that was
    removed and made again does not meet a database with another password.
    """
    account = service_account()
    root = home / "state"
    if account.uid is not None:
        root = SYSTEM_STATE / _installation_id(home)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    if account.uid is not None:
        # Only folders that are ours: the account must be able to pass through them.
        for ours in (SYSTEM_STATE, root):
            ours.chmod(0o755)
    account.own(folder)
    folder.chmod(0o700)
    return folder


def _installation_id(home: Path) -> str:
    path, aside = home / "installation-id", home / f".installation-id-{os.getpid()}"
    if not path.exists():
        aside.write_text(secrets.token_hex(6))
        # Linked, not renamed: whoever came first has named the installation, and never half a name.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    return path.read_text()


def reachable(folder: Path, copy_as: str) -> Path:
    """`folder` itself, or, as root, a copy under the system state folder that the service account can read.

    For programs out of wheels, whose virtual environment may lie in a private home.
    """
    if service_account().uid is None:
        return folder
    copy = SYSTEM_STATE / "programs" / copy_as
    if not copy.exists():
        aside = copy.with_name(f".{copy.name}-{os.getpid()}")
        shutil.copytree(folder, aside, symlinks=True)
        above = [path for path in copy.parents if path.is_relative_to(SYSTEM_STATE)]
        for path in (*above, aside, *aside.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            aside.rename(copy)
        except OSError:
            # Another process was quicker; its copy is as good.
            shutil.rmtree(aside, ignore_errors=True)
    return copy
