"""Numbers that states, banks and insurers give to people and to what they own, with their check digits."""

from __future__ import annotations

import random
from importlib import import_module
from types import ModuleType

from stdnum.at import vnr
from stdnum.br import cpf
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp

from forge_collector.redaction.corpus.issued.forms import checked, form, one_form, spaced
from forge_collector.redaction.corpus.makers import DIGITS, UPPER, Maker, luhn, some


def _iban(country: str, body: str) -> Maker:
    def make(rng: random.Random) -> str:
        bban = form(body)(rng)
        digits = "".join(str(int(c, 36)) for c in bban + country + "00")
        return f"{country}{98 - int(digits) % 97:02d}{bban}"

    return make


def _card(heads: tuple[str, ...], length: int) -> Maker:
    def make(rng: random.Random) -> str:
        head = rng.choice(heads)
        return luhn(head + some(rng, length - len(head) - 1, DIGITS))

    return make


def _amex(rng: random.Random) -> str:
    number = _card(("34", "37"), 15)(rng)
    return f"{number[:4]} {number[4:10]} {number[10:]}"


def _ssn(rng: random.Random) -> str:
    return f"{rng.randrange(101, 665):03d}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"


def _number(country: str, module: str) -> ModuleType:
    return import_module(f"stdnum.{country}.{module}")


def _verified(country: str, module: str, body: str) -> Maker:
    """Drawn until python-stdnum's own check of that country's number agrees."""
    return checked(form(body), _number(country, module).is_valid)


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

    return checked(draw, _number(country, module).is_valid)


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


MAKERS: dict[str, Maker] = {
    "iban de": _iban("DE", "{d:18}"),
    "iban at": _iban("AT", "{d:16}"),
    "iban ch": _iban("CH", "{d:17}"),
    "iban fr": _iban("FR", "{d:10}{UPPER:11}{d:2}"),
    "iban gb": _iban("GB", "{A:4}{d:14}"),
    "iban es, spaced": spaced(_iban("ES", "{d:20}")),
    "iban de, spaced": spaced(_iban("DE", "{d:18}")),
    "iban nl, spaced": spaced(_iban("NL", "{A:4}{d:10}")),
    "visa": _card(("4539", "4916", "4024"), 16),
    "mastercard, spaced": spaced(_card(("51", "53", "55", "2221"), 16)),
    "card, dashes": spaced(_card(("4485", "5412"), 16), 4, "-"),
    "amex": _amex,
    "ssn": _ssn,
    "tax number us": form("9{d:2}-7{d:1}-{d:4}"),
    "nino": lambda rng: rng.choice(("AB", "CE", "JK", "PW")) + " " + " ".join(some(rng, 2, DIGITS) for _ in range(3)) + " C",
    "nhs": spaced(_verified("gb", "nhs", "9{d:9}"), 3),
    "steuer-id": _verified("de", "idnr", "{d:11}"),
    "rentennummer": lambda rng: f"{rng.randrange(10, 40)}{rng.randrange(1, 28):02d}{rng.randrange(1, 12):02d}{rng.randrange(40, 99)}{rng.choice(UPPER)}{rng.randrange(100, 999)}",
    "kvnr": form("{A:1}{d:9}"),
    "steuernummer": one_form("{d:2}/{d:3}/{d:5}", "{d:3}/{d:4}/{d:4}"),
    "german id card": form("L{d:1}X{d:2}K{d:3}"),
    "austrian svnr": _austrian,
    "nir": checked(lambda rng: f"{rng.choice('12')}{rng.randrange(50, 99)}{rng.randrange(1, 12):02d}{rng.randrange(1, 95):02d}{some(rng, 3, DIGITS)}{some(rng, 3, DIGITS)}{some(rng, 2, DIGITS)}", nir.is_valid),
    "dni": _verified("es", "dni", "{d:8}{A:1}"),
    "nie": _verified("es", "nie", "X{d:7}{A:1}"),
    "codice fiscale": _codice,
    "bsn": _verified("nl", "bsn", "{d:9}"),
    "cpf": checked(form("{d:3}.{d:3}.{d:3}-{d:2}"), cpf.is_valid),
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
    "passport": one_form("C{UPPER:3}5{UPPER:4}", "{d:9}", "X{d:7}", "{A:2}{d:7}", "{d:2}{A:2}{d:5}"),
    "licence": one_form("B{d:3}{UPPER:6}2{d:1}", "WDDG{d:9}", "{A:1}{d:7}", "{A:1}{d:3}-{d:4}-{d:4}"),
    "cvc": form("{d:3}"),
    "record": one_form("{d:8}", "{d:2}-{d:5}", "P{d:6}", "{A:2}{d:7}"),
    "plate de": lambda rng: f"{rng.choice(('M', 'KA', 'HH', 'UL'))}-{some(rng, 2, UPPER)} {rng.randrange(10, 9999)}",
    "plate uk": form("{A:2}{d:2} {A:3}"),
    "plate fr": form("{A:2}-{d:3}-{A:2}"),
    "imei": lambda rng: luhn("35" + some(rng, 12, DIGITS)),
}  # fmt: skip
