"""`python -m forge_collector [serve|worker|migrate|redaction]`."""

from __future__ import annotations

import argparse

from forge_collector.settings import Settings
from forge_common.errors import Conflict, ForgeError
from forge_common.logging import configure


class CannotListen(Conflict):
    """Host and port are taken, or not ours to take."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="forge_collector", description="Data in: capture, curate, datasets."
    )
    parser.add_argument(
        "command", nargs="?", choices=("serve", "worker", "migrate", "redaction"), default="serve"
    )
    command = parser.parse_args().command
    if command == "redaction":
        _redaction()
        return
    settings = Settings()
    configure("collector", settings)
    try:
        {"serve": _serve, "worker": _worker, "migrate": _migrate}[command](settings)
    except ForgeError as error:
        raise SystemExit(str(error)) from None


def _redaction() -> None:
    """What is found and what it costs; needs no settings and no services."""
    from forge_collector.redaction.table import print_table

    if not print_table():
        raise SystemExit("redaction misses its floors")


def _serve(settings: Settings) -> None:
    from forge_collector.allocator import return_large_blocks
    from forge_collector.app import serve
    from forge_collector.redaction import matching

    return_large_blocks()
    matching.keep_in(settings.expression_cache)
    try:
        serve(settings)
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            fix="stop what listens there, or set FORGE_COLLECTOR_PORT",
        ) from error


def _worker(settings: Settings) -> None:
    from forge_collector.redaction import matching
    from forge_collector.worker import run

    matching.keep_in(settings.expression_cache)
    run(settings)


def _migrate(settings: Settings) -> None:
    from forge_collector.models import SCHEMA
    from forge_common.db.migrate import upgrade

    upgrade(settings.database_url, package="forge_collector", schema=SCHEMA)


if __name__ == "__main__":
    main()
