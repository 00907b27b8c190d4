"""The uid that a sandbox gives up root for: its own, for the kernel counts processes and threads by uid.

Were one shared, a task that starts threads without end would keep the tasks of other sandboxes from starting any.
"""

from __future__ import annotations

import socket

# Systemd's table of uids knows no use for these, and containers that map 65,536 uids have them too.
OWN = range(60_578, 61_184)


def claim() -> tuple[int, socket.socket]:
    """A uid, and a socket to be passed on to the sandbox: the uid is taken for as long as it is open anywhere.

    Raises OSError when all are taken. Linux only: the claim is a name in its abstract namespace, which no crash leaves behind.
    """
    for uid in OWN:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0forge-sandbox-{uid}")
        except OSError:
            held.close()
            continue
        return uid, held
    raise OSError(f"all {len(OWN)} sandbox users are taken")
