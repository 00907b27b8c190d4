"""The demo itself, step by step. Interrupted or killed, it goes on where it was; finished, it starts afresh."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from openai import DefaultHttpxClient, OpenAI
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forge_cli import clients
from forge_cli.commands.setup import upload_benchmarks, upload_nano_base
from forge_cli.console import command, done, err, escape, note, out, table
from forge_cli.demo import teacher, traffic
from forge_cli.follow import StoppedWatching, follow, show_scorecard
from forge_cli.installation import Installation, read_json, write_json
from forge_cli.stack.control import bring_down, bring_up
from forge_common.contracts.runs import PromoteRequest, RollbackRequest, RunRequest, RunState, RunView
from forge_common.errors import ForgeError, Invalid
from forge_common.http.registry import RegistryClient

DOMAIN, LATEST = "nano", "engie-nano:latest"
HELD_OUT = (
    "Write a Python function calc_stage(values) that returns the sum of the squares of the numbers in values."
)
MARK = "demo.json"


@dataclass(frozen=True)
class Teacher:
    """Whose answers are learnt from."""

    upstream: str
    model: str
    key: str


@command
def main() -> None:
    started = time.monotonic()
    here = _home()
    chosen = _teacher(here)
    os.environ["FORGE_COLLECTOR_OPENAI_UPSTREAM"] = chosen.upstream
    if _remember(here, "teacher", chosen.upstream) != chosen.upstream:
        # The collector learns its upstream when it starts.
        bring_down(here)
        _note(here, teacher=chosen.upstream)
    with _step("The stack: Postgres, Redis, engine, services, workers"):
        bring_up(here, lambda _: None)
    registry = clients.registry(here)
    with _step("The nano domain: base model, benchmark"):
        traffic.patiently(lambda: _set_up_domain(here, registry))
    _capture(here, chosen)
    view = _train(here, registry)
    if view.scorecard is None or view.version is None:
        raise ForgeError(
            f"run {view.id} ended as {view.state} without a scorecard", fix="`forge runs show` says more"
        )
    out.print("\n[bold]Before and after, on tasks that the training data does not contain[/]\n")
    show_scorecard(view.scorecard)
    if view.state is not RunState.PROMOTED:
        raise ForgeError(
            f"the new version was {view.state}, not promoted", fix=f"`forge runs show {view.id}` says why"
        )
    _serve_and_roll_back(here, registry, view.version)
    _note(here, finished="yes")
    _where_next(here, time.monotonic() - started)


def _home() -> Installation:
    os.environ.setdefault("FORGE_HOME", str(Path("~/.forge-demo").expanduser()))
    here = Installation.find()
    mark = here.home / MARK
    if not mark.exists() and any(here.home.iterdir()):
        raise Invalid(
            f"{here.home} is a Forge in use, and the demo starts from an empty one",
            fix="unset FORGE_HOME (the demo then takes ~/.forge-demo), or name an empty folder",
        )
    if read_json(mark).get("finished"):
        # A finished demo is shown again from the start; an unfinished one goes on.
        with _step("Clearing the last demo"):
            bring_down(here)
            _clear(here)
    write_json(here.home / MARK, read_json(mark))
    return here


def _clear(here: Installation) -> None:
    from forge_common.local.account import state_folder

    for server in ("postgres", "redis"):
        shutil.rmtree(state_folder(here.home, server))
    for path in here.home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    write_json(here.home / MARK, {})


def _teacher(here: Installation) -> Teacher:
    chosen = os.environ.get("TEACHER", "nano")
    if chosen == "nano":
        port = here.port("teacher")
        teacher.start(port)
        return Teacher(f"http://127.0.0.1:{port}/v1", teacher.MODEL, "unused")
    vendors = {
        "openai": ("https://api.openai.com/v1", "gpt-5-mini"),
        "anthropic": ("https://api.anthropic.com/v1", "claude-haiku-4-5"),
    }
    if chosen not in vendors:
        raise Invalid(
            f"TEACHER={chosen} is not known", fix="TEACHER=nano, TEACHER=openai or TEACHER=anthropic"
        )
    key = os.environ.get(f"{chosen.upper()}_API_KEY")
    if not key:
        raise Invalid(f"TEACHER={chosen} needs {chosen.upper()}_API_KEY", fix="set it, or leave TEACHER out")
    upstream, model = vendors[chosen]
    return Teacher(upstream, os.environ.get("TEACHER_MODEL", model), key)


def _capture(here: Installation, chosen: Teacher) -> None:
    collector = clients.CollectorClient(here)
    prompts = traffic.requests()
    have = traffic.patiently(lambda: traffic.stored_exchanges(collector, DOMAIN))
    client = OpenAI(
        base_url=f"{here.url('collector')}/v1",
        api_key=chosen.key,
        default_headers={"x-forge-domain": DOMAIN},
        max_retries=0,
        http_client=_direct(),
    )
    if have < len(prompts):
        with _bar("Capturing", len(prompts)) as advance:
            traffic.talk(client, chosen.model, prompts, advance)
    stored = traffic.wait_until_stored(collector, DOMAIN, len(prompts))
    done(f"{stored} exchanges captured, streaming and not, and stored in Postgres through the spool")


def _set_up_domain(here: Installation, registry: RegistryClient) -> None:
    registry.set_active_domain(DOMAIN)
    upload_benchmarks(here, registry)
    upload_nano_base(here, registry)


def _train(here: Installation, registry: RegistryClient) -> RunView:
    """The demo's one run: started once, however often we are killed; started anew when it failed."""
    key = _remember(here, "run_key", secrets.token_hex(8))
    view = traffic.patiently(lambda: registry.start_run(RunRequest(domain=DOMAIN, idempotency_key=key)))
    if view.state in (RunState.FAILED, RunState.CANCELLED, RunState.KEPT):
        _note(here, run_key=secrets.token_hex(8))
        return _train(here, registry)
    out.print(f"\n[bold]Run {view.id}[/] prepare → train → export → deploy → evaluate → decide")
    try:
        return follow(registry, view.id)
    except StoppedWatching as left:
        raise StoppedWatching(
            left.message,
            fix=f"`make demo` goes on from there; FORGE_HOME={here.home} .venv/bin/forge down stops it all",
        ) from None


def _remember(here: Installation, name: str, first: str) -> str:
    """What the demo's mark says for `name`; `first` is noted, and returned, when it says nothing."""
    known = read_json(here.home / MARK)
    if name not in known:
        _note(here, **{name: first})
    return known.get(name, first)


def _note(here: Installation, **what: str) -> None:
    write_json(here.home / MARK, read_json(here.home / MARK) | what)


def _serve_and_roll_back(here: Installation, registry: RegistryClient, version: int) -> None:
    client = OpenAI(
        base_url=f"{here.url('gateway')}/v1", api_key=here.key, max_retries=0, http_client=_direct()
    )
    out.print(f"\n[bold]The gateway answers as {LATEST}[/]  [dim]{escape(HELD_OUT)}[/]\n")
    # It is live, unless an earlier demo was killed between its rollback and its re-promotion.
    forward = PromoteRequest(version=version, reason="the demo promotes it again")
    traffic.patiently(lambda: registry.promote(DOMAIN, forward))
    _wait_for_pointer(client, f"engie-nano:v{version}")
    rows = [["promoted", f"v{version}", _short(traffic.ask(client, LATEST, HELD_OUT, stream=True))]]
    back = registry.rollback(DOMAIN, RollbackRequest(reason="the demo shows how"))
    _wait_for_pointer(client, f"engie-nano:v{back.version}")
    rows.append(["rolled back", f"v{back.version}", _short(traffic.ask(client, LATEST, HELD_OUT))])
    traffic.patiently(lambda: registry.promote(DOMAIN, forward))
    _wait_for_pointer(client, f"engie-nano:v{version}")
    rows.append(["promoted again", f"v{version}", _short(traffic.ask(client, LATEST, HELD_OUT))])
    table("", "live", "answer", rows=rows)


def _direct() -> DefaultHttpxClient:
    """Our own services are on this machine: a proxy that the environment names must not come between."""
    return DefaultHttpxClient(trust_env=False)


def _wait_for_pointer(client: OpenAI, model: str, timeout_s: float = 10.0) -> None:
    """The gateway follows within a second; the header says who answered."""
    create = client.chat.completions.with_raw_response.create
    deadline = time.monotonic() + timeout_s
    while True:
        reply = traffic.patiently(
            lambda: create(model=LATEST, messages=[{"role": "user", "content": "Hello!"}], max_tokens=4)
        )
        if reply.headers.get("x-forge-model") == model:
            return
        if time.monotonic() > deadline:
            raise ForgeError(
                f"the gateway still answers with {reply.headers.get('x-forge-model')}, not {model}"
            )
        time.sleep(0.05)


def _short(answer: str) -> str:
    return escape(answer.strip())


def _where_next(here: Installation, seconds: float) -> None:
    out.print()
    done(f"The whole loop in {seconds / 60:.1f} minutes.")
    if not shutil.which("forge"):
        note("source .venv/bin/activate    # `forge` is in .venv/bin")
    note(f"export FORGE_HOME={here.home}    # then:")
    note("forge status · forge runs · forge versions · forge data · forge down")
    note(f"OpenAI SDK: base_url={here.url('gateway')}/v1 model={LATEST} api_key=any")
    note("your own tools: `forge init --domain coding` in a home of your own, base URL = the collector's /v1")


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.monotonic()
    with err.status(what):
        yield
    done(f"{what} [dim]{time.monotonic() - started:.1f} s[/]")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(
        TextColumn(what), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    ) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


if __name__ == "__main__":
    typer.run(main)
