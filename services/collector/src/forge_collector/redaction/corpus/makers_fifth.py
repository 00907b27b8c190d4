"""Made-up values for the fifth, blind set: further issuers, network gear, wallets, more countries. None was ever valid."""

from __future__ import annotations

import base64
import hashlib
import random
import string
from collections.abc import Callable
from datetime import date, timedelta
from importlib import import_module

from forge_collector.redaction.corpus.issued.forms import form, one_of
from forge_collector.redaction.corpus.makers import ALNUM, DIGITS, HEX, UPPER, URL, Maker, luhn, some

_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_B64 = ALNUM + "+/"


def _base58check(payload: bytes) -> str:
    raw = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(raw), ""
    while number:
        number, rest = divmod(number, 58)
        text = _B58[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def _wif(rng: random.Random) -> str:
    return _base58check(b"\x80" + rng.randbytes(32) + rng.choice([b"", b"\x01"]))


def _xprv(rng: random.Random) -> str:
    return _base58check(bytes.fromhex("0488ade4") + bytes(9) + rng.randbytes(32) + b"\0" + rng.randbytes(32))


def _nsec(rng: random.Random) -> str:
    bits = int.from_bytes(rng.randbytes(32)) << 4
    data = [(bits >> (5 * i)) & 31 for i in range(51, -1, -1)]

    def polymod(values: list[int]) -> int:
        check = 1
        for value in values:
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ value
            for i, gen in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= gen if (top >> i) & 1 else 0
        return check

    expanded = [ord(c) >> 5 for c in "nsec"] + [0] + [ord(c) & 31 for c in "nsec"]
    mod = polymod(expanded + data + [0] * 6) ^ 1
    return "nsec1" + "".join(_BECH[d] for d in data + [(mod >> 5 * (5 - i)) & 31 for i in range(6)])


def _byte_array(rng: random.Random) -> str:
    return ",".join(str(b) for b in rng.randbytes(64))


def _bitlocker(rng: random.Random) -> str:
    return "-".join(f"{rng.randrange(1, 65536) * 11:06d}" for _ in range(8))


def _lines(count: int, width: int, alphabet: str, head: str = "", tail: str = "") -> Maker:
    return lambda rng: head + "\n".join(some(rng, width, alphabet) for _ in range(count)) + tail


def _cisco7(rng: random.Random) -> str:
    xlat = b"dsfd;kfoA,.iyewrkldJKDHSUBsgvca69834ncxv9873254k;fg87"
    seed, clear = rng.randrange(16), some(rng, rng.randrange(8, 13)).encode()
    return f"{seed:02d}" + "".join(f"{c ^ xlat[(seed + i) % len(xlat)]:02X}" for i, c in enumerate(clear))


def _elastic(rng: random.Random) -> str:
    return base64.b64encode(f"{some(rng, 20, URL)}:{some(rng, 22, URL)}".encode()).decode()


def _dockerauth(rng: random.Random) -> str:
    return base64.b64encode(f"ci-{some(rng, 4, string.ascii_lowercase)}:{some(rng, 24)}".encode()).decode()


_EN = (
    "sunny",
    "Harley",
    "otter",
    "Liverpool",
    "biscuit",
    "Daisy",
    "banjo",
    "Fluffy",
    "toffee",
    "Rover",
    "Winter",
    "Madrid",
)
_DE = ("Sommer", "Kaffee", "Biene", "Hamburg", "Drachen", "Keks", "Segel", "Moritz")


def _casual(words: tuple[str, ...]) -> Maker:
    """As people make them up at a keyboard; always with a digit or a sign."""

    def make(rng: random.Random) -> str:
        first, second = rng.sample(words, 2)
        return rng.choice((
            f"{first}{rng.randrange(1950, 2026)}",
            f"{first}{second}{rng.randrange(10, 99)}",
            f"{first}_{second}!",
            f"{first.replace('o', '0').replace('i', '1')}{rng.randrange(100, 999)}$",
            f"{first.lower()}.{second.lower()}.{rng.randrange(10, 99)}",
        ))  # fmt: skip

    return make


def _urlsafe_pass(rng: random.Random) -> str:
    """A password as it stands in a URL, its special characters percent-encoded."""
    return (
        some(rng, 6) + rng.choice(("%40", "%23", "%24", "%21", "%2F")) + some(rng, 7) + some(rng, 1, DIGITS)
    )


def _paseto(rng: random.Random) -> str:
    return f"v4.local.{some(rng, 120, URL)}"


def _jwe(rng: random.Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"RSA-OAEP-256","enc":"A256GCM"}').decode().rstrip("=")
    return ".".join((head, some(rng, 342, URL), some(rng, 16, URL), some(rng, 90, URL), some(rng, 22, URL)))


def _kube_jwt(rng: random.Random) -> str:
    def segment(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = segment('{"alg":"RS256","kid":"' + some(rng, 43, URL) + '"}')
    claims = segment(
        '{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:default:deployer","jti":"'
        + some(rng, 12)
        + '"}'
    )
    return f"{head}.{claims}.{some(rng, 342, URL)}"


SECRETS: dict[str, Maker] = {
    "5 appsync key": form("da2-{lower:26}"),
    "5 azure devops": form("{lower:52}"),
    "5 cloudflare token": form("{url:40}"),
    "5 cloudflare global": form("{hex:37}"),
    "5 origin ca": form("v1.0-{hex:24}-{hex:146}"),
    "5 vault root": form("hvs.{alnum:24}"),
    "5 heroku": form("HRKU-AA{url:58}"),
    "5 pagerduty": form("u+{url:18}"),
    "5 paypal secret": form("E{url:79}"),
    "5 plaid secret": form("{hex:30}"),
    "5 fcm server key": form("AAAA{url:7}:APA91b{url:134}"),
    "5 trello token": form("ATTA{hex:72}"),
    "5 jenkins token": form("11{hex:32}"),
    "5 rancher token": form("token-{lower:5}:{lower:54}"),
    "5 kubeadm token": form("{lower:6}.{lower:16}"),
    "5 swarm token": form("SWMTKN-1-{lower:50}-{lower:25}"),
    "5 elastic api key": _elastic,
    "5 confluent secret": form("{b64:64}"),
    "5 dropbox": form("sl.{url:136}"),
    "5 pushover": form("{lower:30}"),
    "5 plex": form("{url:20}"),
    "5 ngrok": form("2{alnum:26}_{alnum:21}"),
    "5 paystack": form("sk_live_{hex:40}"),
    "5 mollie": form("live_{alnum:30}"),
    "5 braintree": form("access_token$production${lower:16}${hex:32}"),
    "5 cloudinary secret": form("{url:27}"),
    "5 gitlab deploy": form("gldt-{url:20}"),
    "5 gitlab ci job": form("glcbt-64_{url:20}"),
    "5 vercel": form("{alnum:24}"),
    "5 expo": form("{url:40}"),
    "5 mistral": form("{alnum:32}"),
    "5 cohere": form("{alnum:40}"),
    "5 together": form("{hex:64}"),
    "5 phpsessid": form("{lower:26}"),
    "5 jsessionid": form("{HEX:32}"),
    "5 aspnet session": form("{lower:24}"),
    "5 long url token": form("{url:64}"),
    "5 reset token": form("{url:32}"),
    "5 private ics": form("{hex:32}"),
    "5 zoom pwd": form("{alnum:31}.1"),
    "5 ed25519 jwk d": form("{url:43}"),
    "5 rsa jwk d": form("{url:342}"),
    "5 paseto": _paseto,
    "5 jwe": _jwe,
    "5 kube jwt": _kube_jwt,
    "5 bitcoin wif": _wif,
    "5 xprv": _xprv,
    "5 nsec": _nsec,
    "5 byte array": _byte_array,
    "5 bitlocker": _bitlocker,
    "5 filevault": lambda rng: "-".join(some(rng, 4, UPPER + DIGITS) for _ in range(6)),
    "5 putty lines": _lines(8, 64, _B64),
    "5 openvpn static": _lines(16, 32, HEX, "-----BEGIN OpenVPN Static key V1-----\n", "\n-----END OpenVPN Static key V1-----"),
    "5 cisco type 7": _cisco7,
    "5 cisco type 9": lambda rng: f"$9${some(rng, 14, ALNUM + './')}${some(rng, 43, ALNUM + './')}",
    "5 yescrypt": lambda rng: f"$y$j9T${some(rng, 22, ALNUM + './')}${some(rng, 43, ALNUM + './')}",
    "5 apr1": lambda rng: f"$apr1${some(rng, 8, ALNUM + './')}${some(rng, 22, ALNUM + './')}",
    "5 casual": _casual(_EN),
    "5 casual de": _casual(_DE),
    "5 url-encoded password": _urlsafe_pass,
    "5 docker auth": _dockerauth,
    "5 wpa psk": form("{hex:64}"),
    "5 fritz key": form("{d:20}"),
    "5 router key": form("{d:4}-{d:4}-{d:4}-{d:4}-{d:4}"),
    "5 github recovery": form("{hex:5}-{hex:5}"),
    "5 google backup": form("{d:4} {d:4}"),
    "5 dkim key": lambda rng: "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "\n".join(some(rng, 64, _B64) for _ in range(12)) + "\n" + some(rng, 38, _B64) + "==\n-----END RSA PRIVATE " + "KEY-----",
    "5 dsa one line": lambda rng: "-----BEGIN PRIVATE " + "KEY----- " + " ".join(some(rng, 64, _B64) for _ in range(6)) + " -----END PRIVATE " + "KEY-----",
    "5 ed25519 pem": lambda rng: "-----BEGIN PRIVATE " + "KEY-----\nMC4CAQAwBQYDK2VwBCIEI" + some(rng, 42, _B64) + "=\n-----END PRIVATE " + "KEY-----",
    "5 quoted-line key": lambda rng: "-----BEGIN RSA PRIVATE " + "KEY-----\n> " + "\n> ".join(some(rng, 64, _B64) for _ in range(8)) + "\n> -----END RSA PRIVATE " + "KEY-----",
}  # fmt: skip


def _checked(draw: Maker, country: str, module: str) -> Maker:
    is_valid: Callable[[str], bool] = import_module(f"stdnum.{country}.{module}").is_valid

    def make(rng: random.Random) -> str:
        while not is_valid(text := draw(rng)):
            pass
        return text

    return make


def _born(rng: random.Random) -> date:
    return date(1945, 1, 1) + timedelta(days=rng.randrange(19_500))


def _birth(pattern: str, tail: str) -> Maker:
    return lambda rng: _born(rng).strftime(pattern) + form(tail)(rng)


def _grouped(maker: Maker, *cuts: int, sep: str = " ") -> Maker:
    def make(rng: random.Random) -> str:
        text, pieces = maker(rng), []
        for cut in cuts:
            pieces.append(text[:cut])
            text = text[cut:]
        return sep.join([*pieces, text] if text else pieces)

    return make


def _mod97(body: str, country: str) -> str:
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    return f"{country}{98 - number % 97:02d}{body}"


def _belgian_bban(rng: random.Random) -> str:
    body = rng.choice(("001", "363", "733", "068")) + some(rng, 7, DIGITS)
    return body + f"{int(body) % 97 or 97:02d}"


def _spanish_bban(rng: random.Random) -> str:
    bank, account = rng.choice(("2100", "0049", "0182", "1465")) + some(rng, 4, DIGITS), some(rng, 10, DIGITS)

    def check(digits: str) -> str:
        rest = 11 - sum(int(d) * w for d, w in zip(digits, (1, 2, 4, 8, 5, 10, 9, 7, 3, 6), strict=True)) % 11
        return {10: "1", 11: "0"}.get(rest, str(rest))

    return bank + check("00" + bank) + check(account) + account


def _norwegian_bban(rng: random.Random) -> str:
    while True:
        body = some(rng, 10, DIGITS)
        rest = -sum(int(d) * w for d, w in zip(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
        if rest < 10:
            return body + str(rest)


_BBANS: dict[str, Maker] = {
    "BE": _belgian_bban,
    "ES": _spanish_bban,
    "NO": _norwegian_bban,
    "PL": form("{d:24}"),
    "SE": form("{d:20}"),
    "DK": form("{d:14}"),
    "IT": form("X05428111010{d:11}"),
    "PT": form("0035{d:17}"),
    "IE": form("AIBK9311{d:10}"),
    "CZ": form("0800{d:16}"),
    "TR": form("000620{d:16}"),
    "LU": form("001{d:13}"),
    "AT": form("{d:16}"),
    "DE": form("{d:18}"),
    "FR": form("30004{d:18}"),
    "NL": form("INGB000{d:7}"),
    "CH": form("00762{d:12}"),
    "GB": form("BARC20{d:12}"),
}


def _iban(country: str) -> Maker:
    return lambda rng: _mod97(_BBANS[country](rng), country)


def _fours(maker: Maker) -> Maker:
    return _grouped(maker, *[4] * 9)


def _pieces(maker: Maker) -> Maker:
    return lambda rng: _fours(maker)(rng).strip()


def _luhn_of(*heads: str, length: int = 16) -> Maker:
    def make(rng: random.Random) -> str:
        head = rng.choice(heads)
        return luhn(head + some(rng, length - len(head) - 1, DIGITS))

    return make


def _south_african(rng: random.Random) -> str:
    return luhn(_born(rng).strftime("%y%m%d") + some(rng, 4, DIGITS) + "08")


def _public(rng: random.Random) -> str:
    return f"{rng.choice((81, 86, 89, 93, 109, 151, 176, 186, 195, 217))}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}.{rng.randrange(2, 254)}"


_LOCALS = (
    "kirsten",
    "m.oduya",
    "t_hallberg",
    "jpbrunel",
    "info.kanzlei",
    "r-dasgupta",
    "lea99",
    "sven.o",
    "a.k.petrov",
    "yuki.n",
    "praxis",
    "mama.bear",
    "d'souza",
)
_DOMAINS = (
    "web.de",
    "wanadoo.fr",
    "libero.it",
    "wp.pl",
    "seznam.cz",
    "bluewin.ch",
    "icloud.com",
    "hotmail.co.uk",
    "yahoo.co.jp",
    "uol.com.br",
    "mail.ru",
    "qq.com",
    "ziggo.nl",
    "telia.se",
    "outlook.com.tr",
    "terra.es",
    "sapo.pt",
)


def _home_mail(rng: random.Random) -> str:
    return f"{rng.choice([name for name in _LOCALS if chr(39) not in name])}{rng.choice(('', some(rng, 2, DIGITS)))}@{rng.choice(_DOMAINS)}"


def _work_mail(rng: random.Random) -> str:
    host = rng.choice(
        ("brandvik", "oakmere-legal", "st-anna-klinik", "hollins.partners", "notaria-lopez", "kumiko-design")
    )
    return f"{rng.choice(string.ascii_lowercase)}.{rng.choice(('nakamura', 'oyelaran', 'fischbach', 'lemaire', 'sorensen', 'moretti'))}@{host}.{rng.choice(('eu', 'com', 'legal', 'org', 'co'))}"


def _obfuscated(rng: random.Random) -> str:
    name, host = _home_mail(rng).split("@")
    return f"{name} [at] {host.replace('.', ' [dot] ')}"


_AREAS = ("212", "305", "312", "404", "415", "503", "602", "617", "713", "808", "903", "917")


def _american(rng: random.Random) -> str:
    area, office, line = (
        rng.choice(_AREAS),
        f"{rng.randrange(2, 10)}{some(rng, 2, '02345678')}",
        some(rng, 4, DIGITS),
    )
    return rng.choice((
        f"({area}) {office}-{line}",
        f"{area}.{office}.{line}",
        f"{area}-{office}-{line}",
        f"+1 {area}-{office}-{line}",
        f"1 ({area}) {office} {line}",
        f"{area} {office} {line}",
    ))  # fmt: skip


def _nric(rng: random.Random) -> str:
    number = some(rng, 7, DIGITS)
    total = sum(int(d) * w for d, w in zip(number, (2, 7, 6, 5, 4, 3, 2), strict=True))
    return "S" + number + "JZIHGFEDCBA"[total % 11]


def _snils(rng: random.Random) -> str:
    body = f"{rng.randrange(2_000_000, 999_999_999):09d}"
    check = sum(int(d) * w for d, w in zip(body, range(9, 0, -1), strict=True)) % 101 % 100
    return f"{body[:3]}-{body[3:6]}-{body[6:]} {check:02d}"


def _my_number(rng: random.Random) -> str:
    body = some(rng, 11, DIGITS)
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    rest = sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11
    number = body + str(0 if rest <= 1 else 11 - rest)
    return f"{number[:4]} {number[4:8]} {number[8:]}"


def _taiwanese(rng: random.Random) -> str:
    letter = rng.choice(UPPER)
    code = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    body = rng.choice("12") + some(rng, 7, DIGITS)
    total = code // 10 + code % 10 * 9 + sum(int(d) * w for d, w in zip(body, range(8, 0, -1), strict=True))
    return letter + body + str(-total % 10)


def _hkid(rng: random.Random) -> str:
    letter, body = rng.choice("ABCDEGKPRVYZ"), some(rng, 6, DIGITS)
    total = (
        36 * 9 + (ord(letter) - 55) * 8 + sum(int(d) * w for d, w in zip(body, range(7, 1, -1), strict=True))
    )
    return f"{letter}{body}({'0123456789A'[-total % 11]})"


def _medicare(rng: random.Random) -> str:
    body = rng.choice("23456") + some(rng, 7, DIGITS)
    check = sum(int(d) * w for d, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9), strict=True)) % 10
    return f"{body[:4]} {body[4:]}{check} {rng.randrange(1, 6)}"


def _mbi(rng: random.Random) -> str:
    letters = "ACDEFGHJKMNPQRTUVWXY"
    kinds = {"C": "123456789", "A": letters, "N": DIGITS, "B": letters + DIGITS}
    text = "".join(rng.choice(kinds[c]) for c in "CABNABNAANN")
    return f"{text[:4]}-{text[4:7]}-{text[7:]}"


def _rvnr(rng: random.Random) -> str:
    letter = rng.choice(UPPER)
    body = f"{rng.randrange(10, 29)}{_born(rng):%d%m%y}{letter}{rng.randrange(0, 99):02d}"
    digits = body[:8] + f"{ord(letter) - 64:02d}" + body[9:]
    products = (int(d) * w for d, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    number = body + str(sum(sum(divmod(p, 10)) for p in products) % 10)
    return f"{number[:2]} {number[2:8]} {number[8]} {number[9:]}"


def _kvnr(rng: random.Random) -> str:
    letter, body = rng.choice(UPPER), some(rng, 8, DIGITS)
    digits = f"{ord(letter) - 64:02d}{body}"
    total = sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(digits))
    return f"{letter}{body}{total % 10}"


PERSONAL: dict[str, Maker] = {
    "5 mail, home": _home_mail,
    "5 mail, work": _work_mail,
    "5 mail, obfuscated": _obfuscated,
    "5 mail, unicode": lambda rng: rng.choice(("jörg.müller", "zoë.lefèvre", "łukasz", "søren")) + some(rng, 2, DIGITS) + "@" + rng.choice(("bücherstube.de", "example-mail.fr", "poczta.pl")),
    "5 phone se": one_of(form("070-{d:3} {d:2} {d:2}"), form("+46 70 {d:3} {d:2} {d:2}"), form("08-5{d:2} {d:3} {d:2}")),
    "5 phone no": one_of(form("+47 91{d:1} {d:2} {d:3}"), form("+47 41{d:6}")),
    "5 phone dk": form("+45 22 6{d:1} {d:2} {d:2}"),
    "5 phone fi": one_of(form("+358 40 {d:3} {d:4}"), form("+358 50 {d:7}")),
    "5 phone pt": one_of(form("+351 91{d:1} {d:3} {d:3}"), form("+351 21 {d:3} {d:4}")),
    "5 phone nl": one_of(form("+31 6 2{d:7}"), form("06-1{d:7}"), form("06 - 53 {d:2} {d:2} {d:2}")),
    "5 phone gr": form("+30 69{d:1} {d:3} {d:4}"),
    "5 phone tr": one_of(form("0532 {d:3} {d:2} {d:2}"), form("+90 53{d:1} {d:3} {d:2} {d:2}"), form("(0212) 2{d:2} {d:2} {d:2}")),
    "5 phone ru": one_of(form("+7 (916) {d:3}-{d:2}-{d:2}"), form("8 (495) 7{d:2}-{d:2}-{d:2}"), form("8-921-{d:3}-{d:2}-{d:2}")),
    "5 phone ua": form("+380 67 {d:3} {d:2} {d:2}"),
    "5 phone cz": form("+420 602 {d:3} {d:3}"),
    "5 phone pl": one_of(form("+48 22 6{d:2} {d:2} {d:2}"), form("50{d:1} {d:3} {d:3}"), form("60{d:1}-{d:3}-{d:3}")),
    "5 phone hu": form("+36 30 {d:3} {d:4}"),
    "5 phone ro": form("+40 72{d:1} {d:3} {d:3}"),
    "5 phone ie": one_of(form("+353 87 {d:3} {d:4}"), form("086 {d:3} {d:4}"), form("(01) 6{d:2} {d:4}")),
    "5 phone be": one_of(form("+32 47{d:1} {d:2} {d:2} {d:2}"), form("0486 {d:2} {d:2} {d:2}")),
    "5 phone it": one_of(form("+39 34{d:1} {d:3} {d:4}"), form("338 {d:3} {d:4}"), form("347 {d:7}")),
    "5 phone es": one_of(form("+34 63{d:1} {d:2} {d:2} {d:2}"), form("65{d:1} {d:3} {d:3}")),
    "5 phone fr": one_of(form("06.{d:2}.{d:2}.{d:2}.{d:2}"), form("+33 (0)7 81 {d:2} {d:2} {d:2}"), form("0767{d:6}"), form("02-4{d:1}-{d:2}-{d:2}-{d:2}")),
    "5 phone de": one_of(form("0176 {d:8}"), form("+49 (0) 40 / 37 {d:2} {d:2} - 0"), form("+49/172/{d:7}"), form("0761-4{d:2} {d:3}"), form("(089) 54 {d:2} {d:2} {d:2}")),
    "5 phone at": form("+43 (0)1 512 {d:2} {d:2}"),
    "5 phone ch": one_of(form("078 {d:3} {d:2} {d:2}"), form("+41 (0)44 2{d:2} {d:2} {d:2}")),
    "5 phone uk": one_of(form("01865 2{d:5}"), form("(0131) 55{d:1} {d:4}"), form("+44 (0) 7712 {d:6}"), form("0117 9{d:2} {d:4}")),
    "5 phone us": _american,
    "5 phone us ext": lambda rng: f"({rng.choice(_AREAS)}) {rng.randrange(2, 10)}{some(rng, 2, '02345678')}-{some(rng, 4, DIGITS)} ext. {rng.randrange(100, 999)}",
    "5 phone mx": one_of(form("+52 55 5{d:3} {d:4}"), form("(33) 3{d:3} {d:4}")),
    "5 phone ar": form("+54 9 11 5{d:3}-{d:4}"),
    "5 phone cl": form("+56 9 8{d:3} {d:4}"),
    "5 phone co": form("+57 31{d:1} {d:3} {d:4}"),
    "5 phone br": one_of(form("(21) 9{d:4}-{d:4}"), form("+55 (31) 9{d:4}-{d:4}"), form("11 9{d:4} {d:4}")),
    "5 phone za": one_of(form("+27 82 {d:3} {d:4}"), form("083 {d:3} {d:4}")),
    "5 phone ng": one_of(form("+234 803 {d:3} {d:4}"), form("0803{d:7}")),
    "5 phone ke": form("+254 7{d:2} {d:6}"),
    "5 phone il": one_of(form("+972-54-4{d:2}-{d:4}"), form("052-4{d:6}")),
    "5 phone ae": form("+971 50 {d:3} {d:4}"),
    "5 phone in": one_of(form("+91 94{d:3} {d:5}"), form("098{d:8}")),
    "5 phone pk": form("+92 300 {d:7}"),
    "5 phone cn": one_of(form("138{d:8}"), form("+86 186-{d:4}-{d:4}")),
    "5 phone tw": form("0912-{d:3}-{d:3}"),
    "5 phone hk": form("+852 96{d:2} {d:4}"),
    "5 phone sg": form("+65 91{d:2} {d:4}"),
    "5 phone kr": one_of(form("010-4{d:3}-{d:4}"), form("+82 10-3{d:3}-{d:4}")),
    "5 phone jp": one_of(form("080-{d:4}-{d:4}"), form("03-5{d:3}-{d:4}"), form("+81-3-6{d:3}-{d:4}")),
    "5 phone nz": one_of(form("021 {d:3} {d:4}"), form("+64 27 {d:3} {d:4}")),
    "5 phone au": one_of(form("0412 {d:3} {d:3}"), form("(03) 9{d:3} {d:4}"), form("+61 (0)2 9{d:3} {d:4}")),
    "5 phone ph": form("+63 917 {d:3} {d:4}"),
    "5 visa": _luhn_of("4012", "4147", "4658"),
    "5 visa, fours": _pieces(_luhn_of("4012", "4147", "4658")),
    "5 visa, dotted": _grouped(_luhn_of("4266", "4751"), 4, 4, 4, 4, sep="."),
    "5 mastercard": _luhn_of("5204", "5354", "5433", "2720"),
    "5 mastercard, fours": _pieces(_luhn_of("5204", "5354", "5433")),
    "5 amex": _luhn_of("3712", "3782", length=15),
    "5 amex, spaced": _grouped(_luhn_of("3712", "3456", length=15), 4, 6, 5),
    "5 diners": _grouped(_luhn_of("3608", "3614", length=14), 4, 6, 4),
    "5 jcb": _pieces(_luhn_of("3530", "3566")),
    "5 discover": _grouped(_luhn_of("6011", "6445"), 4, 4, 4, 4, sep="-"),
    **{f"5 iban {c.lower()}": _iban(c) for c in _BBANS},
    **{f"5 iban {c.lower()}, fours": _pieces(_iban(c)) for c in _BBANS},
    "5 rodne cislo": _checked(_birth("%y%m%d", "/{d:4}"), "cz", "rc"),
    "5 romanian cnp": _checked(lambda rng: rng.choice("12") + _born(rng).strftime("%y%m%d") + rng.choice(("12", "27", "40")) + some(rng, 4, DIGITS), "ro", "cnp"),
    "5 bulgarian egn": _checked(_birth("%y%m%d", "{d:4}"), "bg", "egn"),
    "5 croatian oib": _checked(form("{d:11}"), "hr", "oib"),
    "5 slovenian emso": _checked(lambda rng: _born(rng).strftime("%d%m9%y") + "50" + some(rng, 4, DIGITS), "si", "emso"),
    "5 greek amka": _checked(_birth("%d%m%y", "{d:5}"), "gr", "amka"),
    "5 estonian isikukood": _checked(lambda rng: rng.choice("34") + _born(rng).strftime("%y%m%d") + some(rng, 4, DIGITS), "ee", "ik"),
    "5 lithuanian kodas": _checked(lambda rng: rng.choice("34") + _born(rng).strftime("%y%m%d") + some(rng, 4, DIGITS), "lt", "asmens"),
    "5 icelandic kennitala": _checked(_birth("%d%m%y", "-{d:3}9"), "is_", "kennitala"),
    "5 chilean rut": _checked(form("1{d:1}.{d:3}.{d:3}-{d:1}"), "cl", "rut"),
    "5 argentine cuit": _checked(form("20-{d:8}-{d:1}"), "ar", "cuit"),
    "5 south african id": _checked(_south_african, "za", "idnr"),
    "5 israeli id": _checked(form("0{d:8}"), "il", "idnr"),
    "5 chinese id": _checked(lambda rng: rng.choice(("110101", "310104", "440305")) + _born(rng).strftime("%Y%m%d") + some(rng, 3, DIGITS) + rng.choice(DIGITS + "X"), "cn", "ric"),
    "5 singapore nric": _nric,
    "5 malaysian nric": _checked(lambda rng: _born(rng).strftime("%y%m%d") + "-" + rng.choice(("10", "14", "01")) + "-" + some(rng, 4, DIGITS), "my", "nric"),
    "5 thai id": _checked(form("{d:1}-{d:4}-{d:5}-{d:2}-{d:1}"), "th", "pin"),
    "5 nz ird": _checked(form("{d:2}-{d:3}-{d:3}"), "nz", "ird"),
    "5 russian snils": _snils,
    "5 russian inn": _checked(form("77{d:10}"), "ru", "inn"),
    "5 japanese my number": _my_number,
    "5 taiwanese id": _taiwanese,
    "5 hong kong id": _hkid,
    "5 pesel": _checked(_birth("%y%m%d", "{d:5}"), "pl", "pesel"),
    "5 personnummer long": _checked(_birth("%Y%m%d", "-{d:4}"), "se", "personnummer"),
    "5 turkish id": _checked(form("{d:11}"), "tr", "tckimlik"),
    "5 medicare au": _medicare,
    "5 medicare us": _mbi,
    "5 steuer-id": _grouped(_checked(form("{d:11}"), "de", "idnr"), 2, 3, 3, 3),
    "5 rentennummer": _rvnr,
    "5 kvnr": _kvnr,
    "5 nino": lambda rng: rng.choice(("AE", "CL", "HM", "NR", "WK")) + some(rng, 6, DIGITS) + rng.choice("ABCD"),
    "5 nino, spaced": lambda rng: rng.choice(("AE", "CL", "HM", "NR")) + " " + " ".join(some(rng, 2, DIGITS) for _ in range(3)) + " " + rng.choice("ABCD"),
    "5 ssn": lambda rng: f"{rng.choice([n for n in range(101, 728) if n != 666])}-{rng.randrange(11, 99)}-{rng.randrange(1001, 9999)}",
    "5 ssn, bare": lambda rng: f"{rng.choice([n for n in range(101, 728) if n != 666])}{rng.randrange(11, 99)}{rng.randrange(1001, 9999)}",
    "5 ssn, spaced": lambda rng: f"{rng.choice([n for n in range(101, 728) if n != 666])} {rng.randrange(11, 99)} {rng.randrange(1001, 9999)}",
    "5 ip": _public,
    "5 ip, port": _public,
    "5 ip6": lambda rng: f"2003:e{some(rng, 1, HEX)}:{some(rng, 3, '123456789')}{some(rng, 1, HEX)}:{some(rng, 4, '123456789abcdef')}:{some(rng, 4, '123456789abcdef')}:{some(rng, 4, '123456789abcdef')}:{some(rng, 4, '123456789abcdef')}:{some(rng, 4, '123456789abcdef')}",
    "5 ip6, short": lambda rng: f"2001:41d0:{some(rng, 3, '123456789abcdef')}::{some(rng, 3, '123456789abcdef')}",
}  # fmt: skip


MAKERS = SECRETS | PERSONAL
