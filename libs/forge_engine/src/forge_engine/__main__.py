"""`python -m forge_engine`: the same as `forge-engine`."""

from __future__ import annotations

from forge_engine.cli import main

main()
