"""A base model as a local folder: from the artifact store when it is a bundle, else from the model hub by name and revision."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forge_common.artifacts import ArtifactClient, locked
from forge_common.contracts.base import Bundle, Sha256
from forge_common.contracts.stages import BaseModelRef
from forge_common.errors import CallerError, Cancelled, DependencyDown, ForgeError
from forge_common.logging import get_logger
from forge_common.weights.hub_files import prefetch, while_wanted
from forge_common.weights.tokenizer import read_json

log = get_logger()

# Config, tokenizer and weights; never pickles, never code.
WANTED = ("*.json", "*.safetensors", "*.jinja", "merges.txt", "vocab.json")
UNWANTED = ("*/*",)
SPARE_BYTES = 2 * 1024**3


class BaseModelUnavailable(CallerError):
    """The model hub has no such model, or does not hand it out."""


class HubUnreachable(DependencyDown):
    """The model hub cannot be reached and the model is not here yet."""


class DiskFull(ForgeError):
    """There is no room for the base model."""

    status = 507


def resolve_base(ref: BaseModelRef, artifacts: ArtifactClient, cache: Path) -> Path:
    """A folder with config.json, tokenizer files and safetensors; bundles are laid out once under `cache`.

    Raises BaseModelUnavailable, HubUnreachable, DiskFull.
    """
    return (
        _from_hub(ref, artifacts.check)
        if ref.bundle is None
        else _from_bundle(ref.name, ref.bundle, artifacts, cache)
    )


def base_config(ref: BaseModelRef, artifacts: ArtifactClient) -> dict[str, Any] | None:
    """The base's `config.json`, fetched alone; None when it cannot be had, which the download itself will explain."""
    try:
        path = (
            while_wanted(lambda _: _config_from_hub(ref), artifacts.check)
            if ref.bundle is None
            else _config_from_bundle(ref.bundle, artifacts)
        )
        return read_json(path)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001  the hub's client raises many kinds; resolve_base names them all
        log.info("base.config_unknown", base=ref.name, reason=f"{type(error).__name__}: {error}"[:200])
        return None


def _config_from_hub(ref: BaseModelRef) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(ref.name, "config.json", revision=ref.revision))


def _config_from_bundle(bundle: Sha256, artifacts: ArtifactClient) -> Path:
    return artifacts.fetch(artifacts.read_json(bundle, Bundle).file("config.json").sha256)


def _from_bundle(name: str, bundle: Sha256, artifacts: ArtifactClient, cache: Path) -> Path:
    folder = cache / "bases" / bundle
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A worker for the card and one for the CPU of the same machine: the second finds what the first fetched.
    with locked(cache / f".base-{bundle}.lock", artifacts.check):
        if not folder.is_dir():
            _lay_out(name, bundle, artifacts, folder)
    return folder


def _lay_out(name: str, bundle: Sha256, artifacts: ArtifactClient, folder: Path) -> None:
    # Each file is there twice for a moment: under its hash, where a broken download goes on, and laid out.
    sizes = [file.size for file in artifacts.read_json(bundle, Bundle).files]
    check_room(
        name,
        2 * sum(sizes),
        folder.parent,
        fix=f"free some space, or set FORGE_HOME to a larger disk ({folder.parent})",
    )
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".incoming-"))
    try:
        artifacts.fetch_bundle(bundle, aside)
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    artifacts.forget_weights(bundle)


def _from_hub(ref: BaseModelRef, check: Callable[[], None]) -> Path:
    # Imported here: the hub's client takes a second, and a bundle never needs it.
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(check: Callable[[], None]) -> Path:
        _make_ready(ref, check)
        return _download(ref)

    try:
        return while_wanted(fetch, check)
    except GatedRepoError as error:
        raise BaseModelUnavailable(
            f"{ref.name} is handed out only after its licence is accepted",
            fix="accept it on the model's page, then set HF_TOKEN",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise BaseModelUnavailable(
            f"the model hub has no {ref.name!r} at revision {ref.revision!r}",
            fix="check base_model and base_revision in the domain document; private models need HF_TOKEN",
        ) from error
    except OSError as error:  # the hub client's network errors are OSErrors
        raise HubUnreachable(
            f"{ref.name} is not on this machine and the model hub cannot be reached: {type(error).__name__}",
            fix="connect once to fetch it, set HF_HOME to a cache that has it, "
            "or register the folder as a base with the registry",
        ) from error


def _make_ready(ref: BaseModelRef, check: Callable[[], None]) -> None:
    """Raises DiskFull before the first byte, not after the last one that fitted; then fetches what is large."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import DryRunError

    try:
        plan = snapshot_download(
            ref.name,
            revision=ref.revision,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            dry_run=True,
        )
    except (
        DryRunError
    ):  # offline, or not allowed: the download itself says which, or finds the copy that is here
        return
    needed = sum(file.file_size or 0 for file in plan if file.will_download)
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    check_room(ref.name, needed, cache)
    prefetch(ref.name, plan, cache, check)


def check_room(
    name: str, needed: int, folder: Path, *, fix: str = "free some space, or set HF_HOME to a larger disk"
) -> None:
    """Raises DiskFull when `needed` bytes and some to spare do not fit beside `folder`."""
    free = shutil.disk_usage(folder).free
    if needed and needed + SPARE_BYTES > free:
        raise DiskFull(
            f"{name} needs {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free",
            fix=fix,
        )


def _download(ref: BaseModelRef) -> Path:
    """The snapshot's folder; without a network a complete copy from earlier serves."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            ref.name,
            revision=ref.revision,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    )
