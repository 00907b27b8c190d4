"""`python -m forge_registry [serve|migrate|worker|beat]`."""

from __future__ import annotations

import argparse
import sys

from forge_common.db.migrate import upgrade
from forge_common.errors import ForgeError
from forge_registry.models import SCHEMA
from forge_registry.settings import Settings

# Event streams and long polls would keep a stopping server waiting for ever.
GRACE_S = 3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m forge_registry", description=__doc__)
    parser.add_argument("command", nargs="?", default="serve", choices=sorted(COMMANDS))
    chosen = parser.parse_args(arguments)
    try:
        COMMANDS[chosen.command](Settings())
    except ForgeError as error:
        sys.exit(f"forge-registry: {error}")


def serve(settings: Settings) -> None:
    import uvicorn

    from forge_registry.app import create_app

    migrate(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=GRACE_S,
        log_config=None,
    )


def migrate(settings: Settings) -> None:
    upgrade(settings.database_url, package="forge_registry", schema=SCHEMA)


def worker(settings: Settings) -> None:
    from forge_registry.worker import work

    work(settings)


def beat(settings: Settings) -> None:
    from forge_registry.worker import beat

    beat(settings)


COMMANDS = {"serve": serve, "migrate": migrate, "worker": worker, "beat": beat}

if __name__ == "__main__":
    main()
