"""Made-up values of every kind that the corpus plants, in the forms of their issuers. None of them was ever valid."""

from __future__ import annotations

import base64
import random
import string
import textwrap
from collections.abc import Callable
from datetime import date, timedelta

LETTERS, DIGITS = string.ascii_letters, string.digits
ALNUM, UPPER, HEX = LETTERS + DIGITS, string.ascii_uppercase, "0123456789abcdef"
URL = ALNUM + "-_"

Maker = Callable[[random.Random], str]


def some(rng: random.Random, n: int, alphabet: str = ALNUM) -> str:
    return "".join(rng.choice(alphabet) for _ in range(n))


def like(form: str) -> Maker:
    """`form` with each `9` a digit, `A` an upper-case letter and `a` a lower-case one."""
    alphabets = {"9": DIGITS, "A": UPPER, "a": string.ascii_lowercase}
    return lambda rng: "".join(rng.choice(alphabets.get(c, c)) for c in form)


def _token(head: str, *parts: tuple[int, str]) -> Maker:
    return lambda rng: head + "".join(some(rng, n, alphabet) for n, alphabet in parts)


def _base64(n: int) -> Maker:
    return lambda rng: base64.b64encode(rng.randbytes(n)).decode()


def _segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt(rng: random.Random) -> str:
    head = _segment('{"alg":"HS256","typ":"JWT"}')
    body = _segment(f'{{"sub":"{rng.randrange(10**9)}","iat":{rng.randrange(17 * 10**8)}}}')
    return f"{head}.{body}.{some(rng, 43, URL)}"


def _words(rng: random.Random) -> str:
    start, middle, end = (
        ["ka", "mo", "ri", "ta", "lu", "ne"],
        ["n", "r", "s", "l", "m"],
        ["do", "ga", "vi", "to", "sa"],
    )
    return rng.choice(start) + rng.choice(middle) + rng.choice(end)


def _weak(rng: random.Random) -> str:
    """As people choose them: a word, a number, perhaps a sign."""
    return _words(rng).capitalize() + str(rng.randrange(10, 2100)) + rng.choice(["!", "", "?", "#", "$1"])


def _password(rng: random.Random) -> str:
    """As a password manager makes them, without quotes, blanks and backslashes."""
    return (
        some(rng, 1, LETTERS)
        + some(rng, rng.randrange(11, 24), ALNUM + "!#%^&*-_+=?.:~")
        + some(rng, 2, DIGITS)
    )


def _pem(label: str, lines: int, *, width: int = 64, breaks: str = "\n", end: bool = True) -> Maker:
    def make(rng: random.Random) -> str:
        body = base64.b64encode(rng.randbytes(width * lines * 3 // 4 - 20)).decode()
        parts = [f"-----BEGIN {label}-----", *textwrap.wrap(body, width)]
        parts += [f"-----END {label}-----"] if end else []
        return breaks.join(parts)

    return make


def luhn(number: str) -> str:
    """`number` and its check digit."""
    total = sum(sum(divmod(2 * int(d), 10)) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(number)))
    return number + str(-total % 10)


def _card(rng: random.Random) -> str:
    head, length = rng.choice([("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("2221", 16)])
    return luhn(head + some(rng, length - 1 - len(head), DIGITS))


def _grouped_card(rng: random.Random) -> str:
    return rng.choice(" -").join(textwrap.wrap(luhn("4" + some(rng, 14, DIGITS)), 4))


def _iban(rng: random.Random) -> str:
    country, account = rng.choice(
        [
            ("DE", some(rng, 18, DIGITS)),
            ("GB", "NWBK" + some(rng, 14, DIGITS)),
            ("FR", some(rng, 10, DIGITS) + some(rng, 11, UPPER + DIGITS) + some(rng, 2, DIGITS)),
            ("NL", "ABNA" + some(rng, 10, DIGITS)),
            ("ES", some(rng, 20, DIGITS)),
            ("CH", some(rng, 17, DIGITS)),
        ]
    )
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def _email(rng: random.Random) -> str:
    local = rng.choice(["{}.{}", "{}_{}", "{}{}", "{}-{}", "{}+{}"]).format(_words(rng), _words(rng))
    return f"{local}{rng.choice(['', str(rng.randrange(99))])}@{_words(rng)}{_words(rng)}.{rng.choice(['com', 'org', 'net', 'de', 'co.uk', 'io', 'fr'])}"


def _us_phone(rng: random.Random) -> str:
    area, office, line = rng.randrange(201, 990), rng.randrange(200, 1000), rng.randrange(2000, 10000)
    return rng.choice(
        ["({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "1-{}-{}-{}", "+1 {} {} {}", "+1 ({}) {}-{}"]
    ).format(area, office, line)


def _one(*forms: str) -> Maker:
    return lambda rng: like(rng.choice(forms))(rng)


def _until(make: Maker, is_right: Callable[[str], bool]) -> Maker:
    def made(rng: random.Random) -> str:
        while not is_right(value := make(rng)):
            pass
        return value

    return made


# The checksums below are computed here, from their definitions, not with the library that the rules use.


def _weighted(number: str, weights: range | tuple[int, ...]) -> int:
    return sum(int(d) * w for d, w in zip(number, weights, strict=False))


def _nhs(rng: random.Random) -> str:
    body = _until(like("9" * 9), lambda n: n[0] in "4567" and _weighted(n, range(10, 1, -1)) % 11 != 1)(rng)
    number = body + str(-_weighted(body, range(10, 1, -1)) % 11)
    return rng.choice([f"{number[:3]} {number[3:6]} {number[6:]}", number])


def _german_tax_id(rng: random.Random) -> str:
    digits = rng.sample(DIGITS, 9)
    body = [*digits, digits[rng.randrange(9)]]
    while body[0] == "0" or any(body[i] == body[i + 1] == body[i + 2] for i in range(8)):
        rng.shuffle(body)
    product = 10
    for d in body:
        total = (int(d) + product) % 10 or 10
        product = total * 2 % 11
    number = "".join(body) + str((11 - product) % 10)
    return rng.choice([number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"])


def _french_nir(rng: random.Random) -> str:
    body = f"{rng.choice('12')}{rng.randrange(40, 99):02}{rng.randrange(1, 13):02}{rng.randrange(10, 20):02}{rng.randrange(1, 600):03}{rng.randrange(1, 999):03}"
    key = f"{97 - int(body) % 97:02}"
    return rng.choice(
        [body + key, f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}"]
    )


_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def _dni(rng: random.Random) -> str:
    number = some(rng, 8, DIGITS)
    return number + _DNI[int(number) % 23]


def _nie(rng: random.Random) -> str:
    head, number = rng.choice("XYZ"), some(rng, 7, DIGITS)
    return head + number + _DNI[int(str("XYZ".index(head)) + number) % 23]


_ODD = dict(
    zip(
        DIGITS + UPPER,
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def _codice_fiscale(rng: random.Random) -> str:
    consonants = "BCDFGLMNPRSTVZ"
    body = f"{some(rng, 6, consonants)}{rng.randrange(40, 99)}{rng.choice('ABCDEHLMPRST')}{rng.randrange(1, 29):02}H{rng.randrange(100, 999)}"
    total = sum(
        _ODD[c] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(body)
    )
    return body + UPPER[total % 26]


def _bsn(rng: random.Random) -> str:
    weights = (9, 8, 7, 6, 5, 4, 3, 2)
    body = _until(like("9" * 8), lambda n: n[0] != "0" and _weighted(n, weights) % 11 != 10)(rng)
    return body + str(_weighted(body, weights) % 11)


def _belgian(rng: random.Random) -> str:
    body = (
        f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}{rng.randrange(1, 998):03}"
    )
    return f"{body[:2]}.{body[2:4]}.{body[4:6]}-{body[6:]}.{97 - int(body) % 97:02}"


def _cpf(rng: random.Random) -> str:
    number = some(rng, 9, DIGITS)
    for length in (9, 10):
        rest = _weighted(number, range(length + 1, 1, -1)) * 10 % 11
        number += str(rest % 10)
    return rng.choice([number, f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"])


_D5 = [[(j + i) % 5 if i < 5 and j < 5 else (i + j) % 5 + 5 if i < 5 else ((i - j) % 5) + 5 if j < 5 else (i - j) % 5
        for j in range(10)] for i in range(10)]  # fmt: skip
_PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _verhoeff(number: str) -> str:
    for check in DIGITS:
        c = 0
        for i, d in enumerate(reversed(number + check)):
            p = int(d)
            for _ in range(i % 8):
                p = _PERMUTED[p]
            c = _D5[c][p]
        if c == 0:
            return number + check
    raise AssertionError(number)


def _aadhaar(rng: random.Random) -> str:
    number = _verhoeff(rng.choice("23456789") + some(rng, 10, DIGITS))
    return rng.choice([number, f"{number[:4]} {number[4:8]} {number[8:]}"])


def _sin(rng: random.Random) -> str:
    number = luhn(rng.choice("1234567") + some(rng, 7, DIGITS))
    return rng.choice(
        [number, f"{number[:3]} {number[3:6]} {number[6:]}", f"{number[:3]}-{number[3:6]}-{number[6:]}"]
    )


def _pesel(rng: random.Random) -> str:
    body = f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}{some(rng, 4, DIGITS)}"
    return body + str(-_weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def _personnummer(rng: random.Random) -> str:
    body = f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    return f"{body}-{luhn(body + some(rng, 3, DIGITS))[6:]}"


def _hetu(rng: random.Random) -> str:
    born, number = (
        f"{rng.randrange(1, 29):02}{rng.randrange(1, 13):02}{rng.randrange(40, 99)}",
        f"{rng.randrange(2, 899):03}",
    )
    return f"{born}-{number}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(born + number) % 31]}"


def _ahv(rng: random.Random) -> str:
    body = "756" + some(rng, 9, DIGITS)
    check = -sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10
    number = body + str(check)
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}"


def _ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03}-{rng.randrange(1, 100):02}-{rng.randrange(1, 10000):04}"


def _date(rng: random.Random) -> str:
    day = date(1935, 1, 1) + timedelta(days=rng.randrange(28_000))
    return day.strftime(rng.choice(["%d/%m/%Y", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%B %d, %Y"])).replace(
        " 0", " "
    )


def _ipv4(rng: random.Random) -> str:
    return f"{rng.choice([5, 23, 46, 62, 78, 85, 91, 94, 134, 178, 188, 212])}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"


def _ipv6(rng: random.Random) -> str:
    groups = [f"{rng.randrange(1, 65535):x}" for _ in range(6)]
    return rng.choice(
        [f"2a02:{':'.join(groups)}:{groups[0]}", f"2a01:4f8:{groups[0]}:{groups[1]}::{rng.randrange(1, 9)}"]
    )


_FIRST, _LAST = ["Ada", "Bo", "Chidi", "Dana", "Eszter", "Farid", "Greta", "Hugo", "Ines", "José"], [
    "Abara", "Brandt", "Castellano", "Dvorak", "Eriksen", "Fontaine", "Grabowski", "Hale", "Iwata", "Jensen-Holm", "Keller"
]  # fmt: skip
_STREETS = [
    "Maple Street",
    "Oak Avenue",
    "Station Road",
    "Elm Drive",
    "Kings Lane",
    "North Park Boulevard",
    "Mill Close",
]
_GERMAN_STREETS = ["Lindenstraße", "Goetheweg", "Marktplatz", "Kastanienallee", "Ringstr."]


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _salt(rng: random.Random) -> str:
    return some(rng, 64, ALNUM + "!@#%^&*()-_[]{}<>~+=,.;:/?| ").strip() or "x"


def _uuid(rng: random.Random) -> str:
    return "-".join(some(rng, n, HEX) for n in (8, 4, 4, 4, 12))


# Keys that say themselves whose they are: each is planted in every document that has a slot for "key".
KEYS: dict[str, Maker] = {
    "openai key": _token("sk-", (48, ALNUM)),
    "openai project key": _token("sk-" + "proj-", (74, URL)),
    "anthropic key": _token("sk-" + "ant-api03-", (93, URL), (2, "A")),
    "openrouter key": _token("sk-" + "or-v1-", (64, HEX)),
    "stripe key": _token("sk_" + "live_", (24, ALNUM)),
    "stripe restricted key": _token("rk_" + "live_", (24, ALNUM)),
    "stripe webhook secret": _token("whsec_", (32, ALNUM)),
    "aws access key id": _token("AK" + "IA", (16, UPPER + "234567")),
    "google api key": _token("AI" + "za", (35, URL)),
    "google oauth token": _token("ya" + "29.", (80, URL)),
    "google client secret": _token("GOC" + "SPX-", (28, URL)),
    "github token": _token("gh" + "p_", (36, ALNUM)),
    "github app token": _token("gh" + "s_", (36, ALNUM)),
    "github fine-grained token": _token("github_" + "pat_", (22, ALNUM), (1, "_"), (59, ALNUM)),
    "gitlab token": _token("gl" + "pat-", (20, URL)),
    "slack token": lambda rng: "xo" + f"xb-{some(rng, 12, DIGITS)}-{some(rng, 13, DIGITS)}-{some(rng, 24)}",
    "hugging face token": _token("h" + "f_", (34, LETTERS)),
    "npm token": _token("np" + "m_", (36, ALNUM)),
    "pypi token": _token("py" + "pi-", (1, "A"), (120, URL)),
    "sendgrid key": lambda rng: "S" + f"G.{some(rng, 22, URL)}.{some(rng, 43, URL)}",
    "twilio key": _token("S" + "K", (32, HEX)),
    "mailgun key": _token("ke" + "y-", (32, HEX)),
    "digitalocean token": _token("do" + "p_v1_", (64, HEX)),
    "shopify token": _token("shp" + "at_", (32, HEX)),
    "telegram bot token": lambda rng: (
        f"{some(rng, 1, '123456789')}{some(rng, 9, DIGITS)}:A" + f"A{some(rng, 33, URL)}"
    ),
    "groq key": _token("gs" + "k_", (52, ALNUM)),
    "xai key": _token("xa" + "i-", (80, ALNUM)),
    "replicate token": _token("r" + "8_", (37, ALNUM)),
    "databricks token": _token("da" + "pi", (32, HEX)),
    "linear key": _token("lin_" + "api_", (40, ALNUM)),
    "vault token": _token("hv" + "s.", (95, URL)),
    "grafana token": lambda rng: "gl" + f"sa_{some(rng, 32)}_{some(rng, 8, HEX)}",
    "new relic key": _token("NR" + "AK-", (27, UPPER + DIGITS)),
    "atlassian token": _token("ATA" + "TT3", (180, URL), (1, "="), (8, HEX)),
    "square token": _token("EA" + "AA", (60, URL)),
    "docker token": _token("dckr_" + "pat_", (27, URL)),
    "postman key": lambda rng: "PM" + f"AK-{some(rng, 24, HEX)}-{some(rng, 34, HEX)}",
    "nvidia key": _token("nv" + "api-", (64, URL)),
    "age key": _token("AGE-SECRET-" + "KEY-1", (58, UPPER + DIGITS)),
    "jwt": _jwt,
}
SECRETS: dict[str, Maker] = {
    **KEYS,
    "private key": _pem("RSA " + "PRIVATE KEY", 5),
    "private key, escaped": _pem("PRIVATE " + "KEY", 5, breaks="\\n"),
    "private key, cut off": _pem("EC PRIVATE " + "KEY", 3, end=False),
    "ssh private key": _pem("OPENSSH PRIVATE " + "KEY", 4, width=70),
    "pgp private key": lambda rng: _pem("PGP PRIVATE " + "KEY BLOCK", 5)(rng).replace("-----\n", "-----\n\n", 1),
    "slack webhook": lambda rng: "https://hooks.sl" + f"ack.com/services/T{some(rng, 8, UPPER)}/B{some(rng, 8, UPPER)}/{some(rng, 24)}",
    "discord webhook": lambda rng: "https://disc" + f"ord.com/api/webhooks/{some(rng, 18, '123456789')}/{some(rng, 68, URL)}",
    "teams webhook": lambda rng: f"https://{_words(rng)}.webhook.off" + f"ice.com/webhookb2/{_uuid(rng)}@{_uuid(rng)}/IncomingWebhook/{some(rng, 32, HEX)}/{_uuid(rng)}",
    "azure storage key": _base64(64),
    "azuresecret": lambda rng: f"{some(rng, 3)}8Q~{some(rng, 34, URL + '.~')}",
    "password": _password,
    "password_in_call": lambda rng: _password(rng).replace("'", "x"),
    "weak": _weak,
    "url_password": lambda rng: some(rng, 1, LETTERS) + some(rng, rng.randrange(9, 22), ALNUM + "-_.!~") + "7",
    "urlparam": lambda rng: some(rng, 16, ALNUM + "-_.") + "4a",
    "connpass": lambda rng: some(rng, 1, LETTERS) + some(rng, 14, ALNUM + "!#%^*-_.") + "5",
    "npmrc_token": lambda rng: rng.choice([_uuid, _base64(30)])(rng),
    "basicauth": lambda rng: base64.b64encode(f"{_words(rng)}:{_password(rng)}".encode()).decode(),
    "alnum16": lambda rng: some(rng, 14) + some(rng, 1, DIGITS) + some(rng, 1, LETTERS),
    "alnum32": _token("", (32, ALNUM)),
    "alnum40": _token("", (40, ALNUM)),
    "hex32": _token("", (32, HEX)),
    "hex40": _token("", (40, HEX)),
    "hex64": _token("", (64, HEX)),
    "hexuuid": _uuid,
    "base40": _token("", (40, ALNUM + "/+")),
    "base64_24": _base64(16),
    "base64_44": _base64(32),
    "base64long": _base64(240),
    "urlbase64": lambda rng: _base64(32)(rng).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    "djangokey": _token("", (50, string.ascii_lowercase + DIGITS + "!@#%^&*(-_=+)")),
    "wpkey": _salt,
}  # fmt: skip


PERSONAL: dict[str, Maker] = {
    "email": _email,
    "us phone": _us_phone,
    "uk phone": lambda rng: rng.choice(["020 7{0} {1}", "+44 20 7{0} {1}", "0161 {0} {1}"]).format(some(rng, 3, DIGITS), some(rng, 4, DIGITS)),
    "uk mobile": lambda rng: rng.choice(["07{} {}", "+44 7{} {}"]).format(some(rng, 3, "3456789"), some(rng, 6, DIGITS)),
    "german phone": _one("+49 151 99999999", "030 9999999", "0151 99999999", "+49 30 999999", "0221/999999", "089 / 9999 9999"),
    "french phone": _one("01 99 99 99 99", "06 99 99 99 99", "+33 6 99 99 99 99", "04.99.99.99.99"),
    "spanish phone": _one("+34 699 999 999", "+34 919 999 999"),
    "italian phone": _one("+39 339 9999999", "+39 02 9999 9999"),
    "indian phone": _one("+91 98999 99999", "+91-98999-99999"),
    "australian phone": _one("+61 4 9999 9999", "0499 999 999", "(02) 9999 9999"),
    "brazilian phone": _one("+55 11 99999-9999", "(11) 99999-9999"),
    "international phone": _one("+41 79 999 99 99", "+48 699 999 999", "+81 90-9999-9999", "+86 139 9999 9999", "+316 99999999"),
    "phone, plain national": _one("4159999999", "0171 9999999", "079 999 99 99", "698999999"),
    "phone, bare digits": lambda rng: "1415" + some(rng, 7, "23456789"),
    "card": _card,
    "card, bare": lambda rng: luhn("4" + some(rng, 14, DIGITS)),
    "card, grouped": _grouped_card,
    "iban": _iban,
    "iban, grouped": lambda rng: " ".join(textwrap.wrap(_iban(rng), 4)),
    "us ssn": _ssn,
    "uk nino": lambda rng: rng.choice(["{}{}{}{}C", "{} {} {} {} A"]).format(rng.choice(["AB", "JG", "SE", "TY"]), *(some(rng, 2, DIGITS) for _ in range(3))),
    "uk nhs": _nhs,
    "german tax id": _german_tax_id,
    "french nir": _french_nir,
    "spanish dni": _dni,
    "spanish nie": _nie,
    "italian codice fiscale": _codice_fiscale,
    "dutch bsn": _bsn,
    "belgian nn": _belgian,
    "brazilian cpf": _cpf,
    "indian aadhaar": _aadhaar,
    "indian pan": lambda rng: some(rng, 3, UPPER) + "P" + some(rng, 1, UPPER) + "1" + some(rng, 3, DIGITS) + some(rng, 1, UPPER),
    "canadian sin": _sin,
    "polish pesel": _pesel,
    "swedish personnummer": _personnummer,
    "finnish hetu": _hetu,
    "swiss ahv": _ahv,
    "passport number": _one("C99AA9999", "999999999", "AA9999999", "X9999999"),
    "driving licence": _one("A9999999", "D999-9999-9999", "999999999"),
    "date of birth": _date,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "mac address": lambda rng: ":".join(some(rng, 2, HEX) for _ in range(6)),
    "person": _person,
    "surname": lambda rng: rng.choice(_LAST),
    "mrn": _one("99999999", "A999999", "99-99-999"),
    "street address": lambda rng: f"{rng.randrange(2, 999)} {rng.choice(_STREETS)}, {rng.choice(['Springfield', 'Leeds', 'Portland'])}",
    "german street address": lambda rng: f"{rng.choice(_GERMAN_STREETS)} {rng.randrange(1, 99)}, {rng.randrange(10000, 99999)} Ulm",
}  # fmt: skip
MAKERS: dict[str, Maker] = SECRETS | PERSONAL
