"""`forge-engine`: the embedded engine by itself."""

from __future__ import annotations

import argparse
from ipaddress import ip_address

import uvicorn

from forge_engine.app import create_app
from forge_engine.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(prog="forge-engine", description=__doc__)
    parser.add_argument("--host", default=settings.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=settings.port, type=int, help="port to listen on (%(default)s)")
    given = parser.parse_args()
    if not is_loopback(given.host) and not settings.open_to_network:
        parser.error(
            f"anyone who reaches {given.host}:{given.port} could use and delete models: Ollama's API knows no keys. "
            "Offer the gateway instead, or set FORGE_ENGINE_OPEN_TO_NETWORK=true where a network of your own keeps others out"
        )
    # One process, for ever: the pool of loaded models lives in it.
    uvicorn.run(
        create_app(settings),
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
