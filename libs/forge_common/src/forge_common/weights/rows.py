"""Dataset rows as tokens, with a mask over what the assistant wrote.

Rows are never cut within a turn: a conversation that is too long becomes several, and a turn that is too long is counted.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import JsonValue, ValidationError

from forge_common.contracts.dataset import DatasetRow, PreferenceRow
from forge_common.contracts.exchange import Message
from forge_common.errors import Invalid
from forge_common.weights.checkpoint import model_config
from forge_common.weights.jobs import TrainJob
from forge_common.weights.tokenizer import ChatTokenizer, ChatTokens

# Enough for a steady curve; more would only delay the next step.
MAX_VALID_ROWS = 256


Row = TypeVar("Row", DatasetRow, PreferenceRow)
Tools: TypeAlias = Sequence[dict[str, Any]] | None
"""What the assistant could call, as chat templates show it."""


class RowInvalid(Invalid):
    """A dataset row cannot be trained on."""


class NothingToTrainOn(Invalid):
    """Not one row of the dataset can be trained on."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`loss_mask[i]` says that `tokens[i]` was written by the assistant, end-of-turn token included."""

    tokens: tuple[int, ...]
    loss_mask: tuple[bool, ...]

    @property
    def targets(self) -> int:
        """How many tokens are trained on."""
        return sum(self.loss_mask)


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """`split` conversations became several rows; `too_long` turns have more than `max_tokens` tokens and were left out whole."""

    rows: tuple[TokenRow, ...]
    too_long: int
    max_tokens: int
    split: int = 0


def training_rows(job: TrainJob, tokenizer: ChatTokens) -> tuple[EncodedRows, Sequence[TokenRow]]:
    """The rows to train on, and those to judge by. Raises NothingToTrainOn."""
    limit = row_limit(job)
    train, valid = (
        encode_rows(rows, tokenizer, system_prompt=job.system_prompt, max_tokens=limit)
        for rows in (with_replay(job), load_rows(Path(job.valid)))
    )
    if not train.rows:
        raise NothingToTrainOn(
            f"none of {train.too_long} turns has at most {limit} tokens",
            fix="raise training.max_seq_length, or capture shorter conversations",
        )
    return train, some(valid.rows)


def row_limit(job: TrainJob) -> int:
    """In tokens: what the rules say, and no more than the model can see."""
    context: int = model_config(Path(job.base))["max_position_embeddings"]
    return min(job.rules.max_seq_length, context)


def with_replay(job: TrainJob) -> list[DatasetRow]:
    """The dataset's rows, and a share of the parent's that `seed` picks: those that it has itself are not repeated."""
    rows = load_rows(Path(job.train))
    if job.replay is None or not job.rules.replay:
        return rows
    known = {row.source for row in rows}
    others = [row for row in load_rows(Path(job.replay)) if row.source not in known]
    wanted = min(len(others), round(job.rules.replay * len(rows)))
    return rows + random.Random(job.rules.seed).sample(others, wanted)  # noqa: S311  a choice, not a secret


def load_preferences(path: Path) -> list[PreferenceRow]:
    """Raises RowInvalid with the line's number."""
    rows = []
    for number, row in _lines(path, PreferenceRow):
        for answer in (row.chosen, row.rejected):
            if answer.role != "assistant":
                raise RowInvalid(f"dataset line {number} prefers among answers of {answer.role!r}")
        rows.append(row)
    return rows


def some(rows: Sequence[TokenRow]) -> Sequence[TokenRow]:
    """At most MAX_VALID_ROWS of them, evenly spread."""
    return rows[:: math.ceil(len(rows) / MAX_VALID_ROWS)] if rows else ()


def load_rows(path: Path) -> list[DatasetRow]:
    """Rows of a JSON Lines file. Raises RowInvalid with the line's number."""
    rows = []
    for number, row in _lines(path, DatasetRow):
        if row.messages[-1].role != "assistant":
            raise RowInvalid(
                f"dataset line {number} ends with {row.messages[-1].role!r}, not with the assistant's answer"
            )
        rows.append(row)
    return rows


def encode_rows(
    rows: Iterable[DatasetRow], tokenizer: ChatTokens, *, system_prompt: str, max_tokens: int
) -> EncodedRows:
    """Every row with the domain's system prompt, as the deployed model is asked."""
    kept: list[TokenRow] = []
    too_long = split = 0
    for row in rows:
        messages = with_system_prompt(row.messages, system_prompt)
        whole = encode_row(messages, tokenizer, row.tools)
        if len(whole.tokens) <= max_tokens:
            kept.append(whole)
            continue
        # Agents offer tens of thousands of tokens of tools: those that were called are what the answers need.
        pieces, left_out = _split(messages, tokenizer, called(messages, row.tools), max_tokens)
        kept += pieces
        too_long += left_out
        split += bool(pieces)
    return EncodedRows(rows=tuple(kept), too_long=too_long, max_tokens=max_tokens, split=split)


def _split(
    messages: Sequence[Message], tokenizer: ChatTokens, tools: Tools, max_tokens: int
) -> tuple[list[TokenRow], int]:
    """As many turns to a row as fit, under the same system prompt, so that every answer is learned once. And the turns that
    are too long by themselves: for these, and for a conversation that cannot be split, nothing is left to learn.
    """
    opening = [message for message in messages if message.role == "system"]
    rows: list[TokenRow] = []
    too_long = 0
    current: list[Message] = []
    newest: TokenRow | None = None
    for turn in turns(message for message in messages if message.role != "system"):
        together = _encoded([*opening, *current, *turn], tokenizer, tools, max_tokens)
        if together is not None:
            current, newest = [*current, *turn], together
            continue
        rows += [newest] if newest else []
        newest = _encoded([*opening, *turn], tokenizer, tools, max_tokens)
        current = turn if newest else []
        too_long += newest is None
    return [*rows, *([newest] if newest else [])], too_long


def turns(messages: Iterable[Message]) -> list[list[Message]]:
    """What was asked, and all that the assistant and its tools said to it. A turn without an answer belongs to the next."""
    found: list[list[Message]] = []
    for message in messages:
        if found and not (message.role == "user" and found[-1][-1].role == "assistant"):
            found[-1].append(message)
        else:
            found.append([message])
    return found


def called(messages: Sequence[Message], tools: Tools) -> Tools:
    names = {as_name(call) for message in messages for call in message.tool_calls or ()}
    return [tool for tool in tools or () if as_name(tool) in names] or None


def as_name(tool: dict[str, Any]) -> object:
    """The function's name, of a tool on offer and of a call alike."""
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _encoded(
    messages: Sequence[Message], tokenizer: ChatTokens, tools: Tools, max_tokens: int
) -> TokenRow | None:
    """None when it is too long, or has nothing to learn."""
    if not any(message.role == "assistant" and message.weight != 0 for message in messages):
        return None
    try:
        row = encode_row(messages, tokenizer, tools)
    except RowInvalid:
        return None
    return row if len(row.tokens) <= max_tokens else None


def with_system_prompt(messages: Sequence[Message], system_prompt: str) -> tuple[Message, ...]:
    """The conversation under the domain's system prompt; one of its own stays."""
    if not system_prompt or any(message.role == "system" for message in messages):
        return tuple(messages)
    return (Message(role="system", content=system_prompt), *messages)


def encode_row(messages: Sequence[Message], tokenizer: ChatTokens, tools: Tools = None) -> TokenRow:
    """Tokens and loss mask of one conversation.

    What the assistant wrote is found by rendering every prefix with and without the answer, so that no
    `{% generation %}` marks are needed. Text is cut into tokens at the borders of the answers, as the engine does
    when it generates. Raises RowInvalid when the template shows nothing of the last answer.
    """
    chat = [as_chat(message) for message in messages]
    render = partial(tokenizer.apply_chat_template, tools=list(tools) if tools else None, tokenize=False)
    text = render(chat, add_generation_prompt=False)
    tokens: list[int] = []
    mask: list[bool] = []
    learned = [message.role == "assistant" and message.weight != 0 for message in messages]
    done = ""
    for piece, is_answer in _pieces(text, _answers(text, chat, learned, render)):
        ids = _encode_after(done, piece, tokenizer)
        done += piece
        tokens += ids
        mask += [is_answer] * len(ids)
    if not any(mask):
        raise RowInvalid("the chat template shows nothing that the assistant wrote")
    return TokenRow(tokens=tuple(tokens), loss_mask=tuple(mask))


def _encode_after(before: str, piece: str, tokenizer: ChatTokens) -> list[int]:
    if isinstance(tokenizer, ChatTokenizer):
        return tokenizer.encode_after(before, piece)
    return tokenizer.encode(piece, add_special_tokens=False)


def as_chat(message: Message) -> dict[str, JsonValue]:
    """The message as chat templates read it: text content, arguments of tool calls as objects."""
    chat: dict[str, JsonValue] = {"role": message.role, "content": message.text()}
    if message.tool_calls:
        chat["tool_calls"] = [_with_parsed_arguments(call) for call in message.tool_calls]
    optional: dict[str, str | None] = {
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "reasoning_content": message.thinking,
    }
    return chat | {key: value for key, value in optional.items() if value is not None}


def _answers(
    text: str, chat: list[dict[str, JsonValue]], learned: Sequence[bool], render: Callable[..., str]
) -> list[tuple[int, int]]:
    """Where in `text` the answers to learn stand, end-of-turn token included and the line break after it not."""
    spans = []
    for i, is_learned in enumerate(learned):
        if not is_learned or i == 0:  # an opening line answers nothing
            continue
        before = render(chat[:i], add_generation_prompt=True)
        after = render(chat[: i + 1], add_generation_prompt=False)
        end = len(after.rstrip())
        # Some templates show earlier turns differently later on (Qwen3 drops their thinking): those are not trained on.
        if len(before) < end and after.startswith(before) and text.startswith(after[:end]):
            spans.append((len(before), end))
    return spans


def _pieces(text: str, spans: list[tuple[int, int]]) -> Iterable[tuple[str, bool]]:
    done = 0
    for start, end in spans:
        yield text[done:start], False
        yield text[start:end], True
        done = end
    yield text[done:], False


def _with_parsed_arguments(call: dict[str, JsonValue]) -> dict[str, JsonValue]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    # OpenAI's dialect carries arguments as JSON text; templates would quote it a second time.
    try:
        arguments = json.loads(str(function["arguments"]))
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}


def _lines(path: Path, kind: type[Row]) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _parse(line, number, kind)


def _parse(line: str, number: int, kind: type[Row]) -> Row:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RowInvalid(
            f"dataset line {number}: {where or 'line'}: {first['msg']}",
            fix="build the dataset again; rows are conversations that end with the assistant's answer",
        ) from error
