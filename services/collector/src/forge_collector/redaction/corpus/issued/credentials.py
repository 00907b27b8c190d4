"""What no vendor's form betrays: passwords, private keys, tokens, hashes, codes."""

from __future__ import annotations

import base64
import random
import string

from forge_collector.redaction.corpus.issued.forms import ALPHABETS, form, groups, one_of
from forge_collector.redaction.corpus.makers import ALNUM, DIGITS, UPPER, URL, Maker, some

_WORDS = [
    "copper",
    "lantern",
    "violin",
    "harbour",
    "meadow",
    "thunder",
    "velvet",
    "orchid",
    "pepper",
    "castle",
    "marble",
    "falcon",
    "ginger",
    "saddle",
    "tunnel",
    "walnut",
    "rocket",
    "mirror",
    "glacier",
    "pigeon",
    "cactus",
    "ribbon",
    "anchor",
    "blanket",
    "candle",
    "dolphin",
    "engine",
    "feather",
    "garlic",
    "hammer",
]


def _words(rng: random.Random, count: int) -> list[str]:
    return [rng.choice(_WORDS) for _ in range(count)]


def _strong(rng: random.Random) -> str:
    body = some(rng, 9, ALNUM) + rng.choice("!%*_-.") + some(rng, 4, ALNUM) + rng.choice("!?*_")
    return rng.choice(UPPER) + body + rng.choice(DIGITS)


def _human(rng: random.Random) -> str:
    first, second = _words(rng, 2)
    return rng.choice((
        f"{first.title()}{second.title()}{rng.randrange(10, 99)}!",
        f"{first}-{second}-{rng.randrange(100, 999)}",
        f"{first.title()}#{rng.randrange(1000, 9999)}",
        f"{first}{rng.randrange(1900, 2030)}*",
    ))  # fmt: skip


def _pem(label: str, breaks: str = "\n") -> Maker:
    def make(rng: random.Random) -> str:
        lines = [some(rng, 64, ALNUM + "+/") for _ in range(12)] + [some(rng, 42, ALNUM + "+/") + "=="]
        return breaks.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])

    return make


def _jwt(rng: random.Random) -> str:
    def segment(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = segment('{"typ":"JWT","alg":"RS256","kid":"' + some(rng, 6) + '"}')
    claims = segment('{"sub":"' + some(rng, 12) + '","exp":17' + some(rng, 8, DIGITS) + "}")
    return f"{head}.{claims}.{some(rng, 86, URL)}"


def _base64_of(maker: Maker) -> Maker:
    return lambda rng: base64.b64encode(maker(rng).encode()).decode()


def _pair(rng: random.Random) -> str:
    return f"{rng.choice(_WORDS)}:{_strong(rng)}"


MAKERS: dict[str, Maker] = {
    "lower24": form("{alnum:24}"),
    "alnum20": form("{alnum:20}"),
    "alnum64": form("{alnum:64}"),
    "alnum32k": form("{alnum:32}"),
    "sha1crypt": form("$1${alnum:4}${alnum:22}"),
    "alnum48": form("{alnum:48}"),
    "pgp key": _pem("PGP PRIVATE KEY BLOCK"),
    "lower52": form("{lower:52}"),
    "url43": form("{url:43}"),
    "uuid": form("{hex:8}-{hex:4}-4{hex:3}-b{hex:3}-{hex:12}"),
    "age": form("AGE-SECRET-KEY-1{bech:58}"),
    "rsa key": _pem("RSA PRIVATE KEY"),
    "pkcs8 key": _pem("PRIVATE KEY"),
    "ec key": _pem("EC PRIVATE KEY"),
    "openssh key": _pem("OPENSSH PRIVATE KEY"),
    "encrypted key": _pem("ENCRYPTED PRIVATE KEY"),
    "key with \\n": _pem("PRIVATE KEY", "\\n"),
    "indented key": _pem("PRIVATE KEY", "\n    "),
    "base64 of a key": _base64_of(_pem("PRIVATE KEY")),
    "base64 of a password": _base64_of(_strong),
    "basic": _base64_of(_pair),
    "user:password": _pair,
    "jwt, rs256": _jwt,
    "strong": _strong,
    "human": _human,
    "passphrase": lambda rng: " ".join(_words(rng, 5)),
    "mnemonic": lambda rng: " ".join(_words(rng, 12)),
    "recovery code": one_of(groups(2, 5, ALPHABETS["lower"]), groups(2, 4, DIGITS), groups(3, 4, ALPHABETS["UPPER"])),
    "totp": form("{b32:32}"),
    "otp": form("{d:6}"),
    "pin": form("{d:4}"),
    "licence key": groups(5, 5, ALPHABETS["UPPER"]),
    "app password": groups(4, 4, string.ascii_lowercase, " "),
    "ethereum key": form("0x{hex:64}"),
    "bcrypt": form("$2y$10${alnum:53}"),
    "sha512 crypt": form("$6${alnum:16}${alnum:86}"),
    "mysql hash": form("*{HEX:40}"),
    "wireguard": form("{b64:42}o="),
    "session": form("{url:48}"),
    "signed cookie": form("s%3A{url:32}.{alnum:43}"),
    "flask cookie": form("eyJ{alnum:40}.Z{url:5}.{url:27}"),
    "signature": form("{hex:64}"),
    "laravel key": form("base64:{b64:43}="),
    "rails master": form("{hex:32}"),
    "django": lambda rng: "django-insecure-" + some(rng, 50, string.ascii_lowercase + DIGITS + "!@#%^&*(-_=+)"),
}  # fmt: skip
