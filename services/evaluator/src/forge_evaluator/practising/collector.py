"""The part of the collector's own API that practice needs: exchanges sent in, and which of two answers was better."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2

from forge_common.http.client import make_client, raise_for_problem, unreachable
from forge_evaluator.practising.teaching import Lesson


class Collector:
    """Safe to send to twice: exchanges have ids made of their content."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._http = make_client(url, key=key, timeout_s=60.0)

    def check(self) -> None:
        """Raises DependencyDown, or what the collector says about the key."""
        self._request("GET", "/forge/v1/stats", None)

    def send(self, lesson: Lesson) -> int:
        """How many of the lesson's exchanges were new."""
        bodies = [lesson.passed] + ([lesson.failed] if lesson.failed else [])
        receipt = self._request("POST", "/forge/v1/exchanges", bodies)
        if lesson.failed:
            # The left one is the one that was answered first in the pair's own terms: the answer that passed.
            pair = quote(str(lesson.failed["id"]), safe="")
            self._request("POST", f"/forge/v1/pairs/{pair}/pick", {"better": "left"})
        return int(receipt["accepted"])

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str, body: Any) -> dict[str, Any]:
        try:
            reply = self._http.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise unreachable(self._url, error) from error
        raise_for_problem(reply)
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found
