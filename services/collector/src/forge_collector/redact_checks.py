"""What a pattern cannot say about a match: checksums, and whether a value is a secret or only stands where one would."""

from __future__ import annotations

import re

# Values that stand for a value: references, templates, masks and the words that documentation uses.
_REFERENCE = re.compile(
    r"[${<%\[(]|\*{3}|\.{3}|^(?:process|os|env|config|settings|self|this|args|ctx|var|secrets)\."
)
_STAND_INS = frozenset(
    [
        "password",
        "passwd",
        "pass",
        "secret",
        "token",
        "changeme",
        "change_me",
        "example",
        "user",
        "username",
        "xxx",
        "xxxx",
        "xxxxxx",
        "none",
        "null",
        "true",
        "false",
        "your_password",
        "your_api_key",
        "your-api-key",
        "your_token",
        "your-token",
        "my_password",
        "my-secret",
        "mypassword",
    ]
)
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*")
# A file name with a scale in it (`icon@2x.png`) is no address.
_FILE_ENDINGS = frozenset(
    ["png", "jpg", "jpeg", "svg", "gif", "webp", "css", "js", "ts", "mjs", "json", "md", "html"]
)
_DATE = re.compile(r"(?:19|20)\d{2}[ ./-](?:0?[1-9]|1[0-2])[ ./-](?:0?[1-9]|[12]\d|3[01])")
_IBAN_LETTERS = str.maketrans({chr(c): str(c - 55) for c in range(ord("A"), ord("Z") + 1)})
_CARD_LENGTHS = {"3": (14, 15), "4": (13, 16, 19), "5": (16,), "2": (16,), "6": (16, 17, 18, 19)}


def is_real_value(match: re.Match[str]) -> bool:
    value = match["value"]
    return not _REFERENCE.search(value) and value.lower() not in _STAND_INS


def is_secret_value(match: re.Match[str]) -> bool:
    """Whether an assigned value is a secret: not a reference, not a stand-in, not an ordinary identifier or number."""
    value = match["value"]
    return is_real_value(match) and not _IDENTIFIER.fullmatch(value) and not value.isdigit()


def has_digit_and_letter(match: re.Match[str]) -> bool:
    value = match["value"]
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def is_email(match: re.Match[str]) -> bool:
    address = match.group()
    local, _, host = address.partition("@")
    if host.rpartition(".")[2].lower() in _FILE_ENDINGS:
        return False
    # `git@github.com:owner/name` names a repository, not a person.
    return not (local == "git" and match.string[match.end() : match.end() + 1] in (":", "/"))


def is_iban(match: re.Match[str]) -> bool:
    account = match.group().replace(" ", "")
    if not 15 <= len(account) <= 34:
        return False
    return int((account[4:] + account[:4]).translate(_IBAN_LETTERS)) % 97 == 1


def is_card(match: re.Match[str]) -> bool:
    """An issuer's first digit and length, one kind of separator, and Luhn's checksum."""
    number = match.group()
    digits = [int(c) for c in number if c.isdigit()]
    if " " in number and "-" in number:
        return False
    if len(digits) not in _CARD_LENGTHS.get(number[0], ()):
        return False
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_phone(match: re.Match[str]) -> bool:
    return not _DATE.match(match.group())
