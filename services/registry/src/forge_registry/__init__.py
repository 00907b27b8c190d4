"""Decisions: domains, runs, versions, promotions, artifacts."""
