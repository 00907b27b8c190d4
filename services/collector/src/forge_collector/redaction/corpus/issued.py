"""Made-up values of kinds and forms that the first two sets did not have: today's vendors, more countries. None was ever valid."""

from __future__ import annotations

import base64
import ipaddress
import random
import re
import string
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from stdnum.at import vnr
from stdnum.br import cpf
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp

from forge_collector.redaction.corpus.makers import ALNUM, DIGITS, HEX, UPPER, URL, Maker, luhn, some

_ALPHABETS = {
    "alnum": ALNUM,
    "url": URL,
    "hex": HEX,
    "HEX": HEX.upper(),
    "d": DIGITS,
    "A": UPPER,
    "a": string.ascii_lowercase,
    "lower": string.ascii_lowercase + DIGITS,
    "UPPER": UPPER + DIGITS,
    "b32": UPPER + "234567",
    "b64": ALNUM + "+/",
    "bech": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}
_FIELD = re.compile(r"\{(\w+):(\d+)\}")


def form(text: str) -> Maker:
    """`text` with each `{alphabet:n}` replaced by n characters of it."""
    return lambda rng: _FIELD.sub(lambda found: some(rng, int(found[2]), _ALPHABETS[found[1]]), text)


def one_of(*makers: Maker) -> Maker:
    return lambda rng: rng.choice(makers)(rng)


def _words(rng: random.Random, count: int) -> list[str]:
    return [rng.choice(_WORDS) for _ in range(count)]


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


def _groups(count: int, size: int, alphabet: str, sep: str = "-") -> Maker:
    return lambda rng: sep.join(some(rng, size, alphabet) for _ in range(count))


SECRETS: dict[str, Maker] = {
    "anthropic": form("sk-ant-api03-{url:93}AA"),
    "anthropic oauth": form("sk-ant-oat01-{url:86}AA"),
    "openai project": form("sk-proj-{url:74}T3BlbkFJ{url:74}"),
    "openai service": form("sk-svcacct-{url:58}T3BlbkFJ{url:58}"),
    "groq": form("gsk_{alnum:52}"),
    "xai": form("xai-{alnum:80}"),
    "perplexity": form("pplx-{alnum:48}"),
    "deepseek": form("sk-{hex:32}"),
    "openrouter": form("sk-or-v1-{hex:64}"),
    "fireworks": form("fw_{alnum:24}"),
    "cerebras": form("csk-{lower:48}"),
    "huggingface": form("hf_{alnum:34}"),
    "replicate": form("r8_{alnum:37}"),
    "elevenlabs": form("sk_{hex:48}"),
    "voyage": form("pa-{url:43}"),
    "jina": form("jina_{hex:32}{alnum:28}"),
    "langsmith": form("lsv2_pt_{hex:32}_{hex:10}"),
    "langfuse": form("sk-lf-{hex:8}-{hex:4}-4{hex:3}-a{hex:3}-{hex:12}"),
    "tavily": form("tvly-dev-{alnum:32}"),
    "pinecone": form("pcsk_{alnum:6}_{alnum:60}"),
    "nvidia": form("nvapi-{url:64}"),
    "wandb": form("{hex:40}"),
    "aws access": form("AKIA{b32:16}"),
    "aws temporary": form("ASIA{b32:16}"),
    "aws secret": form("{b64:40}"),
    "aws session": form("IQoJb3JpZ2luX2Vj{b64:300}=="),
    "bedrock key": form("ABSKQmVkcm9ja0FQSUtleS{alnum:90}="),
    "google api": form("AIzaSy{url:33}"),
    "google oauth secret": form("GOCSPX-{url:28}"),
    "google access": form("ya29.a0{url:120}"),
    "google refresh": form("1//0{url:60}"),
    "azure storage": form("{b64:86}=="),
    "azure client secret": form("{alnum:3}8Q~{url:34}"),
    "azure sas": form("{alnum:20}%2B{alnum:18}%2F{alnum:1}%3D"),
    "azure openai": form("{hex:32}"),
    "github classic": form("ghp_{alnum:36}"),
    "github fine": form("github_pat_{alnum:22}_{alnum:59}"),
    "github app": form("ghs_{alnum:36}"),
    "gitlab": form("glpat-{url:20}"),
    "gitlab routable": form("glpat-{url:27}.01.{lower:9}"),
    "gitlab runner": form("glrt-{url:20}"),
    "bitbucket": form("ATBB{alnum:32}"),
    "atlassian": form("ATATT3xFfGF0{url:171}={HEX:8}"),
    "slack bot": form("xoxb-{d:12}-{d:13}-{alnum:24}"),
    "slack app": form("xapp-1-A{UPPER:10}-{d:13}-{hex:64}"),
    "slack hook": form("https://hooks.slack.com/services/T{UPPER:10}/B{UPPER:10}/{alnum:24}"),
    "slack workflow": form("https://hooks.slack.com/triggers/T{UPPER:10}/{d:13}/{hex:32}"),
    "discord hook": form("https://discord.com/api/webhooks/{d:19}/{url:68}"),
    "discord bot": form("MT{alnum:24}.G{alnum:5}.{url:38}"),
    "telegram bot": form("7{d:9}:AA{url:33}"),
    "google chat hook": form("https://chat.googleapis.com/v1/spaces/{alnum:11}/messages?key=AIzaSy{url:33}&token={url:43}"),
    "zapier hook": form("https://hooks.zapier.com/hooks/catch/{d:7}/{lower:7}/"),
    "stripe": form("sk_live_51{alnum:97}"),
    "stripe restricted": form("rk_live_51{alnum:97}"),
    "stripe webhook": form("whsec_{alnum:32}"),
    "adyen": form("AQE{alnum:60}-{b64:43}=-{alnum:16}"),
    "square": form("EAAA{url:60}"),
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
    "sendgrid": form("SG.{url:22}.{url:43}"),
    "mailgun": form("{hex:32}-{hex:8}-{hex:8}"),
    "mailchimp": form("{hex:32}-us14"),
    "brevo": form("xkeysib-{hex:64}-{alnum:16}"),
    "resend": form("re_{alnum:8}_{alnum:24}"),
    "shopify": form("shpat_{hex:32}"),
    "npm": form("npm_{alnum:36}"),
    "pypi": form("pypi-AgEIcHlwaS5vcmc{url:150}"),
    "rubygems": form("rubygems_{hex:48}"),
    "crates": form("cio{alnum:32}"),
    "nuget": form("oy2{lower:43}"),
    "docker": form("dckr_pat_{url:27}"),
    "vault": form("hvs.CAESI{url:90}"),
    "terraform cloud": form("{alnum:14}.atlasv1.{url:67}"),
    "pulumi": form("pul-{hex:40}"),
    "digitalocean": form("dop_v1_{hex:64}"),
    "netlify": form("nfp_{alnum:36}"),
    "fly": form("FlyV1 fm2_lJPE{b64:200}"),
    "render": form("rnd_{alnum:32}"),
    "supabase": form("sbp_{hex:40}"),
    "supabase secret": form("sb_secret_{url:31}"),
    "planetscale": form("pscale_tkn_{url:43}"),
    "neon": form("napi_{lower:64}"),
    "databricks": form("dapi{hex:32}"),
    "grafana": form("glsa_{alnum:32}_{hex:8}"),
    "grafana cloud": form("glc_eyJ{alnum:120}"),
    "new relic": form("NRAK-{UPPER:27}"),
    "sentry": form("sntrys_eyJ{alnum:140}_{b64:43}"),
    "posthog": form("phx_{alnum:43}"),
    "linear": form("lin_api_{alnum:40}"),
    "notion": form("ntn_{d:11}{alnum:35}"),
    "airtable": form("pat{alnum:14}.{hex:64}"),
    "figma": form("figd_{url:40}"),
    "asana": form("2/{d:16}/{d:16}:{hex:32}"),
    "doppler": form("dp.st.prd.{alnum:43}"),
    "1password": form("ops_eyJ{alnum:200}"),
    "age": form("AGE-SECRET-KEY-1{bech:58}"),
    "tailscale": form("tskey-auth-{alnum:16}CNTRL-{alnum:32}"),
    "mapbox": form("sk.eyJ1Ijoi{alnum:50}.{url:22}"),
    "okta": form("00{url:40}"),
    "contentful": form("CFPAT-{url:43}"),
    "buildkite": form("bkua_{hex:40}"),
    "circleci": form("CCIPAT_{alnum:22}_{hex:40}"),
    "sonar": form("sqp_{hex:40}"),
    "artifactory": form("cmVmdGtu{alnum:56}"),
    "jfrog key": form("AKCp{alnum:69}"),
    "dynatrace": form("dt0c01.{b32:24}.{b32:64}"),
    "typeform": form("tfp_{alnum:44}_{alnum:14}"),
    "hubspot": form("pat-na1-{hex:8}-{hex:4}-{hex:4}-{hex:4}-{hex:12}"),
    "facebook": form("EAAG{alnum:160}"),
    "twitter bearer": form("AAAAAAAAAAAAAAAAAAAAA{alnum:40}%3D{alnum:50}"),
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
    "recovery code": one_of(_groups(2, 5, _ALPHABETS["lower"]), _groups(2, 4, DIGITS), _groups(3, 4, _ALPHABETS["UPPER"])),
    "totp": form("{b32:32}"),
    "otp": form("{d:6}"),
    "pin": form("{d:4}"),
    "licence key": _groups(5, 5, _ALPHABETS["UPPER"]),
    "app password": _groups(4, 4, string.ascii_lowercase, " "),
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

_FIRST = [
    "Amélie",
    "Björn",
    "Çelik",
    "Dimitra",
    "Eoghan",
    "Fatoumata",
    "Gudrun",
    "Hiroko",
    "Ingeborg",
    "Jérôme",
    "Katarzyna",
    "Lucía",
    "Mbali",
    "Nikolai",
    "Oluwaseun",
    "Petronella",
    "Quentin",
    "Rosalind",
    "Siobhan",
    "Takumi",
    "Ulrike",
    "Vikram",
    "Wilhelmina",
    "Ximena",
    "Yusuf",
    "Zuzana",
    "Harriet",
    "Malcolm",
    "Noor",
    "Desmond",
]
_FAMILY = [
    "Achterberg",
    "Bartoszek",
    "Castellanos",
    "Delacroix",
    "Eichinger",
    "Fitzwilliam",
    "Grønlund",
    "Hasegawa",
    "Iturralde",
    "Jankowiak",
    "Kowalczyk",
    "Lindqvist",
    "Mukherjee",
    "Niedermayer",
    "Okonkwo",
    "Papadakis",
    "Quintero",
    "Rautenberg",
    "Szymanski",
    "Tremblay",
    "Uchida",
    "Villeneuve",
    "Wetherby",
    "Yilmaz",
    "Zabolotny",
    "Whitlock",
    "Pemberton",
    "Ashdown",
    "Marchetti",
    "Osei",
]


def _name(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_FAMILY)}"


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isascii() and c.isalpha()) or "someone"


def _mail(rng: random.Random) -> str:
    first, last = _plain(rng.choice(_FIRST)), _plain(rng.choice(_FAMILY))
    domain = rng.choice(
        ("posteo.de", "gmx.at", "orange.fr", "telefonica.net", "btinternet.com", "proton.me", "kth.se")
    )
    return rng.choice((
        f"{first}.{last}@{domain}",
        f"{first[0]}{last}+news{rng.randrange(9)}@{domain}",
        f"{last}_{first}@mail.{_plain(rng.choice(_FAMILY))}-group.co.uk",
        f"{first}.{last}@{_plain(rng.choice(_FAMILY))}.museum",
        f"{first.upper()}.{last.upper()}@{domain.upper()}",
    ))  # fmt: skip


def _phone(*forms: str) -> Maker:
    return one_of(*(form(text) for text in forms))


def _iban(country: str, body: str) -> Maker:
    def make(rng: random.Random) -> str:
        bban = form(body)(rng)
        digits = "".join(str(int(c, 36)) for c in bban + country + "00")
        return f"{country}{98 - int(digits) % 97:02d}{bban}"

    return make


def _spaced(maker: Maker, size: int = 4, sep: str = " ") -> Maker:
    def make(rng: random.Random) -> str:
        text = maker(rng)
        return sep.join(text[i : i + size] for i in range(0, len(text), size))

    return make


def _card(heads: tuple[str, ...], length: int) -> Maker:
    def make(rng: random.Random) -> str:
        head = rng.choice(heads)
        return luhn(head + some(rng, length - len(head) - 1, DIGITS))

    return make


def _amex(rng: random.Random) -> str:
    number = _card(("34", "37"), 15)(rng)
    return f"{number[:4]} {number[4:10]} {number[10:]}"


def _checked(draw: Maker, is_valid: Callable[[str], bool]) -> Maker:
    def make(rng: random.Random) -> str:
        while not is_valid(text := draw(rng)):
            pass
        return text

    return make


def _ssn(rng: random.Random) -> str:
    return f"{rng.randrange(101, 665):03d}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"


def _day(*patterns: str) -> Maker:
    months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    german = [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ]
    french = [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ]

    def make(rng: random.Random) -> str:
        month = rng.randrange(12)
        return rng.choice(patterns).format(
            d=rng.randrange(1, 28),
            m=month + 1,
            y=rng.randrange(1938, 2008),
            en=months[month],
            de=german[month],
            fr=french[month],
        )

    return make


def _public_v4(rng: random.Random) -> str:
    while not (address := ipaddress.IPv4Address(rng.randrange(0x01000000, 0xDF000000))).is_global:
        pass
    return str(address)


def _public_v6(rng: random.Random) -> str:
    return str(ipaddress.IPv6Address((0x2A02 << 112) + (rng.getrandbits(48) << 64) + rng.getrandbits(64)))


def _number(country: str, module: str) -> ModuleType:
    return import_module(f"stdnum.{country}.{module}")


def _verified(country: str, module: str, body: str) -> Maker:
    """Drawn until python-stdnum's own check of that country's number agrees."""
    return _checked(form(body), _number(country, module).is_valid)


def _resident(rng: random.Random) -> str:
    return f"{rng.randrange(50, 99)}{rng.randrange(1, 12):02d}{rng.randrange(1, 28):02d}"


def _with_birth(country: str, module: str, tail: str, order: str = "ymd") -> Maker:
    def draw(rng: random.Random) -> str:
        parts = {
            "y": f"{rng.randrange(50, 99)}",
            "m": f"{rng.randrange(1, 12):02d}",
            "d": f"{rng.randrange(1, 28):02d}",
        }
        return "".join(parts[c] for c in order) + form(tail)(rng)

    return _checked(draw, _number(country, module).is_valid)


def _austrian(rng: random.Random) -> str:
    while True:
        birth = f"{rng.randrange(1, 28):02d}{rng.randrange(1, 12):02d}{rng.randrange(50, 99)}"
        if vnr.is_valid(text := f"{rng.randrange(100, 999)}{rng.randrange(9)}{birth}"):
            return f"{text[:4]} {text[4:]}"


def _codice(rng: random.Random) -> str:
    body = f"{some(rng, 6, 'BCDFGLMNPRSTV')}{rng.randrange(50, 99)}{rng.choice('ABCDEHLMPRST')}{rng.randrange(1, 28):02d}{rng.choice('ABCFGHL')}{rng.randrange(100, 999)}"
    return body + codicefiscale.calc_check_digit(body)


def _curp(rng: random.Random) -> str:
    body = f"{some(rng, 4, 'BCDLMNPRT')}{_resident(rng)}{rng.choice('HM')}DF{some(rng, 3, 'BCDFGLMN')}0"
    return body + curp.calc_check_digit(body)


def _rrn(rng: random.Random) -> str:
    body = f"{_resident(rng)}{rng.choice('12')}{some(rng, 5, DIGITS)}"
    return f"{body[:6]}-{body[6:]}{rrn.calc_check_digit(body)}"


_ROADS = (
    "Larkspur Avenue",
    "Old Mill Road",
    "Cathedral Close",
    "Juniper Lane",
    "W 43rd Street",
    "Harbor View Drive",
)
_STRASSEN = ("Lindenstraße", "Am Mühlbach", "Goethestr.", "Kirchgasse", "Rosenweg", "Bahnhofplatz")
_RUES = (
    "rue des Tilleuls",
    "avenue Victor-Hugo",
    "boulevard Carnot",
    "impasse du Moulin",
    "chemin des Vignes",
)
_CALLES = ("Calle Mayor", "Avda. de la Constitución", "Plaza del Carmen", "Paseo de Gracia", "C/ Alcalá")


def _german_street(rng: random.Random) -> str:
    return f"{rng.choice(_STRASSEN)} {rng.randrange(1, 120)}, {rng.randrange(10115, 99998)} {rng.choice(('Ulm', 'Kassel', 'Jena'))}"


def _french_street(rng: random.Random) -> str:
    return f"{rng.randrange(1, 120)} {rng.choice(_RUES)}, {rng.randrange(10000, 95000)} {rng.choice(('Dijon', 'Nantes', 'Lille'))}"


def _spanish_street(rng: random.Random) -> str:
    return f"{rng.choice(_CALLES)} {rng.randrange(1, 120)}, {rng.randrange(10000, 52000)} {rng.choice(('Burgos', 'Cádiz'))}"


def _us_street(rng: random.Random) -> str:
    town = rng.choice(("Tacoma, WA 98402", "Dayton, OH 45402", "Mobile, AL 36602", "Boise, ID 83702"))
    return f"{rng.randrange(100, 9999)} {rng.choice(_ROADS)}, {town}"


def _uk_street(rng: random.Random) -> str:
    return f"{rng.randrange(1, 200)} {rng.choice(_ROADS[:4])}, {rng.choice(('Leeds LS1 4DY', 'Bath BA2 6JH', 'York YO1 7HU'))}"


PERSONAL: dict[str, Maker] = {
    "mail": _mail,
    "us number": _phone("(2{d:2}) 5{d:2}-{d:4}", "+1 4{d:2} 5{d:2} {d:4}", "3{d:2}-5{d:2}-{d:4}", "+1-6{d:2}-5{d:2}-{d:4}"),
    "uk number": _phone("07{d:3} {d:6}", "+44 7{d:3} {d:6}", "020 7{d:3} {d:4}", "+44 (0)161 4{d:2} {d:4}"),
    "german number": _phone("0171 / {d:7}", "+49 151 {d:8}", "030 2{d:7}", "0049 89 {d:7}", "+49 (0)721 9{d:5}-{d:2}", "0211-{d:7}"),
    "austrian number": _phone("+43 664 {d:7}", "0676 {d:3} {d:2} {d:2}"),
    "swiss number": _phone("+41 79 {d:3} {d:2} {d:2}", "044 2{d:2} {d:2} {d:2}"),
    "french number": _phone("06 {d:2} {d:2} {d:2} {d:2}", "+33 6 {d:2} {d:2} {d:2} {d:2}", "01.4{d:1}.{d:2}.{d:2}.{d:2}", "+336{d:8}"),
    "spanish number": _phone("+34 6{d:2} {d:3} {d:3}", "6{d:2} {d:2} {d:2} {d:2}", "91 4{d:2} {d:2} {d:2}"),
    "dutch number": _phone("+31 6 {d:8}", "06-{d:8}"),
    "polish number": _phone("+48 60{d:1} {d:3} {d:3}"),
    "japanese number": _phone("+81 90-{d:4}-{d:4}", "090-1{d:3}-{d:4}"),
    "indian number": _phone("+91 98{d:3} {d:5}", "+91-9{d:9}"),
    "e164": _phone("+4917{d:9}", "+447{d:9}", "+1415555{d:4}", "+3367{d:7}", "+5511 9{d:4}-{d:4}"),
    "iban de": _iban("DE", "{d:18}"),
    "iban at": _iban("AT", "{d:16}"),
    "iban ch": _iban("CH", "{d:17}"),
    "iban fr": _iban("FR", "{d:10}{UPPER:11}{d:2}"),
    "iban gb": _iban("GB", "{A:4}{d:14}"),
    "iban es, spaced": _spaced(_iban("ES", "{d:20}")),
    "iban de, spaced": _spaced(_iban("DE", "{d:18}")),
    "iban nl, spaced": _spaced(_iban("NL", "{A:4}{d:10}")),
    "visa": _card(("4539", "4916", "4024"), 16),
    "mastercard, spaced": _spaced(_card(("51", "53", "55", "2221"), 16)),
    "card, dashes": _spaced(_card(("4485", "5412"), 16), 4, "-"),
    "amex": _amex,
    "ssn": _ssn,
    "tax number us": form("9{d:2}-7{d:1}-{d:4}"),
    "nino": lambda rng: rng.choice(("AB", "CE", "JK", "PW")) + " " + " ".join(some(rng, 2, DIGITS) for _ in range(3)) + " C",
    "nhs": _spaced(_verified("gb", "nhs", "9{d:9}"), 3),
    "steuer-id": _verified("de", "idnr", "{d:11}"),
    "rentennummer": lambda rng: f"{rng.randrange(10, 40)}{rng.randrange(1, 28):02d}{rng.randrange(1, 12):02d}{rng.randrange(40, 99)}{rng.choice(UPPER)}{rng.randrange(100, 999)}",
    "kvnr": form("{A:1}{d:9}"),
    "steuernummer": _phone("{d:2}/{d:3}/{d:5}", "{d:3}/{d:4}/{d:4}"),
    "german id card": form("L{d:1}X{d:2}K{d:3}"),
    "austrian svnr": _austrian,
    "nir": _checked(lambda rng: f"{rng.choice('12')}{rng.randrange(50, 99)}{rng.randrange(1, 12):02d}{rng.randrange(1, 95):02d}{some(rng, 3, DIGITS)}{some(rng, 3, DIGITS)}{some(rng, 2, DIGITS)}", nir.is_valid),
    "dni": _verified("es", "dni", "{d:8}{A:1}"),
    "nie": _verified("es", "nie", "X{d:7}{A:1}"),
    "codice fiscale": _codice,
    "bsn": _verified("nl", "bsn", "{d:9}"),
    "cpf": _checked(form("{d:3}.{d:3}.{d:3}-{d:2}"), cpf.is_valid),
    "pesel": _with_birth("pl", "pesel", "{d:5}"),
    "personnummer": _with_birth("se", "personnummer", "-{d:4}"),
    "fodselsnummer": _with_birth("no", "fodselsnummer", "{d:5}", "dmy"),
    "cpr": _with_birth("dk", "cpr", "-{d:4}", "dmy"),
    "hetu": _with_birth("fi", "hetu", "-{d:3}{UPPER:1}", "dmy"),
    "nif pt": _verified("pt", "nif", "2{d:8}"),
    "pps": _verified("ie", "pps", "{d:7}{A:1}"),
    "tckimlik": _verified("tr", "tckimlik", "{d:11}"),
    "tfn": _verified("au", "tfn", "{d:9}"),
    "sin": _verified("ca", "sin", "5{d:8}"),
    "curp": _curp,
    "rrn": _rrn,
    "aadhaar": _verified("in_", "aadhaar", "7{d:11}"),
    "pan": form("{A:3}P{A:1}{d:4}{A:1}"),
    "passport": _phone("C{UPPER:3}5{UPPER:4}", "{d:9}", "X{d:7}", "{A:2}{d:7}", "{d:2}{A:2}{d:5}"),
    "licence": _phone("B{d:3}{UPPER:6}2{d:1}", "WDDG{d:9}", "{A:1}{d:7}", "{A:1}{d:3}-{d:4}-{d:4}"),
    "birth, iso": _day("{y}-{m:02d}-{d:02d}"),
    "birth, us": _day("{m:02d}/{d:02d}/{y}", "{en} {d}, {y}", "{m}/{d}/{y}"),
    "birth, uk": _day("{d:02d}/{m:02d}/{y}", "{d} {en} {y}"),
    "birth, de": _day("{d:02d}.{m:02d}.{y}", "{d}. {de} {y}"),
    "birth, fr": _day("{d:02d}/{m:02d}/{y}", "{d} {fr} {y}"),
    "day8": _day("{y}{m:02d}{d:02d}"),
    "cvc": form("{d:3}"),
    "v4": _public_v4,
    "v6": _public_v6,
    "mac": _phone("{hex:2}:{hex:2}:{hex:2}:{hex:2}:{hex:2}:{hex:2}", "{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}"),
    "mac, cisco": form("{hex:4}.{hex:4}.{hex:4}"),
    "name": _name,
    "family name": lambda rng: rng.choice(_FAMILY),
    "first name": lambda rng: rng.choice(_FIRST),
    "us address": _us_street,
    "uk address": _uk_street,
    "german address": _german_street,
    "french address": _french_street,
    "spanish address": _spanish_street,
    "record": _phone("{d:8}", "{d:2}-{d:5}", "P{d:6}", "{A:2}{d:7}"),
    "plate de": lambda rng: f"{rng.choice(('M', 'KA', 'HH', 'UL'))}-{some(rng, 2, UPPER)} {rng.randrange(10, 9999)}",
    "plate uk": form("{A:2}{d:2} {A:3}"),
    "plate fr": form("{A:2}-{d:3}-{A:2}"),
    "imei": lambda rng: luhn("35" + some(rng, 12, DIGITS)),
}  # fmt: skip
