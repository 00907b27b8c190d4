"""OpenAI: chat completions, responses and legacy completions. Other paths below /v1 pass through uncaptured.

Embeddings, lists of models, files and the like answer nothing that a model could learn from.
"""

from __future__ import annotations

from forge_collector.dialects.dialect import Form, parse_object
from forge_collector.dialects.openai.chat import ChatCompletions
from forge_collector.dialects.openai.completions import Completions
from forge_collector.dialects.openai.parts import read_message
from forge_collector.dialects.openai.responses import Responses
from forge_common.http.proxy import RequestHead

__all__ = ["ChatCompletions", "OpenAI", "parse_object", "read_message"]

_FORMS: dict[str, Form] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/responses": Responses(),
    "/v1/completions": Completions(),
}
# Codex's, first by thread; older ones write the underscore.
_SESSIONS = (b"thread-id", b"session-id", b"session_id")


class OpenAI:
    name = "openai"

    def form(self, method: str, path: str) -> Form | None:
        return _FORMS.get(path) if method == "POST" else None

    def conversation(self, head: RequestHead) -> bytes | None:
        return session(head)


def session(head: RequestHead) -> bytes | None:
    for name in _SESSIONS:
        if value := head.get(name):
            return value
    return None
