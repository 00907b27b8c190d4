"""What is asked and answered in the benchmarks: three kinds of about 1 KB each way, and long ones. Made up throughout."""

from __future__ import annotations

import json
from dataclasses import dataclass

PATH = "/v1/chat/completions"
# Passes through the collector without being an exchange: what capture costs is the difference.
UNCAPTURED_PATH = "/v1/moderations"
HEADERS = {
    "Content-Type": "application/json",
    "Authorization": "Bearer sk-bench",
    "Accept": "application/json",
    "User-Agent": "OpenAI/Python 3.0.0",
}
_PROSE = (
    "We moved the nightly report from the old server to the new one, and since then some of the totals differ by a "
    "few cents. The sums are made in the order in which rows arrive, and the new machine reads them in parallel. "
    "Explain why adding the same numbers in another order can give another result, what compensated summation does "
    "about it, and when a decimal type would be the better choice. Keep it short enough for a code review. "
)
_CODE = (
    "def load(path, key=None):\n    token = key or DEFAULT\n    with open(path) as file:\n        rows = csv.reader(file)\n"
    "        return {row[0]: row[1:] for row in rows if row}\n\n\n"
    "BASE = 'https://example.org/api/v2'  # see commit 3f2a9b7c41de, build 20261122, port 18794\n"
    "def fetch(session, ident):\n    return session.get(f'{BASE}/items/{ident}', params={'page': 1, 'size': 250})\n"
)
# In pieces, so that nobody's scanner takes it for a real one.
_SECRET = "Write to ann.b@" + "mail.example.net, the key is s" + "k-proj-" + "Zx9Qw3Er7Ty1Ui5Op2As" + ".\n"


@dataclass(frozen=True)
class Kind:
    """One kind of exchange; `finds` says what redaction has to do with it."""

    name: str
    finds: str
    prompt: str
    answer: str


KINDS = (
    Kind("prose", "nothing suspected", (_PROSE * 3)[:850], (_PROSE * 3)[100:850]),
    Kind("code", "look-alikes only", (_CODE * 3)[:850], (_CODE * 3)[100:850]),
    Kind("secret", "replaced both ways", _SECRET + (_PROSE * 3)[:750], _SECRET + (_PROSE * 3)[:650]),
)


def kind(name: str) -> Kind:
    return next(each for each in KINDS if each.name == name)


def request(prompt: str, *, stream: bool = False) -> bytes:
    document = {"model": "teacher", "temperature": 0.7, "stream": stream,
                "messages": [{"role": "system", "content": "You are a careful colleague."},
                             {"role": "user", "content": prompt}]}  # fmt: skip
    return json.dumps(document).encode()


def reply(answer: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": answer, "refusal": None},
              "logprobs": None, "finish_reason": "stop"}  # fmt: skip
    document = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1795336481, "model": "teacher-1",
                "choices": [choice], "system_fingerprint": "fp_bench",
                "usage": {"prompt_tokens": 200, "completion_tokens": 160, "total_tokens": 360}}  # fmt: skip
    return json.dumps(document).encode()


def long_text(size: int) -> str:
    """Prose and code in turns, as a large prompt has them."""
    part = _PROSE * 4 + _CODE * 4
    return (part * (size // len(part) + 1))[:size]


def token(i: int) -> str:
    """The i-th piece of a streamed answer."""
    return f"word{i % 7} "
