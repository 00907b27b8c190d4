"""A model folder's tokenizer and chat template, read without transformers, whose results it equals token for token."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jinja2.ext
from jinja2 import Template, TemplateError, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue
from tokenizers import Tokenizer

from forge_common.errors import Invalid
from forge_common.weights.sentencepieces import prefix, without_prefix


class TokenizerUnusable(Invalid):
    """The model's folder has no fast tokenizer or no chat template."""


class ChatTokens(Protocol):
    """What encoding a conversation needs: met by `ChatTokenizer`, transformers' tokenizers and mlx-lm's wrapper."""

    def apply_chat_template(
        self,
        conversation: list[dict[str, JsonValue]],
        *,
        tools: list[dict[str, JsonValue]] | None = None,
        tokenize: bool,
        add_generation_prompt: bool,
    ) -> str: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def _fast(path: Path) -> Tokenizer:
    """Raises TokenizerUnusable, MemoryError."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library has one kind for everything
        if "memory" in str(error):
            raise MemoryError(str(error)) from error
        raise TokenizerUnusable(
            f"the tokenizer.json of {path.parent.name} cannot be read: {error}",
            fix="remove the base model's folder, so that it is fetched again, or use another base model",
        ) from error


class ChatTokenizer:
    """`stop_ids` end an answer: the tokenizer's own end token and those of `generation_config.json`."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "tokenizer.json").is_file():
            raise TokenizerUnusable(
                f"{folder.name} has no tokenizer.json",
                fix="use a base model that ships a fast tokenizer (nearly all of the last years do)",
            )
        self._tokenizer = _plain(_fast(folder / "tokenizer.json"))
        written = read_json(folder / "tokenizer.json")
        bare = without_prefix(written)
        self._continuing = _plain(Tokenizer.from_str(bare)) if bare else None
        self._is_prefixed_throughout = bare is not None and prefix(written) == "always"
        self._added = tuple(token["content"] for token in written.get("added_tokens", ()))
        config = read_json(folder / "tokenizer_config.json")
        self._special = {
            name: token_text(config[name]) for name in config if name.endswith("_token") and config[name]
        }
        self._template = _compile(chat_template(folder, config))
        self.stop_ids = self._stops(folder)

    def apply_chat_template(
        self,
        conversation: list[dict[str, JsonValue]],
        *,
        tools: list[dict[str, JsonValue]] | None = None,
        tokenize: bool = False,
        add_generation_prompt: bool = False,
    ) -> str:
        assert not tokenize, "render, then encode"
        try:
            return self._template.render(
                messages=conversation,
                tools=tools,
                add_generation_prompt=add_generation_prompt,
                **self._special,
            )
        except TemplateError as error:
            raise Invalid(
                f"the chat template refused the conversation: {error}",
                code="conversation_refused",
                fix="leave such conversations out of the dataset, or use another base model",
            ) from error

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_after(self, before: str, text: str) -> list[int]:
        """What continues `before`: no space is put before it that the whole would not have there."""
        if self._continuing is None:
            return self.encode(text)
        begins = self._begins(before, text)
        own = self._continuing.encode(text[:begins], add_special_tokens=False).ids
        return [*own, *(self.encode(text[begins:]) if begins < len(text) else ())]

    def _begins(self, before: str, text: str) -> int:
        """From where on `text` is cut as if nothing stood before it: what follows a special token may get a space."""
        if not before:
            return 0
        if not self._is_prefixed_throughout:
            return len(text)
        if before.endswith(self._added):
            return 0
        return min((text.index(token) for token in self._added if token in text), default=len(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def prompt(self, conversation: list[dict[str, JsonValue]]) -> list[int]:
        """The tokens after which the model's answer begins."""
        return self.encode(self.apply_chat_template(conversation, add_generation_prompt=True))

    @property
    def pad_id(self) -> int:
        """Never trained on: padding is masked out."""
        return self._id(self._special.get("pad_token")) or 0

    def _stops(self, folder: Path) -> frozenset[int]:
        path = folder / "generation_config.json"
        found = read_json(path).get("eos_token_id") if path.is_file() else None
        listed = found if isinstance(found, list) else [found]
        own = self._id(self._special.get("eos_token"))
        return frozenset(int(token) for token in [*listed, own] if token is not None)

    def _id(self, token: str | None) -> int | None:
        found = self._tokenizer.token_to_id(token) if token is not None else None
        return None if found is None else int(found)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder. Raises ModelFolderBroken when it is missing or no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderBroken(
            f"{path.parent.name}/{path.name} cannot be read: {error}",
            fix="fetch the base model again; it must be a complete Hugging Face model folder",
        ) from error
    if not isinstance(found, dict):
        raise ModelFolderBroken(f"{path.parent.name}/{path.name} holds no JSON object")
    return found


class ModelFolderBroken(Invalid):
    """A file of the base model is missing or damaged."""


def token_text(token: str | Mapping[str, str]) -> str:
    """Configs name a token as text, or as an object that has it under `content`."""
    return token if isinstance(token, str) else token["content"]


def chat_template(folder: Path, config: Mapping[str, Any]) -> str:
    """The folder's chat template: a file of its own, or in the tokenizer's config. Raises TokenizerUnusable."""
    file = folder / "chat_template.jinja"
    found = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    if isinstance(found, list):  # named templates; `default` is the chat's
        found = next((entry["template"] for entry in found if entry.get("name") == "default"), None)
    if not isinstance(found, str):
        raise TokenizerUnusable(
            f"{folder.name} has no chat template",
            fix="use the instruct or chat variant of the base model",
        )
    return found


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what the assistant wrote; it renders as its body."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _compile(source: str) -> Template:
    # Whitespace rules, filters and globals as Hugging Face templates are written for.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda shape: datetime.now(UTC).astimezone().strftime(shape)
    return environment.from_string(source)


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
