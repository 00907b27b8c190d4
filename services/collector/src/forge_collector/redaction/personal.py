"""Personal data that has a form of its own: addresses, phone, card and account numbers, machines' addresses."""

from __future__ import annotations

import ipaddress
import re

from stdnum import iban, luhn

from forge_collector.redaction.rule import Rule
from forge_common.contracts.domain import RedactionClass

# A file name with a scale in it (`icon@2x.png`) is no address.
_FILE_ENDINGS = frozenset(b"png jpg jpeg svg gif webp css js ts mjs json md html py sh txt yml yaml".split())
# Domains that exist for documentation only (RFC 2606, RFC 6761), and addresses that no person reads.
_NOBODYS_DOMAIN = re.compile(
    rb"(?i)(?:^|\.)(?:example\.(?:com|org|net|edu|io|co)|(?:example|test|invalid|localhost|local|localdomain)"
    rb"|(?:domain|email|yourdomain|yourcompany|company|mycompany|acme|foo|bar|host|server|site|mail)\.com|bar\.org|foo\.org)$"
)
_NOBODYS_NAME = re.compile(
    rb"(?i)^(?:no-?reply|do-?not-?reply|git|user|username|you|your[._-]?(?:name|email)|name|email)$"
)


# The password of a URL, the user of a shell on another machine.
_LOGIN_BEFORE = re.compile(rb"://[^\s/@]*:[^\s/@]*$|\b(?:ssh|scp|rsync|sftp|mosh)\s[^\n]{0,60}$")


def _is_email(match: re.Match[bytes]) -> bool:
    local, _, host = match.group().partition(b"@")
    before = match.string[max(match.start() - 120, 0) : match.start()]
    if _LOGIN_BEFORE.search(before):
        return False
    if host.rpartition(b".")[2].lower() in _FILE_ENDINGS or _NOBODYS_DOMAIN.search(host):
        return False
    # `git@github.com:owner/name` names a repository, not a person.
    return not _NOBODYS_NAME.match(local)


_CARD_LENGTHS = {"2": (16,), "3": (14, 15, 16), "4": (13, 16, 19), "5": (16,), "6": (16, 17, 18, 19)}


def _is_card(match: re.Match[bytes]) -> bool:
    """An issuer's first digit and length, one kind of separator, groups of four (or American Express's), and Luhn's sum."""
    text = re.sub(rb"\xc2\xa0|\xe2\x80.|\.|  ", b" ", match.group()).decode()
    number = "".join(c for c in text if c.isdigit())
    if len(set(text) - set("0123456789")) > 1 or len(number) not in _CARD_LENGTHS.get(number[0], ()):
        return False
    groups = re.split(r"[ -]", text)
    if (
        len(groups) > 1
        and not all(len(g) == 4 for g in groups[:-1])
        and [len(g) for g in groups] not in ([4, 6, 5], [4, 6, 4])
    ):
        return False
    return len(set(number)) > 2 and luhn.is_valid(number)


def _is_iban(match: re.Match[bytes]) -> bool:
    text = match["value"] if "value" in match.re.groupindex else match.group()
    return iban.is_valid(text.replace(b"\xc2\xa0", b" ").decode(), check_country=False)


_DATE = re.compile(rb"(?:19|20)\d{2}[ ./-](?:0?[1-9]|1[0-2])[ ./-](?:0?[1-9]|[12]\d|3[01])")


def _is_phone(match: re.Match[bytes]) -> bool:
    number = match["value"]
    digits = bytes(c for c in number if 48 <= c <= 57)
    # 555-0100 … 555-0199 are set apart for fiction, and a run of one digit is a placeholder.
    if number[1:].isdigit() and match.string[
        max(match.start("value") - 2, 0) : match.start("value")
    ].endswith((b"=", b"= ")):
        return False
    return (
        number.count(b".") != 1
        and not _DATE.match(number.lstrip(b"+"))
        and len(set(digits)) > 2
        and not re.search(rb"55501\d\d$|1234567|0000000", digits)
    )


_RESOLVERS = frozenset(
    [
        "8.8.8.8",
        "123.45.67.89",
        "8.8.4.4",
        "1.1.1.1",
        "1.0.0.1",
        "9.9.9.9",
        "208.67.222.222",
        "208.67.220.220",
        "1.2.3.4",
        "4.3.2.1",
        "5.6.7.8",
    ]
)
_ADDRESS_BEFORE = re.compile(
    rb"(?i)(?:\b(?:ip|addr(?:ess)?|host|client|server|from|to|peer|remote|ping|ssh|for|at)\W{1,4}|@|//)$"
)
_VERSION_BEFORE = re.compile(
    rb"(?i)(?:\bv|version\W{0,4}|release\W{0,4}|[=<>~^!]=\s?|/|section |oid\W{0,3}|[\w-]-)$"
)
_VERSION_SAID = re.compile(rb"(?i)(?:bump|version|firmware|upgrad|releas|driver|kernel)[^\n]{0,40}\Z")
# Three numbers so small, or four somewhat larger ones, are a version or a section.
_SMALL, _SMALLEST = 32, 10


def _is_ipv4(match: re.Match[bytes]) -> bool:
    """A public address. Four small numbers are a version unless something says otherwise."""
    text = match["value"].decode()
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    before = match.string[max(match.start("value") - 24, 0) : match.start("value")]
    if not address.is_global or address.is_multicast or text in _RESOLVERS:
        return False
    if _VERSION_SAID.search(match.string, max(match.start("value") - 48, 0), match.start("value")):
        return False
    if _ADDRESS_BEFORE.search(before):
        return True
    parts = address.packed
    if re.match(rb":\d{2,5}\b", match.string[match.end("value") : match.end("value") + 6]):
        return True
    return not _VERSION_BEFORE.search(before) and (
        max(parts) >= _SMALL and sum(part < _SMALLEST for part in parts) < 3 and parts[1:] != b"\0\0\0"
    )


def _is_ipv6(match: re.Match[bytes]) -> bool:
    try:
        address = ipaddress.IPv6Address(match.group().decode())
    except ValueError:
        return False
    return (
        address.is_global
        and not match.group().endswith(b"::")
        and str(address) not in ("2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111")
    )


def _is_mac(match: re.Match[bytes]) -> bool:
    digits = re.sub(rb"[:-]", b"", match.group()).lower()
    return len(set(digits)) > 3 and digits not in (
        b"001122334455",
        b"123456789abc",
        b"aabbccddeeff",
        b"0123456789ab",
        b"000102030405",
    )


# In front of a number: nothing that would make it part of a longer number, a name or a path.
_NUMBER = rb"(?:(?<![\w.+/=#$-])(?<!\d[ :,])|(?<=\\[nrt]))"
_PAST_NUMBER = rb"(?![\w/-]|[.,:]\d)"
_PHONE_NAME = rb"(?:tel(?:efon|ephone|\xc3\xa9phone|\xc3\xa9fono|\.)?|phone|mobile|mobil|cell|fax|handy|whatsapp|msisdn|t\xc3\xa9l|rufnummer|gsm|portable)"
_PHONE_TRIGGER = (
    rb"(?i)(?:tel|phone|mobil|cell|fax|handy|whatsapp|msisdn|t\xc3\xa9l|rufnummer|gsm|portable|fono)"
)

RULES: tuple[Rule, ...] = (
    Rule(
        "EMAIL",
        RedactionClass.CONTACT,
        trigger=rb"[A-Za-z0-9._%+-]@[A-Za-z0-9][A-Za-z0-9.-]{0,80}\.[A-Za-z]{2}",
        pattern=re.compile(
            rb"(?:(?<=\\[nrt])|(?<![A-Za-z0-9._%+\\-]))[A-Za-z0-9._%+-]{1,64}"
            rb"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b"
        ),
        back=160,
        check=_is_email,
    ),
    Rule(
        # Names and hosts in any script, and names in quotes.
        "EMAIL",
        RedactionClass.CONTACT,
        trigger=rb"(?:[\x80-\xff][A-Za-z0-9._%+-]{0,40}|\")@[A-Za-z0-9\x80-\xff]|@[A-Za-z0-9.-]{0,40}[\x80-\xff]|[\w\x80-\xff.%+\"-](?:\xef\xbc\xa0|@ )[A-Za-z0-9\x80-\xff-]",
        pattern=re.compile(
            rb"(?<![\w.%+-])(?=\"|[^\s@]{0,60}[\x80-\xff][A-Za-z0-9._%+-]{0,40}@|[^\s@]{1,64}@[A-Za-z0-9.-]{0,40}[\x80-\xff]|[^\s@]{1,64}(?:@ |\xef\xbc\xa0))(?:[\w.%+\x80-\xff-]{1,64}|\"[^\"\n\x00]{1,60}\")(?:@|@ |\xef\xbc\xa0)(?:[A-Za-z0-9\x80-\xff-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"
        ),
        back=160,
        ahead=120,
    ),
    Rule(
        # Written so that machines do not see it.
        "EMAIL",
        RedactionClass.CONTACT,
        trigger=rb"(?i)[\w]\s?(?:[\[({<]\s?(?:at|@|\xc3\xa4t|arroba|chez)\s?[\])}>]|&#0?64;|&commat;)\s?\w|\w\s(?:at|arroba)\s[\w-]{1,40}\s(?:dot|punkt|punto|point)\s\w",
        pattern=re.compile(
            rb"(?i)(?<![\w.%+-])[\w.%+-]{1,64}(?:\s?(?:[\[({<]\s?(?:at|@|\xc3\xa4t|arroba|chez)\s?[\])}>]|&#0?64;|&commat;)\s?[\w-]{1,63}(?:(?:\.|\s?[\[({<]?\s?(?:dot|punkt|punto|point|\.)\s?[\])}>]?\s?)[a-z][\w-]{1,30}){1,4}"
            rb"|\s(?:at|arroba)\s[\w-]{1,40}(?:\s(?:dot|punkt|punto|point)\s[a-z][\w-]{1,23}){1,3})"
        ),
        back=160,
        ahead=120,
    ),
    Rule(
        "IBAN",
        RedactionClass.FINANCIAL,
        trigger=rb"[A-Z]{2}\d{2}(?:[ -]|\xc2\xa0)?[A-Z0-9]{4}(?:[ -]|\xc2\xa0)?[A-Z0-9]{4}(?:[ -]|\xc2\xa0)?[A-Z0-9]{3}",
        pattern=re.compile(
            rb"(?:(?<![A-Za-z0-9])|(?<=\?\d\d))[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?![A-Za-z0-9])"
            rb"|(?<![A-Za-z0-9-])[A-Z]{2}\d{2}(?P<sign>-|\xc2\xa0)(?:[A-Z0-9]{4}(?P=sign)){2,7}[A-Z0-9]{1,4}(?![A-Za-z0-9-])"
        ),
        check=_is_iban,
    ),
    Rule(
        # In small letters only behind its name: hashes look like it too.
        "IBAN",
        RedactionClass.FINANCIAL,
        trigger=rb"(?i)iban[^a-z0-9]{0,8}[a-z]{2}\d{2}",
        pattern=re.compile(
            rb"(?i)iban[^a-z0-9]{0,8}(?P<value>[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30})(?![A-Za-z0-9])"
        ),
        check=_is_iban,
    ),
    Rule(
        "CARD",
        RedactionClass.FINANCIAL,
        trigger=rb"\d(?:[ -]?\d){12}|(?:\d{4}(?:\xc2\xa0|\xe2\x80.|\.|  )){3}\d",
        pattern=re.compile(
            rb"(?<![\w.-])(?<!\d )(?:\d(?:[ -]?\d){12,18}|\d{4}(?P<sign>\xc2\xa0|\xe2\x80[\x80-\xaf]|\.|  )\d{4}(?P=sign)\d{4}(?P=sign)\d{4})(?![\w-]|\.\d| \d{4}\b)"
        ),
        check=_is_card,
    ),
    Rule(
        "PHONE",
        RedactionClass.CONTACT,
        trigger=rb"\+\d[\d ()/.-]{7}",
        pattern=re.compile(
            rb"(?:(?<![\w.+/=-])|(?<=\n\+)|(?<=\\[nrt]))(?P<value>\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,12}|\+[1-9]\d{0,2}[ /.-]{0,3}(?:\(\d{1,4}\)[ /.-]{0,3})?\d{1,5}(?:[ /.-]{1,3}\d{1,8}){1,6})(?![\w-]|\.\d)"
        ),
        check=lambda match: sum(48 <= c <= 57 for c in match["value"]) >= 8 and _is_phone(match),
    ),
    Rule(
        # North America.
        "PHONE",
        RedactionClass.CONTACT,
        trigger=rb"\d{3}\)?[ .-]?\d{3}[ .-]\d{4}",
        pattern=re.compile(
            _NUMBER + rb"(?P<value>(?:\+?1[ .-]?)?\([2-9]\d{2}\)[ .-]?\d{3}[ .-]\d{4}"
            rb"|(?:1[ .-])?[2-9]\d{2}(?P<sign>[.-])[2-9]\d{2}(?P=sign)\d{4})" + _PAST_NUMBER
        ),
        check=_is_phone,
    ),
    Rule(
        # The national forms of Europe, Australia and Japan: they begin with a zero and come in groups.
        "PHONE",
        RedactionClass.CONTACT,
        trigger=rb"0\d{1,5}\)?[ ./-]{1,3}\d{2,5}[ .-]?\d{2}",
        pattern=re.compile(
            _NUMBER
            + rb"(?P<value>(?:\(0\d{1,5}\)|0[1-9]\d{1,4})(?: ?/ ?| )\d{3,4}[ -]?\d{2,4}(?:[ -]?\d{2,4})?|0[1-9](?P<sign>[ .])\d{2}(?:(?P=sign)\d{2}){3}"
            rb"|0\d0-\d{4}-\d{4}|0\d{1,3}-\d{3,4}-\d{4})" + _PAST_NUMBER.replace(rb"[\w/-]", rb"[\w/-]| \d")
        ),
        check=lambda match: 9 <= sum(48 <= c <= 57 for c in match["value"]) <= 12 and _is_phone(match),
    ),
    Rule(
        "PHONE",
        RedactionClass.CONTACT,
        trigger=_PHONE_TRIGGER + rb"[^\n\d]{0,30}\d[\d ()./-]{6}",
        pattern=re.compile(
            rb"(?i)"
            + _PHONE_NAME
            + rb"[^\n\d\x00{}=]{0,30}(?:[:=][^\n\d\x00]{0,4})?(?P<value>\(?\+?\d[\d ()./-]{6,20}\d)(?![\w-]|\.\d)"
        ),
        check=lambda match: 7 <= sum(48 <= c <= 57 for c in match["value"]) <= 15 and _is_phone(match),
        is_labelled=True,
    ),
    Rule(
        # Forms of single countries whose grouping nothing else has.
        "PHONE",
        RedactionClass.CONTACT,
        trigger=rb"\d{3}[- .]\d{2}[- .]\d{2}|\d{2}(?:[- ]\d{2}){3}|\(\d{2}\) ?9?\d{4}-\d{4}|1[3-9]\d-\d{4}-\d{4}|00\d{2} \d|01\d\d[. ]\d{7}",
        pattern=re.compile(
            _NUMBER
            + rb"(?P<value>8[ -]?\(?9\d{2}\)?[ -]?\d{3}[ -]\d{2}[ -]\d{2}|0[1-9]-\d{2}-\d{2}-\d{2}-\d{2}|04\d{2} \d{2} \d{2} \d{2}|07\d-\d{3} \d{2} \d{2}|\(\d{2}\) ?9?\d{4}-\d{4}"
            rb"|1[3-9]\d-\d{4}-\d{4}|00[1-9]\d \d{1,3}(?: \d{2,4}){2,5}|01[5-7]\d[.]\d{7,8})" + _PAST_NUMBER
        ),
        check=_is_phone,
    ),
    Rule(
        "IP",
        RedactionClass.NETWORK,
        trigger=rb"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d",
        pattern=re.compile(
            rb"(?:(?<![\w.])(?<!\d-)|(?<=\\[nrt]))(?P<value>\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?![\w-]|\.[\w])"
        ),
        check=_is_ipv4,
    ),
    Rule(
        "IP",
        RedactionClass.NETWORK,
        ahead=50,
        trigger=rb"[23][0-9a-fA-F]{3}:[0-9a-fA-F]{0,4}:",
        pattern=re.compile(
            rb"(?:(?<![\w:.])|(?<=\\[nrt]))[23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])"
        ),
        check=_is_ipv6,
    ),
    Rule(
        "MAC",
        RedactionClass.NETWORK,
        trigger=rb"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}",
        pattern=re.compile(
            rb"(?<![\w:-])[0-9A-Fa-f]{2}(?P<sign>[:-])[0-9A-Fa-f]{2}(?:(?P=sign)[0-9A-Fa-f]{2}){4}(?![\w:-])"
        ),
        check=_is_mac,
    ),
)
