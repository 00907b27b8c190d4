"""Alembic revisions of the schema `registry`; run by `python -m forge_registry migrate`."""
