"""Secrets that only their surroundings tell: passwords and keys in assignments, URLs, headers, flags and sentences."""

from __future__ import annotations

import re
from collections.abc import Callable

from forge_collector.redaction import values
from forge_collector.redaction.rule import START, Rule
from forge_common.contracts.domain import RedactionClass


def _is(check: Callable[[bytes], bool]) -> Callable[[re.Match[bytes]], bool]:
    return lambda match: check(match["value"])


def _secret(
    kind: str,
    trigger: bytes,
    pattern: bytes,
    check: Callable[[bytes], bool],
    *,
    back: int = 150,
    ahead: int = 24,
) -> Rule:
    return Rule(
        kind, RedactionClass.SECRETS, trigger=trigger, pattern=re.compile(pattern), back=back, ahead=ahead, check=_is(check),
        is_labelled=True,
    )  # fmt: skip


def _is_url_password(value: bytes) -> bool:
    return not values.is_reference(value) and value.lower() not in _TRIVIAL


_TRIVIAL = frozenset(
    b"password passwd pass pwd secret token pw user changeme postgres root admin guest example tiger".split()
)

RULES: tuple[Rule, ...] = (
    _secret(
        "PASSWORD",
        rb"://[^\s/\"'<>]{0,200}:[^\s/\"'<>]{3,300}@",
        rb"://[^\s:/@\"'<>\x00]{0,100}:(?P<value>[^\s/@\"'<>\x00]{3,200})@(?=[\w\[{$])",
        _is_url_password,
        back=520,
    ),
    # A DSN's key is its user.
    _secret("TOKEN", rb"://[0-9a-f]{32}@", rb"://(?P<value>[0-9a-f]{32})@", values.is_key),
    # Go's MySQL driver; host:port:database:user:password; HAProxy.
    _secret(
        "PASSWORD",
        rb"[\w-]:[^\s:/@\"']{4,100}@(?:tcp|unix)?\(",
        START + rb"[\w-]{1,60}:(?P<value>[^\s:/@\"'\x00]{4,100})@(?:tcp|unix)?\(",
        _is_url_password,
        back=180,
    ),
    _secret(
        "PASSWORD",
        rb":(?:\d{2,5}|\*):[\w*-]{1,60}:[\w*-]{1,60}:[^\s:\"']{5}",
        rb"(?:[\w-]{1,60}\.[\w.-]{1,60}|localhost|\*):(?:\d{2,5}|\*):[\w*-]{1,60}:[\w*-]{1,60}:(?P<value>[^\s:\"'\\\x00]{6,200})",
        values.is_password,
        back=260,
    ),
    _secret(
        "PASSWORD",
        rb"(?:-u|--user|-U|auth)[ =]['\"]?[\w.@+-]{1,80}:[^\s\"'$:]{5}",
        rb"(?:(?<=[\s'\"])(?:-u|--user|-U)|\bauth)[ =]['\"]?[\w.@+-]{1,80}:(?P<value>[^\s\"'$:\\\x00]{6,200})",
        values.is_bare_password,
        back=120,
    ),
    _secret(
        "PASSWORD",
        rb"(?:sshpass|login|redis-cli|mysql|mariadb|mysqldump|psql|ldapsearch|7z|unzip|mongosh)[^\n]{0,120} -[apPw] ?['\"]?[^\s\"'-]",
        START
        + rb"(?:sshpass|(?:docker|podman|helm registry|az|oc|crane|skopeo) login|redis-cli|mysql|mariadb|mysqldump|ldapsearch|unzip|mongosh)"
        rb"(?=[ ])[^\n\x00|]{0,120}? -[apPw] ?['\"]?(?P<value>[^\s\"'\\$\x00-][^\s\"'\\\x00]{5,200})",
        values.is_bare_password,
        back=160,
    ),
    # `login("name", "password")`
    _secret(
        "PASSWORD",
        rb"(?i)(?:login|authenticate|sign_?in|connect(?:ion)?|basic_?auth|credentials?(?:\.\w{1,12})?)\([^()\n]{1,160},\s{0,3}\\{0,3}[\"'][^\"'\s]{5,100}[\"']\s{0,3}\)",
        rb"(?i)(?:login|authenticate|sign_?in|connect(?:ion)?|basic_?auth|credentials?(?:\.\w{1,12})?)\([^()\n\x00]{1,160}?,\s{0,3}"
        rb"(?P<quote>\\{0,3}[\"'])(?P<value>[^\"'\s\\\x00]{6,100})(?P=quote)\s{0,3}\)",
        values.is_password,
        back=300,
    ),
    # `auth=("name", "password")`
    _secret(
        "PASSWORD",
        rb"auth\s?=\s?\(\s{0,3}\\{0,3}[\"'][^\"'\s]{1,80}[\"'],\s{0,3}\\{0,3}[\"'][^\"'\s]{6}",
        rb"auth\s?=\s?\(\s{0,3}\\{0,3}[\"'][^\"'\s\\\x00]{1,80}\\{0,3}[\"'],\s{0,3}\\{0,3}[\"'](?P<value>[^\"'\s\\\x00]{6,}+)",
        values.is_password,
    ),
    _secret(
        "PASSWORD", rb"pass:[^\s\"'$]{6}", rb"\bpass:(?P<value>[^\s\"'$\\\x00]{6,}+)", values.is_bare_password
    ),
    # `jwt.encode(claims, "key")`
    _secret(
        "SECRET",
        rb"(?i)(?:jwt\.(?:en|de)code|jwt\.(?:sign|verify)|hmac(?:\.new)?|createhmac|fernet|aes\.new|secretkeyspec)\([^()\n]{0,160}[\"'][^\"'\s]{12}",
        rb"(?i)(?:jwt\.(?:en|de)code|jwt\.(?:sign|verify)|hmac(?:\.new)?|createhmac|fernet|aes\.new|secretkeyspec)\([^()\n\x00]{0,160}?"
        rb"(?<=[(, ])b?\\{0,3}[\"'](?P<value>[^\"'\s\\\x00]{12,}+)",
        values.is_key,
        back=300,
    ),
    _secret(
        "PASSWORD",
        rb"(?i)SecureString\s{1,3}(?:-String\s{1,3})?\\{0,3}[\"']",
        rb"(?i)SecureString\s{1,3}(?:-String\s{1,3})?(?P<quote>\\{0,3}[\"'])(?P<value>[^\"'\s\\\x00]{6,100})(?P=quote)",
        values.is_password,
        ahead=110,
    ),
    _secret(
        "TOKEN",
        rb"(?i)(?:bearer|basic|negotiate)\s{1,3}[A-Za-z0-9._~+/-]{12}",
        rb"(?i)\b(?:bearer|basic|negotiate)\s{1,3}(?P<value>[A-Za-z0-9._~+/-]{12,}+={0,2})",
        lambda value: values.has_digit_and_letter(value) and values.is_key(value),
    ),
    _secret(
        "TOKEN",
        rb"(?i)(?:authorization|x-[a-z-]{0,30}(?:key|token|auth|secret)|api-?key|private-token)\\{0,3}[\"'`]?\s{0,3}[:=,]\s{0,3}\\{0,3}[\"'`]?[^\n]{0,24}[A-Za-z0-9._~+/=-]{12}",
        rb"(?i)(?:authorization|x-[a-z-]{0,30}(?:key|token|auth|secret)|api-?key|private-token)\\{0,3}[\"'`]?\s{0,3}[:=,]\s{0,3}"
        rb"\\{0,3}[\"'`]?(?:[A-Za-z-]{3,20}[ =]{1,2}[\"']?)?(?P<value>[A-Za-z0-9._~+/=:-]{12,}+)",
        values.is_key,
    ),
    _secret(
        "TOKEN",
        rb"(?i)(?:sess(?:ion)?(?:[_.-]?id)?|sid|csrf[\w-]{0,12}|xsrf[\w-]{0,12}|auth[\w-]{0,12}|jsessionid|phpsessid|remember[\w-]{0,20}|connect\.sid)=[^\s;,\"'&]{10}",
        START
        + rb"(?i:(?:[\w.-]{0,20}?(?:sess(?:ion)?(?:[_.-]?id)?|sid)|csrf[\w-]{0,12}|xsrf[\w-]{0,12}|auth[\w-]{0,12}|remember[\w-]{0,20}|connect\.sid))"
        rb"=(?P<value>[^\s;,\"'&\\<>(){}\[\]\x00]{10,}+)",
        values.is_key,
    ),
    _secret(
        "TOKEN",
        rb"[?&;](?:key|sig|signature|X-Amz-Signature|X-Goog-Signature|sv_sig|hmac|code|auth|ticket)=[^\s&\"'<>]{12}",
        rb"(?:[?&;]|\\u0026)(?:key|sig|signature|X-Amz-Signature|X-Goog-Signature|hmac|code|auth|ticket)=(?P<value>[^\s&\"'<>#\\;\x00]{12,}+)",
        values.is_key,
    ),
)
