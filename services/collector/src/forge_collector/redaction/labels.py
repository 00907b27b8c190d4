"""What secrets are called, in code and in the languages that people speak. Finds where such a name ends; judges no value."""

from __future__ import annotations

import re
from functools import lru_cache

from forge_collector.redaction.matching import Expressions

# Long enough to be no part of another word: found within names too (`dbPassword`, `PGPASSWORD`).
_PASSWORDS = (
    r"passw(?:or)?d|passwrod|passowrd|pas?s?word|pssword|paswort|secert|authtok|palavra[ -]?passe|parola d.ordine|passphrase|passcode|passwort|passw\x{f6}rt|kennwort|kennw\x{f6}rt|zugangscode|zugangsdaten|mots?[ _-]?de[ _-]?passe|mot2passe"
    r"|contrase(?:\x{f1}|n|ny)a|wachtwoord|has\x{142}[oaem]|l\x{f6}senord|losenord|adgangskode|passord|salasana|jelsz(?:\x{f3}|o)|\x{15f}ifre|lozinka|parole?za|geslo"
    r"|\x{43f}\x{430}\x{440}\x{43e}\x{43b}|\x{43b}\x{43e}\x{437}\x{438}\x{43d}\x{43a}|\x{43a}\x{43b}\x{44e}\x{447}|\x{5bc6}\x{7801}|\x{5bc6}\x{78bc}|\x{53e3}\x{4ee4}|\x{30d1}\x{30b9}\x{30ef}\x{30fc}\x{30c9}"
    r"|\x{6697}\x{8a3c}|\x{be44}\x{bc00}\x{bc88}\x{d638}|\x{c554}\x{d638}|m\x{1ead}t[ _-]?kh\x{1ea9}u|kata[ _-]?(?:sandi|laluan)|\x{3ba}\x{3c9}\x{3b4}\x{3b9}\x{3ba}\x{3cc}"
    r"|\x{643}\x{644}\x{645}\x{629} (?:\x{627}\x{644})?(?:\x{645}\x{631}\x{648}\x{631}|\x{633}\x{631})|\x{5e1}\x{5d9}\x{5e1}\x{5de}|\x{92a}\x{93e}\x{938}\x{935}\x{930}\x{94d}\x{921}|\x{e23}\x{e2b}\x{e31}\x{e2a}\x{e1c}\x{e48}\x{e32}\x{e19}|\x{631}\x{645}\x{632}"
    r"|schl(?:\x{fc}|ue)ssel|secret|credential|identified by|requirepass"
)
# Short ones stand at a boundary of words, or of a name's parts.
_SHORT = r"pass|pwd|pw|psk|mdp|senha|heslo|clave|parola|haslo|sifre|kod|kulcssz\x{f3}|passwd|pswd|pword|passkey|login code|p/w|creds?"
_SHORT_CAMEL = r"Pass|Pwd|Pw|Psk|Creds|Senha|Heslo|Clave|Parola|Haslo|Sifre"
_KEYS = r"token|tokne|toekn|api[ _.-]?kye|verification[ _-]?code|jeton|api[ _.-]?key|access[ _.-]?key|account[ _.-]?key|auth[ _.-]?key|private[ _.-]?key|signing[ _.-]?key|encrypt(?:ion)?[ _.-]?key|master[ _.-]?key|secret[ _.-]?key|session[ _.-]?(?:id|key)|signature|bearer|authorization|licen[cs]e[ _.-]?key|secret|credential|passphrase|instrumentation[ _.-]?key"
_SHORT_KEYS = r"key|auth|salt|pepper|sid|sig|sess|session|jwt|pat|hmac|apikey|otp|cookie|dsn|seed|nonce|csrf|xsrf|csrftoken|remember|login"
_SHORT_KEYS_CAMEL = r"Key|Auth|Salt|Pepper|Sid|Sig|Jwt|Pat"


def _utf8(pattern: str) -> str:
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), pattern)


def in_any_case(pattern: str) -> bytes:
    """Letters beyond ASCII as units of their bytes, in both cases, of which a pattern of bytes knows nothing."""
    return "".join(c if ord(c) < 128 else _either(c) for c in pattern).encode()


def _either(letter: str) -> str:
    upper, lower = letter.upper(), letter.lower()
    return f"(?:{lower}|{upper})" if len(upper) == 1 and upper != lower else f"(?:{letter})"


_LONG_PASSWORD, _LONG_KEY = in_any_case(_utf8(_PASSWORDS)), in_any_case(_utf8(_KEYS))
_SHORT_PASSWORD = in_any_case(_utf8(_SHORT))


# A word by itself is a name only when something joins it to a value.
_JOINED = rb"(?:[^ A-Za-z]| [^A-Za-z]| (?:is|was|ist|est|es) | [A-Za-z]{0,20}\d)"


def _label(long: bytes, short: bytes, camel: bytes, joined: bytes = b"") -> bytes:
    in_name = rb"(?:[_.0-9-]|-D)(?i:" + short + rb")"
    alone = rb"(?:^|[^A-Za-z_.0-9-])(?i:" + short + rb")" + joined
    return rb"(?:(?i:" + long + rb")|" + in_name + rb"|" + alone + rb"|[a-z](?:" + camel + rb"))"


_PASSWORD = _label(_LONG_PASSWORD, _SHORT_PASSWORD, _SHORT_CAMEL.encode())
_KEY = _label(_LONG_KEY, _SHORT_KEYS.encode(), _SHORT_KEYS_CAMEL.encode(), _JOINED)
PASSWORDS, KEYS = _PASSWORD, _KEY
# Near a label must be what no word has: a digit beside a letter or a sign; without a digit only what is assigned and ends with a
# sign. What a byte is, as one letter: a letter, a digit, what may end a password, what a number stands behind, another sign.
_REACH = 150
_SHAPE = bytes(
    ord("a") if chr(c).isalpha() and c < 128 else ord("0") if 48 <= c <= 57
    else ord("!") if c in b"!#$%*?" else ord(" ") if c in b"([=,/'\" \t\n\r\f\v" else ord("-")
    for c in range(256)
)  # fmt: skip
_MARKED = re.compile(rb"[^\n:=]{0,30}[:=][ ]?[\"'`]?[^\s\"'`]{5,40}[!#$%*?](?=[\s\"'`<\\]|\Z)")
_JOIN = re.compile(_JOINED + rb"\Z")
_PASSWORD_NAMES, _KEY_NAMES = 0, 1
# Small letters right behind a label make another word of it: `secretary`, `tokenizer`, `passenger`.
_INFLECTED = re.compile(rb"(?:s|es|n|en|et|t)?(?![a-z])")
_HEAD = 40
NAMES = Expressions("names-of-secrets", {_PASSWORD_NAMES: _PASSWORD, _KEY_NAMES: _KEY})
_OTHERS = re.compile(
    rb"(?i)(?:(?<![a-z])|(?<=[_.-]))(?:publi[cs]\w*|cache|primary|foreign|partition|sort|row|index|idempoten\w*|object|registry|integrity|site|next|page|continuation|cursor|sync|hot|map|dict|group"
    rb"|order|lookup|translation|i18n|query|event|pub|s3|unique|pad|eos|bos|unk|sep|cls|mask|special|prompt|completion|total|input|output|max|min|num|re|un|non)[ _.-]?$"
)
_ANOTHER_WORD = re.compile(
    rb"(?i)(?:by|com|sur|tres|over|under|band|low|high|multi|single|one|two|first|second|forward|backward)[ _-]?pass$"
)
# `pass` by itself is a word of all kinds: `passValue`, `the pass (in`.
_PASS = re.compile(rb"(?i)(?<![a-z0-9_.-])pass$")
_GOES_ON = re.compile(
    rb"(?i)s?[ \t]{0,12}(?:[=:\[\"'|>),\]<.\\\xe2-]|\xc2)|s?\s+(?:is|was|as|string|str|varchar)\b|s? (?=[^\s]*\d)|\r?\n[ ]{0,2}(?=\S{6,40}(?:\r?\n|\Z))"
)
# A name that is itself a stretch of base64.
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{24}\Z")
_LONGEST_NAME = len(b"credential")
_NAME_BEFORE = re.compile(
    rb"(?i)(?:secret|token|jeton|key|auth|salt|pepper|sid|sig|sess(?:ion)?|jwt|pat|hmac|cookie|credential|signature)$"
)


def ends(text: bytes, start: int, end: int, *, is_password: bool) -> list[int]:
    """Where names of secrets end in `text[start:end]`, in order."""
    found: dict[int, list[int]] = {}
    NAMES.find(text[start:end], found)
    of_names = (
        end_of_name(text, start + at) for at in found.get(_PASSWORD_NAMES if is_password else _KEY_NAMES, ())
    )
    return [at for at in of_names if is_word(text, at)]


def end_of_name(text: bytes, at: int) -> int:
    """Where the name ends whose find ended at `at`: what joins it to a value may have been found with it."""
    last = text[at - 1 : at]
    if last >= b"\x80" or last.isalpha():
        return at
    if last != b" " and not last.isdigit():
        # What nearly all of them are: one sign, and perhaps a space before it.
        return at - 2 if text[at - 2 : at - 1] == b" " else at - 1
    found = _JOIN.search(text, max(at - 24, 0), at)
    return found.start() if found else at


def is_near_a_value(text: bytes, at: int) -> bool:
    """Whether it is worth to look closer at what follows the name that ends at `at`."""
    shape = text[at - 1 : at + _REACH].translate(_SHAPE)
    if b"0" not in shape:
        return b"!" in shape and _MARKED.match(text, at) is not None
    return b"a0" in shape or b"0a" in shape or b"-0" in shape or b"!0" in shape


@lru_cache(maxsize=4096)
def title(text: bytes) -> bool | None:
    """Whether a column of this title has keys (True) or passwords (False); None when it has neither."""
    for is_password in (True, False):
        if any(
            not text[at:].strip(b"s ") or is_password
            for at in ends(text + b"|", 0, len(text) + 1, is_password=is_password)
        ):
            return not is_password
    return None


def is_word(text: bytes, at: int) -> bool:
    """Whether the name that ends at `at` is a whole word: letters right behind it make another of it."""
    last, following = text[at - 1 : at], text[at : at + 1]
    if last.isupper() and following.isupper():
        return following == b"S" and not text[at + 1 : at + 2].isupper()
    return not (last.islower() and following.islower()) or _INFLECTED.match(text, at) is not None


def is_secrets(text: bytes, at: int) -> bool:
    """Whether what stands before the name leaves it a secret's: not `public key`, `primary key`, `bypass`."""
    head = text[max(at - _HEAD, 0) : at]
    # Asked of many names: each expression sees only the bytes that it is about.
    is_pass = head[-4:].lower() == b"pass"
    if is_pass and (_ANOTHER_WORD.search(head) or (_PASS.search(head) and not _GOES_ON.match(text, at))):
        return False
    if _ENCODED.match(head[-24:]) and not head[-24:].isalpha():
        return False
    word = _NAME_BEFORE.search(head, len(head) - _LONGEST_NAME if len(head) > _LONGEST_NAME else 0)
    return word is None or _OTHERS.search(head[: word.start()]) is None
