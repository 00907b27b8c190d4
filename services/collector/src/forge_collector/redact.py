"""Secrets and personal data leave the text before anything is written. Pure; nothing found is ever logged or kept.

Literal prefilters decide over the serialised text which rules run at all: most exchanges have none of the literals
and cost one pass of substring searches. Names and addresses of people are not recognised; that takes a model.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from forge_collector import redact_checks as checks

Check = Callable[[re.Match[str]], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One of `literals` must occur, in any case when they are `folded`; without literals enough digits must.

    Group `value` is replaced where the pattern has one, else the whole match; `check` has the last word.
    """

    kind: str
    pattern: re.Pattern[str]
    literals: tuple[bytes, ...] = ()
    check: Check | None = None
    folded: bool = False


def _keys(kind: str, *patterns: tuple[str, str]) -> Iterator[Rule]:
    for literals, pattern in patterns:
        yield Rule(kind, re.compile(pattern), tuple(literals.encode().split()))


# Formats as their issuers document them; lengths are lower bounds, since issuers lengthen keys without notice.
_API_KEYS = (
    ("sk-", r"\bsk-(?:proj-|svcacct-|admin-|ant-|or-)?[A-Za-z0-9_-]{20,}"),
    ("sk_live_ sk_test_ rk_live_ rk_test_", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("whsec_", r"\bwhsec_[A-Za-z0-9+/=]{20,}"),
    ("AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("AIza", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("ya29.", r"\bya29\.[A-Za-z0-9_-]{20,}"),
    ("GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{20,}"),
    ("ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{40,}"),
    ("glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    ("hooks.slack.com", r"hooks\.slack\.com/services/[A-Za-z0-9/_-]{20,}"),
    ("hf_", r"\bhf_[A-Za-z0-9]{30,}"),
    ("npm_", r"\bnpm_[A-Za-z0-9]{36,}"),
    ("pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    ("SG.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("SK", r"\bSK[0-9a-f]{32}\b"),
    ("key-", r"\bkey-[0-9a-f]{32}\b"),
    ("dop_v1_ doo_v1_ dor_v1_", r"\bdo[opr]_v1_[0-9a-f]{64}"),
    ("shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/]{60,}={0,2}"),
    (":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("gsk_", r"\bgsk_[A-Za-z0-9]{40,}"),
    ("xai-", r"\bxai-[A-Za-z0-9]{40,}"),
    ("pplx-", r"\bpplx-[A-Za-z0-9]{40,}"),
    ("r8_", r"\br8_[A-Za-z0-9]{37,}"),
    ("dapi", r"\bdapi[0-9a-f]{32}\b"),
    ("lin_api_", r"\blin_api_[A-Za-z0-9]{40,}"),
    ("hvs.", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("glsa_", r"\bglsa_[A-Za-z0-9_]{32,}"),
    ("NRAK-", r"\bNRAK-[A-Z0-9]{27}"),
    ("ATATT3", r"\bATATT3[A-Za-z0-9_=-]{60,}"),
    ("AGE-SECRET-KEY-", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}"),
)
_NAMES = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|account[_-]?key)"
)
_NAME_LITERALS = (b"passw", b"passphrase", b"pwd", b"secret", b"token", b"key")

RULES: tuple[Rule, ...] = (
    Rule(
        "PRIVATE_KEY",
        # An end mark that was cut off must not save the key: then everything that looks like its lines goes.
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[\s\S]{0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=\s]|\\[nr])*)"
        ),
        (b"PRIVATE KEY",),
    ),
    Rule(
        "JWT",
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        (b"eyJ",),
    ),
    *_keys("API_KEY", *_API_KEYS),
    Rule(
        "PASSWORD",
        re.compile(r"://[^\s:/@\"'<>]{0,100}:(?P<value>[^\s/@\"'<>]{3,200})@(?=[\w\[])"),
        (b"://",),
        checks.is_real_value,
    ),
    Rule(
        "TOKEN",
        re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<value>[A-Za-z0-9._~+/-]{16,}={0,2})"),
        (b"bearer", b"basic"),
        checks.has_digit_and_letter,
        folded=True,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            rf"(?i){_NAMES}[\w-]{{0,20}}[\"']?\]?\s{{0,3}}(?:=>|[:=])\s{{0,3}}[bfru]?(?P<quote>[\"'])"
            r"(?P<value>[^\"'\s]{6,200})(?P=quote)"
        ),
        _NAME_LITERALS,
        checks.is_secret_value,
        folded=True,
    ),
    Rule(
        "PASSWORD",
        # `.env` files and shells: an upper-case name, no quotes.
        re.compile(
            r"(?m)(?:PASSW(?:OR)?D|PASSPHRASE|PWD|SECRET|TOKEN|KEY)[A-Z0-9_]{0,20}=(?P<value>[^\s\"'`;]{8,200})"
        ),
        _NAME_LITERALS,
        checks.is_secret_value,
        folded=True,
    ),
    Rule(
        "EMAIL",
        re.compile(
            r"(?<![A-Za-z0-9._%+/-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b"
        ),
        (b"@",),
        checks.is_email,
    ),
    Rule(
        "IBAN",
        re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?![A-Za-z0-9])"),
        (),
        checks.is_iban,
    ),
    Rule("CARD", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)"), (), checks.is_card),
    Rule(
        "PHONE",
        re.compile(
            r"(?<![\w.+/=-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,12}"
            r"|\+?1?[ .-]?\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}|(?:1[ .-])?[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4})(?![\w-]|\.\d)"
        ),
        (),
        checks.is_phone,
    ),
)
# Flat, because this table is walked for every exchange: literal, whether it is looked for in folded text, its rule.
_LITERALS = tuple((literal, rule.folded, i) for i, rule in enumerate(RULES) for literal in rule.literals)
_BY_DIGITS = tuple(i for i, rule in enumerate(RULES) if not rule.literals)
# Fewer digits in a row, separators allowed, are neither a phone number nor a card nor an account.
_DIGITS = re.compile(rb"\d(?:[ .()/-]{0,2}\d){6}")


class Numbering:
    """Placeholders of one conversation: the same value is the same `<EMAIL_1>` wherever it comes again."""

    __slots__ = ("_counts", "_names")

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._counts: dict[str, int] = {}

    def placeholder(self, kind: str, value: str) -> str:
        # A digest, so that no secret stays in memory for as long as its conversation is remembered.
        key = hashlib.blake2b(f"{kind}:{value}".encode("utf-8", "replace"), digest_size=16).digest()
        if key not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[key] = f"<{kind}_{self._counts[kind]}>"
        return self._names[key]


class Numberings:
    """The numberings of the conversations spoken of last; a conversation that comes back later starts anew."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._known: OrderedDict[str, Numbering] = OrderedDict()

    def of(self, conversation: str) -> Numbering:
        numbering = self._known.setdefault(conversation, Numbering())
        self._known.move_to_end(conversation)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return numbering


def suspects(serialised: bytes) -> tuple[Rule, ...]:
    """The rules that could hit anything in `serialised` (JSON or plain text)."""
    folded = serialised.lower()
    hit = {i for literal, fold, i in _LITERALS if literal in (folded if fold else serialised)}
    if _DIGITS.search(serialised):
        hit.update(_BY_DIGITS)
    return tuple(RULES[i] for i in sorted(hit))


def redact_text(text: str, rules: tuple[Rule, ...], numbering: Numbering) -> str:
    for rule in rules:
        text = rule.pattern.sub(lambda match, rule=rule: _replace(match, rule, numbering), text)  # type: ignore[misc]
    return text


def redact_value(value: JsonValue, rules: tuple[Rule, ...], numbering: Numbering) -> JsonValue:
    """A copy of `value` with every string in it redacted, keys of objects included."""
    if isinstance(value, str):
        return redact_text(value, rules, numbering)
    if isinstance(value, list):
        return [redact_value(item, rules, numbering) for item in value]
    if isinstance(value, dict):
        return {redact_text(k, rules, numbering): redact_value(v, rules, numbering) for k, v in value.items()}
    return value


def _replace(match: re.Match[str], rule: Rule, numbering: Numbering) -> str:
    if rule.check is not None and not rule.check(match):
        return match.group()
    if "value" not in rule.pattern.groupindex:
        return numbering.placeholder(rule.kind, match.group())
    start, end = match.start("value") - match.start(), match.end("value") - match.start()
    whole = match.group()
    return f"{whole[:start]}{numbering.placeholder(rule.kind, match['value'])}{whole[end:]}"
