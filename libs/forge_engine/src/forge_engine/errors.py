"""Why the engine refuses or fails, and how that looks on the wire: `{"error": …}`, or OpenAI's shape under `/v1`."""

from __future__ import annotations

from pydantic import JsonValue

from forge_common.errors import CallerError, ForgeError


class BadRequest(CallerError):
    status = 400


class ModelUnknown(CallerError):
    status = 404


class Unsupported(CallerError):
    """Part of Ollama's API that this engine does not serve."""

    status = 400


class NotGguf(CallerError):
    status = 400


class BrokenGguf(ForgeError):
    """A GGUF that ends too early or contradicts itself. Ollama answers 500 to these, so do we."""

    status = 500


class AdapterMismatch(CallerError):
    status = 400


class BlobMissing(ForgeError):
    """Ollama answers 500 here, so do we."""

    status = 500


class ModelTooLarge(ForgeError):
    status = 500


class RunnerFailed(ForgeError):
    """The child process that held a model could not load it, or ended."""

    status = 500


def native_body(error: ForgeError) -> dict[str, JsonValue]:
    return {"error": str(error)}


def openai_body(error: ForgeError) -> dict[str, JsonValue]:
    kinds = {404: "not_found_error", 400: "invalid_request_error", 413: "invalid_request_error"}
    kind = kinds.get(error.status, "api_error")
    return {"error": {"message": str(error), "type": kind, "param": None, "code": None}}
