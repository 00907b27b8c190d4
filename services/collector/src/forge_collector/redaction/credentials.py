"""Secrets that only their surroundings tell: passwords and keys in assignments, URLs, headers, flags and sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from forge_collector.redaction import values
from forge_collector.redaction.rule import START, Rule
from forge_common.contracts.domain import RedactionClass

_PASSWORD = (
    rb"(?:passw(?:or)?d|passphrase|passcode|passwort|kennwort|contrase\xc3\xb1a|mot de passe|senha|wachtwoord|pwd|psk"
    rb"|(?:(?<=[_$.\"'-])|(?<![a-z ]))pass(?=\\{0,3}[\"']?\]?\s{0,4}[=:>])|requirepass|identified by)"
)
_KEY = (
    rb"(?:(?<!public)(?<!publickey)(?:secret|token(?!iz|s?_to_|_id|_type|_count)|jeton)|(?<!public)(?:api|access|account|auth|encrypt(?:ion)?|signing|private|client|master|session"
    rb"|shared|sharedaccess|preshared|licen[cs]e|storage|webhook|deploy|app|application|service|consumer|hmac|aes|jwt|cookie)"
    rb"[ _.-]?key|api-schl\xc3\xbcssel|(?<![a-z])auth(?=[\"'\s:=\]\\]))"
)
# The rest of a name, and what may close it: `passwords["db"]`, `"db_password"`, `password_for_db`.
_TAIL = rb"[\w.-]{0,30}+"
_CLOSE = rb"(?:\\{0,3}[\"'`])?[\])]{0,2}\??"
# `: str`, `: Final[str]`, `: &str`, ` string`
_TYPE = rb"(?:[ \t]{0,3}:[ \t]{0,3}[&\w\[\]<>'?|. ]{1,40}?)?"
_SIGN = rb"(?:=>|:=|\?\?=|\|\|=|\+=|==?=?|:|,|\(|\|\||\?\?|\bor\b|\s)"
_QUOTE = rb"(?P<quote>\\{0,3}[\"'`])"
# Ends with the quote, or with the text: see Rule.spans. What else ends it is no value.
_QUOTED = rb"(?P<value>(?:(?!(?P=quote))(?:\\[^\s]|[^\s\\\x00]|[ ](?=[^\s]))){6,}+)(?P<end>(?P=quote)|\Z|)"
_BARE = rb"(?P<value>(?:(?!&[\w.-]{1,40}=)[^\s\"'`<>(){}\[\],;\\\x00]|[,;](?=[^\s\"'])){6,}+)"
_LINE_START = rb"(?:(?<=[\n\x00])|\A|(?<=\\n))[ \t>+*#|-]{0,12}"
# What may follow a value without quotes: to the end of the line, or to the end of a word. Looked at afterwards, so that
# no pattern goes through a long value in vain.
_LINE_END = re.compile(rb"[ \t]*(?:[\r\n\x00\"'`]|\\+[nr\"]|[,;](?:\s|\Z)|[ \t]#|\Z)")
_WORD_END = re.compile(rb"(?![(\[{<])")
_ARGUMENT_END = re.compile(rb"[\s\x00\"'`\\,;)]|\Z")


def _is(check: Callable[[bytes], bool]) -> Callable[[re.Match[bytes]], bool]:
    return lambda match: check(match["value"])


def _ends(check: Callable[[bytes], bool], end: re.Pattern[bytes]) -> Callable[[re.Match[bytes]], bool]:
    return lambda match: end.match(match.string, match.end("value")) is not None and check(match["value"])


def _closed(check: Callable[[bytes], bool]) -> Callable[[re.Match[bytes]], bool]:
    return lambda match: (bool(match["end"]) or match.end() == len(match.string)) and check(match["value"])


_LOOK_AROUND = re.compile(rb"\(\?<?[=!](?:\[[^\]]*\]|[^)\[])*\)")


def _named(
    kind: str, name: bytes, quoted: Callable[[bytes], bool], bare: Callable[[bytes], bool]
) -> Iterator[Rule]:
    """The ways to assign a value to `name`."""
    loose, named = _LOOK_AROUND.sub(b"", name), name + _TAIL

    def rule(after: bytes, pattern: bytes, check: Callable[[re.Match[bytes]], bool]) -> Rule:
        return Rule(
            kind, RedactionClass.SECRETS, trigger=b"(?i)" + loose + rb"[\w.-]{0,30}" + after,
            pattern=re.compile(b"(?i)" + pattern), back=200, check=check, is_labelled=True,
        )  # fmt: skip

    yield rule(
        rb"(?:\\{0,3}[\"'`])?[\])]{0,2}\??(?:\s{0,3}:\s{0,3}[&\w\[\]<>'?|. ]{1,40})?\s{0,12}(?:=|[:=]=|=>|(?:\?\?|\|\||\+)=?|or|[:,( ])\s{0,4}[bfru@&$]{0,2}\\{0,3}[\"'`][^\s\"'`]{4}",
        named + _CLOSE + _TYPE + rb"\s{0,12}" + _SIGN + rb"\s{0,4}[bfru@&$]{0,2}" + _QUOTE + _QUOTED,
        _closed(quoted),
    )
    # `.env`, shells, flags, query strings and connection strings.
    yield rule(
        rb"=[^\s\"'`<>(){}\[\];&\\,]{6}",
        named + rb"=(?P<value>(?:[^\s\"'`<>(){}\[\];&\\\x00,]|,(?=[^\s\"'])){6,}+)",
        _ends(bare, _WORD_END),
    )
    # YAML, INI, properties, headers: to the end of the line.
    yield rule(
        rb"[\"']?[ \t]{0,12}[:=][ \t]{0,12}[^\s\"'`<>(){}\[\];\\]{6}",
        _LINE_START + rb"[\"']?[\w./@:-]{0,60}?" + named + rb"[\"']?[ \t]{0,12}[:=][ \t]{0,12}" + _BARE,
        _ends(bare, _LINE_END),
    )
    # Dockerfiles, flags, `set -x`, `requirepass`, `.netrc`.
    yield rule(
        rb"[ \t]{1,12}[^\s\"'`<>(){}\[\];\\]{6}",
        START
        + rb"(?:(?:ENV|setx|set(?: -\w+)?|login [^\s]{1,100}|export) +[\w.-]{0,40}?|(?<=[\s\"'])--?[\w-]{0,40}?|"
        + _LINE_START
        + rb")"
        + named
        + rb"[ \t]{1,12}"
        + _BARE,
        _ends(bare, _ARGUMENT_END),
    )
    # Sentences.
    yield rule(
        rb"(?:(?:\s[^\s:.,;]{1,20}){0,4}\s(?:is|was|ist|lautet|est|es|are|=)|[ ]?:)[ :]{1,3}[\"'`*]{0,3}[^\s\"'`<>(){}\[\]\\]{6}",
        named
        + rb"(?:(?:\s[^\s:.,;\x00]{1,20}){0,4}\s(?:is|was|ist|lautet|est|es|are|=)|[ ]?:)[ :]{1,3}[\"'`*]{0,3}"
        + rb"(?P<value>(?:[^\s\"'`<>(){}\[\]\\\x00.,;:*]|[.,;:*]++(?=[^\s\"'`<>(){}\[\]\\\x00])){6,}+)",
        _is(bare),
    )
    # XML elements, and records that keep name and value apart.
    yield rule(
        rb">[^<\s]{6}",
        rb"(?<![?P])<[\w:.-]{0,40}?" + named + rb">(?P<value>(?!@)[^<\s\x00]{6,}+)",
        _is(quoted),
    )
    apart = (
        rb"\\{0,3}[\"']?,?\s{1,20}-?\s{0,20}\\{0,3}[\"']?value\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}\\{0,3}[\"']?"
    )
    yield rule(apart + rb"[^\s\"'\\<>]{6}", named + apart + rb"(?P<value>[^\s\"'\\<>\x00]{6,}+)", _is(bare))


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
        rb"(?i)(?:login|authenticate|sign_?in|connect(?:ion)?|basic_?auth|credentials?(?:\.new)?)\([^()\n]{1,160},\s{0,3}\\{0,3}[\"'][^\"'\s]{5,100}[\"']\s{0,3}\)",
        rb"(?i)(?:login|authenticate|sign_?in|connect(?:ion)?|basic_?auth|credentials?(?:\.new)?)\([^()\n\x00]{1,160}?,\s{0,3}"
        rb"(?P<quote>\\{0,3}[\"'])(?P<value>[^\"'\s\\\x00]{6,100})(?P=quote)\s{0,3}\)",
        values.is_password,
        back=300,
    ),
    # `auth=("name", "password")`
    _secret(
        "PASSWORD",
        rb"\bauth\s?=\s?\(\s{0,3}\\{0,3}[\"'][^\"'\s]{1,80}[\"'],\s{0,3}\\{0,3}[\"'][^\"'\s]{6}",
        rb"\bauth\s?=\s?\(\s{0,3}\\{0,3}[\"'][^\"'\s\\\x00]{1,80}\\{0,3}[\"'],\s{0,3}\\{0,3}[\"'](?P<value>[^\"'\s\\\x00]{6,}+)",
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
    *_named("PASSWORD", _PASSWORD, values.is_password, values.is_bare_password),
    *_named("SECRET", _KEY, values.is_key, values.is_key),
    *_named("SECRET", rb"(?:(?-i:[A-Z0-9_]{2,40}_KEY|\bKEY))", values.is_key, values.is_key),
)
