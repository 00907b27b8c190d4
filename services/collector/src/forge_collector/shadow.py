"""Shadow calls, the rules: which exchange the other model answers again, what is asked, how long to wait after a failure. Pure.

A shadow is never shadowed, an exchange that broke off neither, and nothing that came by another way than live traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from forge_collector.dialects.dialect import JsonObject
from forge_common.contracts.base import Contract, ExchangeId
from forge_common.contracts.exchange import Exchange, Origin

# Live prompts: what passed the collector, and what the gateway answered.
SHADOWED = (Origin.PROXY, Origin.GATEWAY)
OK = 200
# An exchange that failed so often is given up.
MOST_ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 900.0
# Of the sampling that the first model was given only what the question itself depends on: each model samples as it usually does.
_PART_OF_THE_QUESTION = frozenset({"response_format", "tool_choice", "stop"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
# Tokens of a prompt whose usage nobody reported, by its characters: rather too many.
CHARACTERS_A_TOKEN = 3


class Answerer(StrEnum):
    """Who answers the prompt again: the domain's live model, or the configured teacher."""

    LOCAL = "local"
    TEACHER = "teacher"


class CallState(StrEnum):
    DUE = "due"
    CLAIMED = "claimed"
    ANSWERED = "answered"
    SKIPPED = "skipped"
    FAILED = "failed"


class CallToMake(Contract):
    """What is noted of an exchange when it is first seen; with a reason it is not called."""

    exchange_id: ExchangeId
    answerer: Answerer
    prompt_tokens: int
    skipped: str | None = None


def plan(exchange: Exchange, *, own: frozenset[str], has_teacher: bool) -> CallToMake:
    """`own` are our engine and gateway as upstreams: `http://127.0.0.1:18793`."""
    answerer = Answerer.TEACHER if is_own_answer(exchange, own) else Answerer.LOCAL
    reason = _reason_to_skip(exchange)
    if reason is None and answerer is Answerer.TEACHER and not has_teacher:
        reason = "no_teacher"
    return CallToMake(
        exchange_id=exchange.id, answerer=answerer, prompt_tokens=prompt_tokens(exchange), skipped=reason
    )


def is_own_answer(exchange: Exchange, own: frozenset[str]) -> bool:
    """Whether a model of this installation answered."""
    return exchange.origin is Origin.GATEWAY or exchange.dialect == "ollama" or exchange.upstream in own


def _reason_to_skip(exchange: Exchange) -> str | None:
    if exchange.origin not in SHADOWED or exchange.pair_of is not None:
        return "not_live"
    if exchange.status != OK or not exchange.complete:
        return "incomplete"
    if not exchange.answer.text().strip() and not exchange.answer.tool_calls:
        return "empty_answer"
    if exchange.messages[-1].role == "assistant":
        return "prefilled"
    if exchange.sampling.get("previous_response_id"):
        # The upstream kept the rest of the conversation.
        return "partial_prompt"
    return None if _is_text(exchange) else "not_text"


def _is_text(exchange: Exchange) -> bool:
    parts = (part for m in exchange.messages if not isinstance(m.content, str) for part in m.content or ())
    return all(part.get("type") in _TEXT_PARTS for part in parts)


def prompt_tokens(exchange: Exchange) -> int:
    """As the upstream counted them, else an upper estimate."""
    characters = sum(len(m.text()) + len(str(m.tool_calls or "")) for m in exchange.messages)
    estimated = (characters + len(str(exchange.tools or ""))) // CHARACTERS_A_TOKEN + 1
    return max(exchange.usage.prompt_tokens or estimated, 1)


def question_sampling(exchange: Exchange) -> JsonObject:
    return {name: value for name, value in exchange.sampling.items() if name in _PART_OF_THE_QUESTION}


def offered_tools(tools: Iterable[JsonObject]) -> list[JsonObject]:
    """The functions among the tools, in OpenAI's shape. What only its vendor can run (a web search, say) is left out."""
    return [function for tool in tools if (function := _function(tool))]


def _function(tool: JsonObject) -> JsonObject | None:
    if isinstance(tool.get("function"), dict):
        return {"type": "function", "function": tool["function"]}
    schema = tool.get("input_schema", tool.get("parameters"))
    if not isinstance(tool.get("name"), str) or not isinstance(schema, dict):
        return None
    function: JsonObject = {"name": tool["name"], "parameters": schema}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def pair_id(original: str) -> ExchangeId:
    """One original, one shadow: the same id whoever makes it, and sorted right behind the original."""
    return ExchangeId(f"{original}p")


def pause_s(failures: int, *, retry_after_s: float = 0.0, chance: float = 0.5) -> float:
    """How long to leave a model alone after so many failures in a row; `chance` in [0, 1) spreads several workers."""
    exponential = min(FIRST_PAUSE_S * 2.0 ** min(max(failures - 1, 0), 20), LONGEST_PAUSE_S)
    return max(exponential * (0.8 + 0.4 * chance), retry_after_s)
