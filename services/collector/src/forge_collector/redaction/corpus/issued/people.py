"""How people are called and reached: names, mail, telephones, addresses, days of birth."""

from __future__ import annotations

import ipaddress
import random

from forge_collector.redaction.corpus.issued.forms import form, one_form
from forge_collector.redaction.corpus.makers import Maker

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


MAKERS: dict[str, Maker] = {
    "mail": _mail,
    "us number": one_form("(2{d:2}) 5{d:2}-{d:4}", "+1 4{d:2} 5{d:2} {d:4}", "3{d:2}-5{d:2}-{d:4}", "+1-6{d:2}-5{d:2}-{d:4}"),
    "uk number": one_form("07{d:3} {d:6}", "+44 7{d:3} {d:6}", "020 7{d:3} {d:4}", "+44 (0)161 4{d:2} {d:4}"),
    "german number": one_form("0171 / {d:7}", "+49 151 {d:8}", "030 2{d:7}", "0049 89 {d:7}", "+49 (0)721 9{d:5}-{d:2}", "0211-{d:7}"),
    "austrian number": one_form("+43 664 {d:7}", "0676 {d:3} {d:2} {d:2}"),
    "swiss number": one_form("+41 79 {d:3} {d:2} {d:2}", "044 2{d:2} {d:2} {d:2}"),
    "french number": one_form("06 {d:2} {d:2} {d:2} {d:2}", "+33 6 {d:2} {d:2} {d:2} {d:2}", "01.4{d:1}.{d:2}.{d:2}.{d:2}", "+336{d:8}"),
    "spanish number": one_form("+34 6{d:2} {d:3} {d:3}", "6{d:2} {d:2} {d:2} {d:2}", "91 4{d:2} {d:2} {d:2}"),
    "dutch number": one_form("+31 6 {d:8}", "06-{d:8}"),
    "polish number": one_form("+48 60{d:1} {d:3} {d:3}"),
    "japanese number": one_form("+81 90-{d:4}-{d:4}", "090-1{d:3}-{d:4}"),
    "indian number": one_form("+91 98{d:3} {d:5}", "+91-9{d:9}"),
    "e164": one_form("+4917{d:9}", "+447{d:9}", "+1415555{d:4}", "+3367{d:7}", "+5511 9{d:4}-{d:4}"),
    "birth, iso": _day("{y}-{m:02d}-{d:02d}"),
    "birth, us": _day("{m:02d}/{d:02d}/{y}", "{en} {d}, {y}", "{m}/{d}/{y}"),
    "birth, uk": _day("{d:02d}/{m:02d}/{y}", "{d} {en} {y}"),
    "birth, de": _day("{d:02d}.{m:02d}.{y}", "{d}. {de} {y}"),
    "birth, fr": _day("{d:02d}/{m:02d}/{y}", "{d} {fr} {y}"),
    "day8": _day("{y}{m:02d}{d:02d}"),
    "v4": _public_v4,
    "v6": _public_v6,
    "mac": one_form("{hex:2}:{hex:2}:{hex:2}:{hex:2}:{hex:2}:{hex:2}", "{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}-{HEX:2}"),
    "mac, cisco": form("{hex:4}.{hex:4}.{hex:4}"),
    "name": _name,
    "family name": lambda rng: rng.choice(_FAMILY),
    "first name": lambda rng: rng.choice(_FIRST),
    "us address": _us_street,
    "uk address": _uk_street,
    "german address": _german_street,
    "french address": _french_street,
    "spanish address": _spanish_street,
}  # fmt: skip
