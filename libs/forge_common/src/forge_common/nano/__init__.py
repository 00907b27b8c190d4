"""The nano domain: a base model of a few MB that really learns, its tasks and a teacher that answers them."""

from pathlib import Path


def base_dir() -> Path:
    """The shipped base model, a folder as the model hub would give it; read-only for its users."""
    return Path(__file__).parent / "base"
