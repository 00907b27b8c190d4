"""The DEPLOY stage: puts versions into the engine and checks by behaviour, not by status, that it serves the trained weights.

What the engine has already, under the digest that it was given then, is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forge_common.contracts.base import Sha256
from forge_common.contracts.stages import (
    Deployable,
    Deployed,
    DeployRequest,
    DeployResult,
    Progress,
    StageClaim,
)
from forge_common.engine import Engine, EngineRefused, EngineUnavailable
from forge_common.errors import ForgeError, Invalid
from forge_common.logging import get_logger
from forge_common.parity import count_equal, says_something
from forge_common.queue.stage import Beat

log = get_logger()

ENGINE_FAULT = 500
PAUSE_S = 1.0


class DeploymentUnfaithful(ForgeError):
    """The engine has the model, but it does not answer as the trained weights do."""


def is_in(engine: Engine, version: Deployable) -> bool:
    """Whether the engine lists the version as it did when it was deployed: a digest names the content."""
    if version.digest is None:
        return False
    tag = engine.tag(version.model)
    return tag is not None and tag.digest == version.digest


@dataclass(frozen=True)
class Deployment:
    """`file` gives an artifact as a local file; `parity_share` of the probes must be answered with the same text.

    An engine that is away is waited for, up to `patience_s` for each version.
    """

    engine: Engine
    file: Callable[[Sha256], Path]
    parity_share: float
    patience_s: float

    def work(self, claim: StageClaim, beat: Beat) -> DeployResult:
        """Raises DeploymentUnfaithful, EngineRefused, EngineUnavailable."""
        request = claim.request
        if not isinstance(request, DeployRequest):
            raise Invalid(f"the deployer cannot {request.kind}")
        done = []
        for step, version in enumerate(request.versions):
            beat.progress(Progress(message=f"deploying {version.model}", step=step, of=len(request.versions)))
            beat.check()
            done.append(self._patiently(version, beat))
        return DeployResult(deployed=tuple(done))

    def _patiently(self, version: Deployable, beat: Beat) -> Deployed:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return self.put(version)
            except EngineUnavailable as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("engine.awaited", model=version.model, reason=str(error))
            beat.cancelled.wait(PAUSE_S)
            beat.check()

    def put(self, version: Deployable) -> Deployed:
        """Once, without waiting for an engine that is away. Raises as `work` does."""
        try:
            if is_in(self.engine, version):
                return Deployed(model=version.model, digest=version.digest, probes_equal=0, probes_asked=0)
            self._create(version)
            deployed = self._checked(version)
        except EngineRefused as error:
            error.retryable = error.status >= ENGINE_FAULT
            raise
        log.info(
            "version.deployed", model=version.model, equal=deployed.probes_equal, asked=deployed.probes_asked
        )
        return deployed

    def _create(self, version: Deployable) -> None:
        """Twice is as good as once: a name that is there is pointed to the same content again."""
        base = None
        if version.adapter is None:
            self._push(version.gguf.sha256)
        else:
            self._push(version.adapter.sha256)
            base = self._base(version.gguf.sha256)
        self.engine.create(
            version.model,
            gguf_sha=version.gguf.sha256 if base is None else None,
            from_=base,
            adapter_sha=version.adapter.sha256 if version.adapter else None,
            system=version.system_prompt,
            parameters=version.parameters,
        )

    def _base(self, sha256: Sha256) -> str:
        """The bare base under a name of its own, shared by all versions on it: an adapter on a model that carries one
        already would be added to it without a word.
        """
        name = f"forge-base:{sha256[:12]}"
        if self.engine.tag(name) is None:
            self._push(sha256)
            self.engine.create(name, gguf_sha=sha256)
        return name

    def _push(self, sha256: Sha256) -> None:
        self.engine.push_blob(sha256, self.file(sha256))

    def _checked(self, version: Deployable) -> Deployed:
        asked = len(version.probes)
        equal = count_equal(self.engine, version.model, version.probes)
        if asked and equal < self.parity_share * asked:
            raise DeploymentUnfaithful(
                f"{version.model} gave the trained weights' answer to {equal} of {asked} probes, "
                f"{self.parity_share:.0%} are needed",
                fix="was the export verified? try deploy.mode `fused` or deploy.quant `f16`",
            )
        if not asked and not says_something(self.engine, version.model):
            raise DeploymentUnfaithful(f"{version.model} answers nothing in the engine")
        tag = self.engine.tag(version.model)
        return Deployed(
            model=version.model,
            digest=tag.digest if tag else None,
            probes_equal=equal,
            probes_asked=asked,
        )
