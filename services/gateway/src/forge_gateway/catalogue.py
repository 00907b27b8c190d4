"""Which models there are and which one a request means. Pure: a snapshot of the registry's pointers."""

from __future__ import annotations

import re

from forge_common.contracts.runs import Pointer, Pointers
from forge_common.errors import CallerError, DependencyDown, NotFound

# What Ollama's /v1 never takes from the model; `repeat_penalty` and `stop` it does.
SAMPLING = ("temperature", "top_p")
_VERSION = re.compile(r"^(?P<prefix>.+):v(?P<number>0|[1-9][0-9]{0,8})$")


class ModelNotFound(NotFound):
    """Not one of ours. Arbitrary models of the engine are none of ours either."""


class DomainNotFound(NotFound):
    """No pointer is known for the domain."""


class ModelNotGiven(CallerError):
    """Neither a model nor a domain, and more than one domain to choose from."""


class ModelOfAnotherDomain(CallerError):
    """Model and domain contradict each other."""


class ModelNotReady(DependencyDown):
    """The domain exists, but nothing of it is deployed yet."""


class Catalogue:
    def __init__(self, pointers: Pointers) -> None:
        self.revision = pointers.revision
        self.pointers = pointers.pointers
        self._by_prefix = {pointer.prefix: pointer for pointer in pointers.pointers}
        self._by_domain = {pointer.domain: pointer for pointer in pointers.pointers}

    def resolve(self, model: str | None, domain: str | None = None) -> str:
        """The engine's name of what is meant: `engie-coder`, `engie-coder:latest` → the live one, `engie-coder:v2` → itself.

        `domain` selects that domain's model; a model of no domain of ours is then ignored, as the seed's clients expect.
        """
        pointer = self._named(model)
        if domain is None and pointer is None:
            return self._live(self._only(model))
        if domain is not None:
            selected = self._of_domain(domain)
            if pointer is None:
                return self._live(selected)
            if pointer is not selected:
                raise ModelOfAnotherDomain(
                    f"the model {model!r} is not one of the domain {domain!r}", fix="send one of the two"
                )
        assert model is not None
        assert pointer is not None
        return model if _VERSION.match(model) else self._live(pointer)

    def sampling(self, model: str) -> dict[str, object]:
        """What a resolved model's domain samples with, under the names that OpenAI gives it."""
        pointer = self._named(model)
        known = pointer.parameters if pointer else {}
        return {name: known[name] for name in SAMPLING if name in known}

    def owns(self, model: str) -> bool:
        """Whether an engine's model is a version of one of our domains."""
        match = _VERSION.match(model)
        return match is not None and match["prefix"] in self._by_prefix

    def names(self) -> list[str]:
        return sorted(f"{pointer.prefix}:latest" for pointer in self.pointers if pointer.model)

    def not_found(self, model: str) -> ModelNotFound:
        names = self.names()
        fix = f"ask for one of: {', '.join(names)}" if names else "deploy one first: see `forge status`"
        return ModelNotFound(f"the model {model!r} does not exist", code="model_not_found", fix=fix)

    def lost(self, model: str) -> ModelNotReady | None:
        """For a model that the engine does not know although it is live."""
        for pointer in self.pointers:
            if pointer.model == model:
                return ModelNotReady(
                    f"{model!r} is live, but the engine does not have it",
                    fix=f"`forge promote {pointer.live} --domain {pointer.domain}` deploys it again",
                )
        return None

    def _named(self, model: str | None) -> Pointer | None:
        if model is None:
            return None
        match = _VERSION.match(model)
        prefix = match["prefix"] if match else model.removesuffix(":latest")
        return self._by_prefix.get(prefix)

    def _only(self, model: str | None) -> Pointer:
        if model is not None:
            raise self.not_found(model)
        if len(self.pointers) == 1:
            return self.pointers[0]
        raise ModelNotGiven("the request names no model", fix=f"send one of: {', '.join(self.names())}")

    def _of_domain(self, domain: str) -> Pointer:
        pointer = self._by_domain.get(domain)
        if pointer is None:
            known = ", ".join(sorted(self._by_domain)) or "none"
            raise DomainNotFound(f"the domain {domain!r} does not exist", fix=f"known domains: {known}")
        return pointer

    def _live(self, pointer: Pointer) -> str:
        if pointer.model is None:
            raise ModelNotReady(
                f"the domain {pointer.domain!r} has no live version yet",
                fix=f"wait for its v0 to be deployed, or start that with `forge domain {pointer.domain}`",
            )
        return pointer.model
