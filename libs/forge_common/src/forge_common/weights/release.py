"""A version as a folder in Hugging Face's layout: its adapter, its fused weights, or one GGUF, with the base's tokenizer.

The folder appears under its name only when it is whole, and never in the place of another.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import Bundle, Sha256
from forge_common.contracts.domain import Quant
from forge_common.contracts.stages import BaseModelRef, ParityProbe
from forge_common.errors import Conflict
from forge_common.weights.adapter import merge
from forge_common.weights.base_model import HubUnreachable, check_room, resolve_base
from forge_common.weights.checkpoint import Checkpoint
from forge_common.weights.export import Parity, Served, hold
from forge_common.weights.gguf_writer import write_base
from forge_common.weights.tokenizer import ChatTokenizer

# What a base's folder says about itself, weights excepted.
TEXTS = ("*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "NOTICE*", "README.md")
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "vocab.json",
    "tokenizer.model",
)


class FolderTaken(Conflict):
    """There is something under the folder's name already."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes `out` when all went well, and vanishes when not. Raises FolderTaken."""
    _refuse_taken(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        yield aside
        for path in (aside, *aside.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        _refuse_taken(out)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def base_texts(ref: BaseModelRef, artifacts: ArtifactClient, into: Path) -> Path:
    """The base's config, tokenizer, licence and README in the folder `into`. Raises HubUnreachable."""
    into.mkdir(parents=True, exist_ok=True)
    if ref.bundle is None:
        return _texts_from_hub(ref, into)
    for file in artifacts.read_json(ref.bundle, Bundle).files:
        if "/" not in file.path and any(Path(file.path).match(pattern) for pattern in TEXTS):
            shutil.copyfile(artifacts.fetch(file.sha256), into / file.path)
    return into


def licence(texts: Path) -> str | None:
    """As the base's model card has it, else the first line of its licence file."""
    card = texts / "README.md"
    if card.is_file():
        head = card.read_text(encoding="utf-8", errors="replace").partition("---\n")[2].partition("\n---")[0]
        for line in head.splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("\"'") or None
    for file in sorted(texts.glob("LICENSE*")):
        lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
        return next(filter(None, lines), None)
    return None


def write_adapter_files(folder: Path, adapter: Sha256, texts: Path, artifacts: ArtifactClient) -> None:
    artifacts.fetch_bundle(adapter, folder)
    _copy(texts, folder, (*TOKENIZER, "LICENSE*", "NOTICE*"))


def write_fused_files(
    folder: Path, base: BaseModelRef, adapter: Sha256, artifacts: ArtifactClient, cache: Path
) -> None:
    """The base with the adapter merged in, in 16 or 32 bits as the base is stored."""
    weights = resolve_base(base, artifacts, cache)
    check_room(base.name, _size(weights), folder, fix="free some space, or choose a folder on a larger disk")
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        merge(weights, artifacts.fetch_bundle(adapter, Path(fetched)), folder)


def write_gguf_file(
    out: Path,
    base: BaseModelRef,
    adapter: Sha256,
    artifacts: ArtifactClient,
    cache: Path,
    *,
    quant: Quant,
    name: str,
) -> None:
    """Raises QuantiserMissing."""
    weights = resolve_base(base, artifacts, cache)
    check_room(base.name, _size(weights), out.parent, fix="free some space, or choose another folder")
    with tempfile.TemporaryDirectory(dir=out.parent) as fetched:
        folder = artifacts.fetch_bundle(adapter, Path(fetched))
        write_base(weights, out, quant=quant, name=name, adapter=folder)


def compared(gguf: Path, quant: Quant, probes: Sequence[ParityProbe], texts: Path) -> Parity | None:
    """A file that was written anew against the trained weights' answers, as a deployed one is before it is uploaded.

    None where nothing can be asked: no answers are on record, or the engine's library is not installed here.
    Raises ExportUnfaithful.
    """
    if not probes or find_spec("forge_engine") is None:
        return None
    served = Served(gguf, None, quant, gguf.name)
    prompts, expected = [probe.messages for probe in probes], [probe.tokens for probe in probes]
    return hold(served, prompts, expected, ChatTokenizer(texts), check=lambda: None)


def copy_texts(texts: Path, folder: Path) -> None:
    """Tokenizer and licence beside a GGUF, which has its own tokenizer, for programs that read the other form."""
    _copy(texts, folder, (*TOKENIZER, "LICENSE*", "NOTICE*"))


def _copy(source: Path, folder: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)


def _size(weights: Path) -> int:
    return sum(file.stat().st_size for file in {each.file for each in Checkpoint(weights).stored.values()})


def _refuse_taken(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise FolderTaken(f"{out} exists already", fix="name another folder, or move that one away")


def _texts_from_hub(ref: BaseModelRef, into: Path) -> Path:
    # Imported here: the hub's client takes a second, and a bundle never needs it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = snapshot_download(ref.name, revision=ref.revision, allow_patterns=list(TEXTS))
    except (HfHubHTTPError, OSError) as error:
        raise HubUnreachable(
            f"the texts of {ref.name} cannot be had from the model hub: {type(error).__name__}",
            fix="connect, or set HF_HOME to a cache that has them; gated models need HF_TOKEN",
        ) from error
    _copy(Path(found), into, TEXTS)
    return into
