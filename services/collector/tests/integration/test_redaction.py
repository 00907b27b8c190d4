"""The collector's process writes nothing of what must go, and redacts each domain as the registry says."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from forge_collector.redaction.corpus.makers import MAKERS

pytestmark = pytest.mark.integration

RNG = random.Random(11)
KINDS = ("openai key", "jwt", "password", "private key", "email", "card", "iban", "us ssn", "ipv4")


def ask(collector: Any, text: str, domain: str) -> None:
    collector.sdk().chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], extra_headers={"X-Forge-Domain": domain}
    )


def stored(collector: Any, domain: str) -> list[str]:
    collector.drain()
    page = collector.api("GET", "exchanges", params={"domain": domain})
    return [exchange["messages"][-1]["content"] for exchange in page["exchanges"]]


def document(domain: str, classes: list[str]) -> dict[str, Any]:
    return {
        "id": domain, "name": domain, "base_model": "b", "model_prefix": f"m-{domain}", "capture": {"redact": classes}
    }  # fmt: skip


def test_nothing_planted_reaches_a_file_the_log_or_postgres(own_collector: Any, database_url: str) -> None:
    values = {kind: MAKERS[kind](RNG) for kind in KINDS}
    text = "\n".join(f'{kind.replace(" ", "_")}: "{value}"' for kind, value in values.items())
    text += f"\npassword = {json.dumps(values['password'])}"

    ask(own_collector, text, "coding")
    own_collector.drain()

    home = Path(own_collector.env["FORGE_HOME"])
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    written += own_collector.log.read_bytes()
    written += json.dumps(own_collector.api("GET", "exchanges")).encode()
    leaked = [
        kind
        for kind, value in values.items()
        if value.splitlines()[min(1, value.count("\n"))].encode() in written
    ]
    assert leaked == []
    assert b"<PRIVATE_KEY_1>" in written


def test_a_change_of_a_domains_rules_is_followed_and_outlives_the_registry(
    own_collector: Any, registry: Any
) -> None:
    text = "Patient: Ada Byron, ann@mail.org"
    ask(own_collector, text, "clinic-7")
    assert stored(own_collector, "clinic-7") == ["Patient: <PERSON_1>, <EMAIL_1>"]

    registry.domains["clinic-7"] = document("clinic-7", ["contact"])
    registry.activate("coding")
    memory = Path(own_collector.env["FORGE_HOME"]) / "collector" / "capture-rules.json"
    deadline = time.monotonic() + 30
    while not (memory.exists() and b"clinic-7" in memory.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    ask(own_collector, text, "clinic-7")
    own_collector.kill()
    own_collector.env["FORGE_REGISTRY_URL"] = "http://127.0.0.1:9"
    own_collector.start()
    ask(own_collector, f"{text} again", "clinic-7")

    assert stored(own_collector, "clinic-7")[:2] == [
        "Patient: Ada Byron, <EMAIL_1> again",
        "Patient: Ada Byron, <EMAIL_1>",
    ]
