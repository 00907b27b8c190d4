"""An evaluation's report for people: the HTML page that its run left in the registry, as a file of this machine."""

from __future__ import annotations

import shutil
import webbrowser
from pathlib import Path

from forge_cli import clients
from forge_cli.console import escape, note
from forge_cli.installation import Installation
from forge_common.contracts.runs import RunView
from forge_common.contracts.stages import StageKind
from forge_common.errors import Invalid, NotFound


class ReportMissing(NotFound):
    """The run has no report."""


def has_page(view: RunView) -> bool:
    return _page(view) is not None


def page_of(view: RunView) -> str:
    """The hash of the run's page. Raises ReportMissing."""
    page = _page(view)
    if page is None:
        raise ReportMissing(
            f"run {view.id} has no report: nothing was evaluated", fix="`forge runs` lists those that did"
        )
    return page


def _page(view: RunView) -> str | None:
    results = [stage.result for stage in view.stages if stage.kind is StageKind.EVALUATE and stage.result]
    page = results[-1].get("page") if results else None
    return str(page["sha256"]) if isinstance(page, dict) else None


def save(view: RunView, to: Path | None, *, opened: bool, here: Installation) -> Path:
    """The page in a file: `to`, else one under the installation's home; `opened` shows it in the browser."""
    fetched = clients.artifacts(here).fetch(page_of(view))
    target = to or here.home / "reports" / f"{view.id}.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fetched, target)
    except OSError as error:
        raise Invalid(f"{target} cannot be written: {error.strerror}") from error
    if opened and not webbrowser.open(target.absolute().as_uri()):
        note(f"no browser was found here; open {escape(str(target))} yourself")
    return target
