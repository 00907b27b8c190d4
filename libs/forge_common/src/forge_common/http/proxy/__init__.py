"""The data plane's one reverse proxy: streaming, on parsers on both sides, with a tap for whoever watches.

It passes bodies and end-to-end headers untouched; it refuses to buffer, decode or understand them.
"""

from forge_common.http.proxy.dialects import Dialect, error_body
from forge_common.http.proxy.messages import (
    AbortReason,
    Decision,
    Forward,
    Header,
    Held,
    Limits,
    Local,
    NeedsBody,
    ProxyStats,
    Refuse,
    RequestHead,
    Route,
    Tap,
    Upstream,
)
from forge_common.http.proxy.server import ProxyServer

__all__ = [
    "AbortReason",
    "Decision",
    "Dialect",
    "Forward",
    "Header",
    "Held",
    "Limits",
    "Local",
    "NeedsBody",
    "ProxyServer",
    "ProxyStats",
    "Refuse",
    "RequestHead",
    "Route",
    "Tap",
    "Upstream",
    "error_body",
]
