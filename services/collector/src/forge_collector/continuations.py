"""Which conversation an answer belongs to, where the upstream keeps the conversation and a request only names an answer.

Known since start and of the latest answers; a conversation that goes on from an older one is named by that answer.
"""

from __future__ import annotations

import threading


class Continuations:
    def __init__(self, limit: int = 65_536) -> None:
        self._limit = limit
        self._conversations: dict[str, str] = {}
        # Large answers are read in threads.
        self._lock = threading.Lock()

    def remember(self, answer: str, conversation: str) -> None:
        with self._lock:
            self._conversations[answer] = conversation
            if len(self._conversations) > self._limit:
                del self._conversations[next(iter(self._conversations))]

    def conversation_after(self, answer: str) -> str:
        return self._conversations.get(answer, answer)
