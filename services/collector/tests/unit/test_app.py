"""What traffic needs is loaded before all the rest, and nothing else is: a restart is a person's outage."""

import json
import subprocess
import sys

LATER = ("sqlalchemy", "sqlmodel", "psycopg", "alembic", "fastapi", "httpx2", "prometheus_client", "rich")


def test_traffic_waits_for_no_database_no_api_and_no_client() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, json, forge_collector.app; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        check=True,
    ).stdout

    assert [name for name in json.loads(loaded) if name.split(".")[0] in LATER] == []
