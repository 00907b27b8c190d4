"""Recall on planted values, and no hits on ordinary code and prose. All values are made up."""

import keyword
import random
import string
import textwrap
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from forge_collector.dialects.dialect import JsonObject
from forge_collector.redact import RULES, Numbering, Numberings, redact_text, redact_value, suspects

RANDOM = random.Random(7)
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def some(n: int, alphabet: str = ALNUM) -> str:
    return "a1" + "".join(RANDOM.choice(alphabet) for _ in range(n - 2))


def luhn(prefix: str, length: int) -> str:
    body = prefix + "".join(RANDOM.choice(string.digits) for _ in range(length - len(prefix) - 1))
    total = sum(
        (d * 2 - 9 if d * 2 > 9 else d * 2) if i % 2 == 0 else d
        for i, d in enumerate(map(int, reversed(body)))
    )
    return body + str(-total % 10)


def iban(country: str, account: str) -> str:
    digits = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02}{account}"


SECRETS: dict[str, Callable[[], str]] = {
    "openai": lambda: "sk-" + some(48),
    "openai project": lambda: "sk-proj-" + some(60),
    "anthropic": lambda: "sk-ant-api03-" + some(80) + "-" + some(6),
    "stripe": lambda: "sk_live_" + some(24),
    "stripe restricted": lambda: "rk_live_" + some(24),
    "stripe webhook": lambda: "whsec_" + some(32),
    "aws id": lambda: "AKIA" + "".join(RANDOM.choice(string.ascii_uppercase + "234567") for _ in range(16)),
    "google": lambda: "AIza" + some(35),
    "google oauth": lambda: "ya29." + some(60),
    "google client secret": lambda: "GOCSPX-" + some(28),
    "github": lambda: "ghp_" + some(36),
    "github fine-grained": lambda: "github_pat_" + some(22) + "_" + some(59),
    "gitlab": lambda: "glpat-" + some(20),
    "slack": lambda: "xoxb-" + some(12) + "-" + some(24),
    "slack hook": lambda: "https://hooks.slack.com/services/T" + some(8) + "/B" + some(8) + "/" + some(24),
    "hugging face": lambda: "hf_" + some(34),
    "npm": lambda: "npm_" + some(36),
    "pypi": lambda: "pypi-" + some(80),
    "sendgrid": lambda: "SG." + some(22) + "." + some(43),
    "twilio": lambda: "SK" + some(32, HEX),
    "mailgun": lambda: "key-" + some(32, HEX),
    "digitalocean": lambda: "dop_v1_" + some(64, HEX),
    "shopify": lambda: "shpat_" + some(32, HEX),
    "telegram": lambda: "".join(RANDOM.choice(string.digits) for _ in range(9)) + ":AA" + some(33),
    "groq": lambda: "gsk_" + some(52),
    "databricks": lambda: "dapi" + some(32, HEX),
    "vault": lambda: "hvs." + some(24),
    "jwt": lambda: f"eyJ{some(20)}.eyJ{some(40)}.{some(43)}",
    "private key": lambda: (
        f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END RSA PRIVATE KEY-----"
    ),
    "torn private key": lambda: f"-----BEGIN PRIVATE KEY-----\n{some(64)}\n{some(64)}\n",
    "bearer": lambda: f"Authorization: Bearer {some(40)}",
    "url password": lambda: f"postgres://app:{some(14)}@db.internal:5432/app",
    "password assignment": lambda: f'password = "{some(12)}!"',
    "json password": lambda: f'{{"db_password": "{some(12)}"}}',
    "client secret": lambda: f"client_secret: '{some(32)}'",
    "aws secret": lambda: f"AWS_SECRET_ACCESS_KEY={some(40)}",
    "env token": lambda: f"export DEPLOY_TOKEN={some(24)}",
    "azure": lambda: f"AccountName=x;AccountKey={some(86)}==;EndpointSuffix=core.windows.net",
}
PERSONAL: dict[str, Callable[[], str]] = {
    "email": lambda: f"{some(6).lower()}.{some(5).lower()}@mail.{some(6).lower()}.org",
    "plus email": lambda: f"{some(6).lower()}+list@{some(6).lower()}.co.uk",
    "us phone": lambda: (
        f"({RANDOM.randint(201, 989)}) {RANDOM.randint(200, 999)}-{RANDOM.randint(1000, 9999)}"
    ),
    "dashed phone": lambda: (
        f"{RANDOM.randint(201, 989)}-{RANDOM.randint(200, 999)}-{RANDOM.randint(1000, 9999)}"
    ),
    "international phone": lambda: f"+44 20 {RANDOM.randint(7000, 8999)} {RANDOM.randint(1000, 9999)}",
    "german phone": lambda: f"+49 151 {RANDOM.randint(10000000, 99999999)}",
    "visa": lambda: luhn("4", 16),
    "grouped card": lambda: " ".join(textwrap.wrap(luhn("51", 16), 4)),
    "amex": lambda: luhn("37", 15),
    "german iban": lambda: iban("DE", "".join(RANDOM.choice(string.digits) for _ in range(18))),
    "british iban": lambda: " ".join(
        textwrap.wrap(iban("GB", "NWBK" + "".join(RANDOM.choice(string.digits) for _ in range(14))), 4)
    ),
}
SENTENCES = ("My value is {}, please use it.", "Here:\n```\n{}\n```\nDoes this work?", "{}")


def redact(text: str) -> str:
    return redact_text(text, suspects(text.encode()), Numbering())


def secret_part(planted: str) -> str:
    """The longest run that carries the secret itself."""
    return max(planted.replace("\n", " ").replace('"', " ").replace("'", " ").split(), key=len)[-12:]


@pytest.mark.parametrize("kind", SECRETS)
def test_planted_secrets_are_found(kind: str) -> None:
    planted = [(SECRETS[kind](), sentence) for _ in range(20) for sentence in SENTENCES]

    found = [
        value != redact(sentence.format(value)) and "<" in redact(sentence.format(value))
        for value, sentence in planted
    ]

    assert all(found), f"{kind}: {found.count(False)} of {len(found)} missed"


@pytest.mark.parametrize(
    "kind", ["openai", "github", "jwt", "private key", "url password", "aws secret", "bearer"]
)
def test_nothing_of_a_secret_is_left(kind: str) -> None:
    value = SECRETS[kind]()
    inner = {"url password": value[15:29], "private key": value[40:60]}.get(kind, value[-16:])

    assert inner not in redact(f"use {value} now")


@pytest.mark.parametrize("kind", PERSONAL)
def test_planted_personal_data_are_found(kind: str) -> None:
    for _ in range(20):
        value = PERSONAL[kind]()
        for sentence in SENTENCES:
            assert value not in redact(sentence.format(value)), value


def test_secrets_are_found_inside_json_strings() -> None:
    key = SECRETS["openai"]()
    value: JsonObject = {"role": "user", "content": [{"type": "text", "text": f"key:\t{key}\n"}], "n": 1}

    clean = redact_value(value, suspects(orjson.dumps(value)), Numbering())

    assert clean == {"role": "user", "content": [{"type": "text", "text": "key:\t<API_KEY_1>\n"}], "n": 1}


LOOK_ALIKES = [
    "commit 3f2a9c1e5b7d8f0a1b2c3d4e5f60718293a4b5c6",
    "id = uuid.UUID('123e4567-e89b-12d3-a456-426614174000')",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "password = os.environ['DB_PASSWORD']",
    'password = getpass.getpass("Password: ")',
    'token = request.headers["authorization"]',
    'password: "${DB_PASSWORD}"',
    "postgres://user:password@localhost/db",
    "postgres://{user}:{password}@{host}/db",
    'API_KEY = "your_api_key"',
    'secret_name = "database-credentials"',
    "max_tokens=4096, token_count=12, tokenizer='gpt2'",
    "git clone git@github.com:owner/repository.git",
    "@app.route('/users/<int:id>')",
    "from dataclasses import dataclass  # type: ignore[import]",
    "npm install lodash@4.17.21 react@18.2.0",
    "![logo](icon@2x.png)",
    "2024-01-15 10:32:07.123456",
    "The range 1000000 to 2147483647 and 9007199254740993",
    "timestamp = 1700000000000",
    "x = [10, 20, 30, 40, 50, 60, 70, 80, 90]",
    "order number 4111111111111112",
    "DE89370400440532013001",
    "version 1.2.3.4.5.6.7.8",
    "the task-based scheduler asks the disk-cache",
    "basic authentication-and-authorization",
    "for i in range(10): print(i, i ** 2)",
    "keys = sorted(mapping.keys(), key=lambda k: k.lower())",
    "float pi = 3.14159265358979323846",
    "color: #ff00ff00; margin: 0 10px 20px 30px",
]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_look_alikes_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_ordinary_code_is_left_alone() -> None:
    # The standard library itself: real code, none of it secret. At most one file in a hundred may be touched.
    files = sorted(Path(keyword.__file__).parent.glob("*.py"))
    touched = [path.name for path in files if _is_touched(path)]

    assert len(files) > 100
    assert len(touched) <= len(files) * 0.01 + ADDRESSES_OF_AUTHORS, touched


# Files that name their authors' addresses are right to be touched.
ADDRESSES_OF_AUTHORS = 0


def _is_touched(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    rules = tuple(rule for rule in suspects(text.encode()) if rule.kind != "EMAIL")
    return redact_text(text, rules, Numbering()) != text


def test_the_same_value_is_the_same_placeholder_and_another_is_another() -> None:
    assert (
        redact("ann@mail.org wrote to bob@mail.org; ann@mail.org waits")
        == "<EMAIL_1> wrote to <EMAIL_2>; <EMAIL_1> waits"
    )


def test_a_conversation_keeps_its_placeholders_from_turn_to_turn() -> None:
    numberings = Numberings()
    first = redact_text("ann@mail.org", RULES, numberings.of("c1"))
    other = redact_text("bob@mail.org", RULES, numberings.of("c2"))

    again = redact_text("bob@mail.org, ann@mail.org", RULES, numberings.of("c1"))

    assert (first, other, again) == ("<EMAIL_1>", "<EMAIL_1>", "<EMAIL_2>, <EMAIL_1>")


def test_conversations_that_were_not_spoken_of_for_long_are_forgotten() -> None:
    numberings = Numberings(limit=2)
    first = numberings.of("a")
    numberings.of("b")
    numberings.of("c")

    assert numberings.of("a") is not first


def test_long_runs_without_a_hit_take_linear_time() -> None:
    text = "a" * 200_000 + " " + "1" * 200_000 + " " + "a." * 100_000 + "@ password = "

    assert redact(text) == text


def test_no_rule_keeps_the_value_in_memory() -> None:
    numbering = Numbering()
    redact_text("ann@mail.org", RULES, numbering)

    assert "ann@mail.org" not in repr([numbering._names, numbering._counts])
