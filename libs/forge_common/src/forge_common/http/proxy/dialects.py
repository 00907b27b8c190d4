"""How an error looks to clients of each API, so that their own SDKs show its message. Pure."""

from __future__ import annotations

from enum import StrEnum

import orjson

from forge_common.errors import ForgeError


class Dialect(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"
    ENGIE = "engie"


# The type names by which the official SDKs and their users tell errors apart.
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    **_OPENAI_TYPES,
    413: "request_too_large",
    503: "overloaded_error",
    529: "overloaded_error",
}
_FIRST_SERVER_ERROR = 500


def error_body(error: ForgeError, dialect: Dialect) -> bytes:
    """JSON; the fix follows the message, since no dialect has a field for it."""
    text = f"{error.message}. {_sentence(error.fix)}" if error.fix else error.message
    if dialect is Dialect.OPENAI:
        kind = _kind(error.status, _OPENAI_TYPES)
        return orjson.dumps({"error": {"message": text, "type": kind, "param": None, "code": error.code}})
    if dialect is Dialect.ANTHROPIC:
        kind = _kind(error.status, _ANTHROPIC_TYPES)
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": text}})
    return orjson.dumps({"error": text})


def _kind(status: int, types: dict[int, str]) -> str:
    return types.get(status) or ("api_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error")


def _sentence(fix: str) -> str:
    return f"{fix[:1].upper()}{fix[1:]}"
