"""What becomes of a request: refused, answered here, or passed to the engine under the name of the model that is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from forge_common.errors import CallerError, DependencyDown, ForgeError
from forge_common.http.proxy import Decision, Forward, Header, Local, NeedsBody, Refuse, RequestHead, Upstream
from forge_gateway.access import Access
from forge_gateway.engine_errors import mend
from forge_gateway.pointers import Board

SAMPLED = frozenset({"/v1/chat/completions", "/v1/completions"})
PASSED = SAMPLED | {"/v1/embeddings"}
OPEN = frozenset({"/health"})
# The caller's credentials are ours and end here; an encoded error could not be read and mended.
_DROPPED = frozenset({b"authorization", b"x-api-key", b"cookie", b"accept-encoding"})
_UNAUTHORISED = 401


class InvalidBody(CallerError):
    """The body is not what the endpoint takes."""


class EngineDown(DependencyDown):
    """The engine does not answer."""


class Routing:
    """The proxy's route. Called in the event loop for each request: no I/O."""

    def __init__(self, *, board: Board, access: Access, engine_url: str, max_body_bytes: int) -> None:
        self._board = board
        self._access = access
        self._engine = Upstream.parse(engine_url)
        self._max_body_bytes = max_body_bytes
        self._engine_down = Refuse.of(
            EngineDown(
                f"the engine at {engine_url} does not answer",
                fix="start it with `forge up` or `ollama serve`, or set FORGE_ENGINE_URL",
            ),
            headers=((b"Retry-After", b"1"),),
        )

    def __call__(self, head: RequestHead) -> Decision:
        path = head.path
        if path in OPEN:
            return Local()
        try:
            self._access.check(head)
        except ForgeError as error:
            wants = ((b"WWW-Authenticate", b"Bearer"),) if error.status == _UNAUTHORISED else ()
            return Refuse.of(error, headers=wants)
        if path not in PASSED:
            return Local()
        if head.method != "POST":
            wrong = CallerError(
                f"{path} takes POST, not {head.method}", code="method_not_allowed", status=405
            )
            return Refuse.of(wrong, headers=((b"Allow", b"POST"),))
        return NeedsBody(lambda body: self._forward(head, body), max_bytes=self._max_body_bytes)

    def _forward(self, head: RequestHead, body: bytes) -> Forward:
        catalogue = self._board.catalogue
        fields = _fields(body)
        asked = _text(fields, "model")
        model = catalogue.resolve(asked, _text(fields, "domain"))
        named: tuple[Header, ...] = ((b"x-forge-model", model.encode()),)

        def mend_error(status: int, headers: Sequence[Header], error: bytes) -> Refuse | None:
            del headers
            return mend(status, error, model=model, asked=asked, catalogue=catalogue, added=named)

        return Forward(
            upstream=self._engine,
            target=head.target,
            headers=[header for header in head.headers if header[0].lower() not in _DROPPED],
            body=_for_engine(body, fields, model, catalogue.sampling(model) if head.path in SAMPLED else {}),
            response_headers=named,
            unreachable=self._engine_down,
            rewrite_error=mend_error,
        )


def _fields(body: bytes) -> dict[str, object]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(fields, dict):
        raise InvalidBody("the body must be a JSON object", code="invalid_json")
    return fields


def _text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidBody(f"`{name}` must be a string", code="invalid_type")
    return value or None


def _for_engine(body: bytes, fields: dict[str, object], model: str, sampling: Mapping[str, object]) -> bytes:
    """The same body with the engine's model name, the sampling it is silent about, and without our own field.

    Untouched when it is so already.
    """
    added = {name: value for name, value in sampling.items() if fields.get(name) is None}
    if fields.get("model") == model and "domain" not in fields and not added:
        return body
    kept = {name: value for name, value in fields.items() if name != "domain"}
    return orjson.dumps(kept | added | {"model": model})
