"""Whether a value is a secret, or only stands where one would: a reference, a placeholder, a name."""

from __future__ import annotations

import re

# References, templates, calls, paths, addresses, masks.
_REFERENCE = re.compile(
    rb"\$[{(]|\{\{|#\{|%\(|^\$\w+$|^%\w+%$|^%[a-z]$|\{[^{}\"']*\}|^<[^>]*>?$|^\[[^\]]*\]$|\*{3}|\.{3}|\xe2\x80\xa6"
    rb"|^(?:process|os|env|config|settings|self|this|args|ctx|var|secrets|request|data)\.|://|^\.{0,2}/[a-z_.-]+(?:[/.]|$)|^~/"
    rb"|^[\w.]+\([^)]*\)?$|^[A-Za-z_][\w.]*\[|^--?[a-z]"
)
# Words with which documentation says "not this one".
_STAND_IN = re.compile(
    rb"(?i)example|changeme|change[-_]me|placeholder|your[-_]?|^my[-_]|xxxx|dummy|replace|redacted|insert[-_]|passw|secret"
    rb"|(?:^|[-_])(?:here|todo|none|null|true|false|undefined|test|foo|bar|baz|token)(?:$|[-_\d])|1234567|abcdefg|(.)\1{5}|^(?:sha|md|utf|base|aes|rsa|hs|rs|es)-?\d{1,4}$"
)
_ISSUED_STAND_IN = re.compile(rb"(?i)EXAMPLE|your[-_]|x{6}|placeholder|[-_]here|(.)\1{9}|1234567890abcdef$")
_LETTERS_ONLY = re.compile(rb"[A-Za-z]+(?:[_.:-][A-Za-z]+)*")
_FILE = re.compile(
    rb"\.(?:json|ya?ml|txt|pem|key|py|js|ts|go|rs|md|html?|cfg|ini|toml|csv|log|sh|env|php|c|h|dll|so)$"
)
_CODE_NAME = re.compile(
    rb"_*[A-Za-z]+\d{0,2}(?:[_.:-]+[A-Za-z]*\d{0,2})+|_+[A-Za-z\d]+|[a-z]+\d?|[\w.]+=\w*|[A-Z_]+"
)
_SEPARATORS = re.compile(rb"[^A-Za-z0-9]+")
_SEGMENT = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_CONSONANTS = re.compile(rb"(?i)[bcdfghjklmnpqrstvwxz]{7}")
_UPPER = re.compile(rb"[A-Z]")
_DIGIT_RUN = re.compile(rb"\d+")
_HEX = re.compile(
    rb"(?=[\d-]*[a-f])(?=[a-f-]*\d)(?:[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
_SIGN = re.compile(rb"[^A-Za-z0-9_./\s-]")
# `{noop}…`, `{bcrypt}…`
_SCHEME = re.compile(rb"^\{\w{2,12}\}(?=.)")
_KEBAB = re.compile(rb"[a-z]+(?:[-_.][a-z]+)+")


def is_reference(value: bytes) -> bool:
    return bool(_REFERENCE.search(value))


def is_issued(match: re.Match[bytes]) -> bool:
    """Whether what looks like an issuer's key is none of documentation's, and no name either (`sk-folding-cube-item`)."""
    return not _ISSUED_STAND_IN.search(match.group()) and not _KEBAB.fullmatch(match.group())


_DOTTED = re.compile(rb"[A-Za-z_]\w{0,30}(?:\.[A-Za-z_]\w{0,30}){1,6}|__\w+__")


_IDENTIFIER = re.compile(rb"(?i)_|-(?:key|id|token|type)\b")


def is_identifier(value: bytes) -> bool:
    """`DB_PASSWORD`, `X-API-Key`: nobody is called that."""
    return _IDENTIFIER.search(value) is not None


def is_dotted_name(value: bytes) -> bool:
    """`win32api.RegEnumKey`, `__version__`: code says where something is."""
    segments = _SEGMENT.findall(value)
    if sum(48 <= c <= 57 for c in value) > 2:
        return False
    return _DOTTED.fullmatch(value) is not None and sum(map(len, segments)) >= 2.6 * len(segments)


def is_long_name(value: bytes) -> bool:
    """`shift_scale_2arg`, `SourceBytecode_PEP451`: words and a number, joined as code joins them."""
    parts = value.split(b"_")
    is_long = len(parts) > 2 or (len(parts) == 2 and len(value) >= 20)
    if re.search(rb"[a-z]\d[A-Z]", value):
        return False
    return is_long and value.replace(b"_", b"").isalnum() and all(map(_is_wordy, parts))


def is_password(value: bytes) -> bool:
    """What stands after a password's name, in quotes or behind an unmistakable sign."""
    if len(value) < 6 or value.isdigit() or _is_no_value(value):
        return False
    if is_key(value):
        return True
    # `field2` and `utf8` are names; two digits at the end of a word make a password.
    return not _LETTERS_ONLY.fullmatch(value) and (
        not value[:-1].isalnum() or sum(48 <= c <= 57 for c in value) >= 2
    )


def is_bare_password(value: bytes) -> bool:
    """The same without quotes, where code has names and calls."""
    return is_password(value) and (is_key(value) or (len(value) >= 7 and not _CODE_NAME.fullmatch(value)))


def is_key(value: bytes) -> bool:
    """What stands after the name of a key or token: long and random."""
    if _BASE64.fullmatch(value):
        return True
    if len(value) < 12 or value.isdigit() or _is_no_value(value):
        return False
    if len(value) < 16 and sum(48 <= c <= 57 for c in value) < 2:
        return False
    if _HEX.fullmatch(value) or is_symbol_soup(value):
        return True
    return not all(_is_wordy(part) for part in _SEPARATORS.split(value))


# Dates and times, versions, addresses, amounts, tickets: what sentences have letters and digits in besides.
_ORDINARY = re.compile(
    rb"(?i)\d{2,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T_ -].*)?|\d{1,2}:\d{2}.*|v?\d+(?:\.\d+)+[\w.+-]*|\W?[\d.,]+\W?(?:[a-z]{1,6}|\W)(?:/\w+)?|\d+x\d+\w*|[a-z]{2,9}-\d+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rb"|(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?|\#\w+|(?:[0-9a-f]{7}|[0-9a-f]{8})|\d+(?:st|nd|rd|th)|[a-z]+\d{1,3}|[a-z]+:\d{1,5}|[\w.-]+:\d{2,5}|(?:[a-z]+-?\d+)(?:/[a-z]+-?\d+)+|[a-z]{2,6}-?\d{1,4}(?:-[a-z]{2,8}\d{0,3})+|[^a-z]*[\xe3-\xf4].*|q[1-4][-/ ]?\d{2,4}"
    rb"|[a-z]+[-_/.]?v?\d{1,3}|[a-z]+(?:[-_/.][a-z]+)*[-_/.]?v?\d{1,2}(?:[-_/.][a-z]+)*(?:\.\w{1,4})?|\(?\w+\)?'s"
)


def is_ordinary(value: bytes) -> bool:
    """Looks odd, and yet is what anybody may write in a sentence."""
    return _ORDINARY.fullmatch(value) is not None


def is_last_password(value: bytes) -> bool:
    """The same where nothing follows it: then it may be words with signs, as people make them up."""
    if is_bare_password(value):
        return True
    has_mark = re.search(rb"\d\d|[!#$%^&*?]", value) is not None
    return (
        has_mark and is_password(value) and len(value) >= 8 and not value[:1].isdigit() and b"@" not in value
    )


def is_long_password(value: bytes) -> bool:
    """A word and a number right behind the label, too long and too odd to be a name of something."""
    return is_odd(value) or (
        len(value) >= 9
        and is_password(value)
        and re.search(rb"\d\d\W?\Z", value) is not None
        and re.search(rb"[a-z]{4}", value) is not None
        and re.search(rb"[-_/:]", value) is None
    )


def is_odd(value: bytes) -> bool:
    """Letters and digits as no sentence has them."""
    return (
        is_bare_password(value)
        and (is_key(value) or (len(value) >= 7 and has_digit_and_letter(value)))
        and not is_ordinary(value)
    )


# Nothing but a key has this form, though it may begin as a path does.
_BASE64 = re.compile(rb"(?=[^\d]*\d)[A-Za-z0-9+/]{40,}={1,2}")


def has_digit_and_letter(value: bytes) -> bool:
    return any(48 <= c <= 57 for c in value) and any(65 <= c <= 90 or 97 <= c <= 122 for c in value)


def _is_wordy(part: bytes) -> bool:
    """`Tokenizer2`, `8x7B`, `2026`: words and numbers. In random text the case changes, or a digit comes, sooner."""
    segments = _SEGMENT.findall(part)
    letters = sum(map(len, segments))
    if len(part) <= 4 or letters * 5 < len(part):
        return True
    digits, upper = len(_DIGIT_RUN.findall(part)), len(_UPPER.findall(part))
    if (
        len(part) >= 16
        and digits > 0
        and letters < 4 * len(segments)
        and re.search(rb"[A-Za-z]\d+[A-Za-z]", part)
    ):
        return False
    if digits > 2 or (digits and letters > upper > letters * 0.35):
        return False
    return letters >= 3.2 * len(segments) and not _CONSONANTS.search(part)


def _is_no_value(value: bytes) -> bool:
    if is_symbol_soup(value):
        return False
    value = _SCHEME.sub(b"", value)
    return b" " in value or bool(_REFERENCE.search(value) or _STAND_IN.search(value) or _FILE.search(value))


def is_symbol_soup(value: bytes) -> bool:
    """Generators of salts use every printable character; then a `$` or a blank means nothing."""
    signs = set(_SIGN.findall(value))
    longest = max(map(len, _SEPARATORS.split(value)))
    return len(value) >= 24 and len(signs) >= 5 and longest <= 12 and _DIGIT_RUN.search(value) is not None
