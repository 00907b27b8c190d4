"""`python -m forge_cli` is the `forge` command."""

from forge_cli.main import app

app()
