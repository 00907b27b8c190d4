"""Postgres: sessions and migrations. One request or one task is one transaction; Postgres code is sync."""
