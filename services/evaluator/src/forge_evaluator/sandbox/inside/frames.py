"""Length-prefixed frames on a socket: four bytes, then JSON. Refuses frames above a limit before reading them."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")


class Closed(Exception):
    """The other side is gone."""


class Malformed(Exception):
    """Not a frame: too long, or no JSON."""


def send(sock: socket.socket, data: bytes) -> None:
    """Raises OSError when the other side is gone."""
    sock.sendall(_HEADER.pack(len(data)) + data)


def receive(sock: socket.socket, limit: int) -> Any:
    """The next frame's JSON. Raises Closed, Malformed, or TimeoutError by the socket's own timeout."""
    (length,) = _HEADER.unpack(_exactly(sock, _HEADER.size))
    if length > limit:
        raise Malformed(f"a frame of {length} bytes, at most {limit} are taken")
    try:
        return json.loads(_exactly(sock, length))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON in the frame: {str(error)[:100]}") from error


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        try:
            part = sock.recv(min(count - len(data), 1 << 16))
        except ConnectionError as error:
            raise Closed from error
        if not part:
            raise Closed
        data += part
    return bytes(data)
