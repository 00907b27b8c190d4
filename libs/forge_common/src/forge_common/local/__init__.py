"""Postgres and a Redis-protocol server on this machine: found, or taken from wheels, started as a user who may run them."""
