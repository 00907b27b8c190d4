"""`forge-engine`: the embedded engine by itself."""

from __future__ import annotations

import argparse

import uvicorn

from forge_engine.app import create_app
from forge_engine.settings import Settings


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(prog="forge-engine", description=__doc__)
    parser.add_argument("--host", default=settings.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=settings.port, type=int, help="port to listen on (%(default)s)")
    given = parser.parse_args()
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
