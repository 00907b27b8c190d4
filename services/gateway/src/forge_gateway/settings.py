"""What the gateway reads from the environment, and the one configuration it refuses: open to others without keys."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from forge_common.errors import CallerError
from forge_common.settings import CommonSettings, shared

KEYS_FILE = "api-keys.txt"


class KeysMissing(CallerError):
    """Listening beyond this machine without keys."""


class Settings(CommonSettings):
    model_config = SettingsConfigDict(env_prefix="FORGE_GATEWAY_")

    port: int = 18793
    bind: str = "127.0.0.1"
    api_keys: SecretStr = Field(default=SecretStr(""), validation_alias=shared("FORGE_API_KEYS"))
    """Comma-separated."""
    pointer_wait_s: float = 20.0
    """How long one long poll at the registry may last."""
    max_body_bytes: int = 64 * 1024 * 1024

    @property
    def pointers_file(self) -> Path:
        return self.folder / "gateway" / "pointers.json"

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.bind).is_loopback
        except ValueError:
            return self.bind == "localhost"

    def keys(self) -> frozenset[str]:
        """From the environment and from `api-keys.txt` in FORGE_HOME and in the working directory."""
        keys = {key.strip() for key in self.api_keys.get_secret_value().split(",")}
        for folder in (self.folder, Path.cwd()):
            keys |= _keys_in(folder / KEYS_FILE)
        return frozenset(keys - {""})

    def require_keys_beyond_loopback(self) -> None:
        """Raises KeysMissing."""
        if not self.is_loopback and not self.keys():
            raise KeysMissing(
                f"the gateway would listen on {self.bind} for everybody",
                fix=f"set FORGE_API_KEYS, or put keys into {self.folder / KEYS_FILE}, or bind to 127.0.0.1",
            )


def _keys_in(file: Path) -> set[str]:
    """One key per line; `#` begins a comment."""
    if not file.is_file():
        return set()
    return {line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()}
