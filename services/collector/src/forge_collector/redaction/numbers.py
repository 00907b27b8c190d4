"""Numbers of persons by what they are called, in whatever syntax: national ids, papers, phones. A checksum, where there is one, must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forge_collector.redaction import labels
from forge_collector.redaction.identity import NATIONAL_IDS
from forge_collector.redaction.rule import Rule
from forge_common.contracts.domain import RedactionClass

# Between a label and its number: signs, quotes, tags, and words that only join.
_SIGNS = (
    rb"(?:</?[A-Za-z][^<>\n\x00]{0,60}>|[ \t\"'`*~|=:>,(\[{}\])#/_.;-]|\r?\n[+> \t]{0,4}|\\{1,4}[nrt\"']|\xc2[\xa0\xb0\xba\xab]"
    rb"|\xe2(?:\x80[\x90-\xba]|\x84\x96)|\xef\xbc[\x9a\x9d]|\xe3\x80[\x80-\x91]){0,24}+"
)
_JOINING = re.compile(
    _SIGNS
    + rb"(?:(?i:number|no|nr|num|nummer|numero|n\xc3\xbamero|num\xc3\xa9ro|n|card|code|id|is|was|ist|lautet|est|es|\xc3\xa8|\xc3\xa9|jest|der|of|holder|sz\xc3\xa1m|kodas|hao|value|string"
    rb"|\xe5\x8f\xb7\xe7?\xa0?\x81?|\xe7\x95\xaa\xe5\x8f\xb7|me|us|at|on|under|unter|bitte|now|mobile|home|work|office|mobil)(?![A-Za-z])"
    + _SIGNS
    + rb"){0,3}+"
)
_NUMBER = re.compile(
    rb"(?:[A-Z]{1,6}[ -]?)?\d[\dA-Z]*+(?:[ ./-]{1,3}(?=[A-Z]{0,2}\d|[A-Z0-9](?![\w]))[\dA-Z]++){0,6}(?:\([\dA-Z]\))?(?![\w])"
)
_CODE = re.compile(rb"(?=[A-Z]*\d)[A-Z0-9]{8,20}(?![\w-])")
_PHONE = re.compile(rb"(?:\(?\+|\(|00)?\d(?:[ ()./-]{0,3}\d){6,14}(?![\w])")
_REACH = 60
_DATE = re.compile(rb"(?:19|20)\d{2}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}")


@dataclass(frozen=True, slots=True)
class Numbered:
    """What `labelled.Labelled` is for secrets: from a label on, the first thing that is no joining word must be its number."""

    kind: str
    group: RedactionClass
    trigger: bytes
    forms: tuple[re.Pattern[bytes], ...]
    check: Callable[[bytes], bool]
    back: int = 80
    ahead: int = 60
    is_labelled: bool = True

    def spans(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """All of them, found without hyperscan."""
        found = re.finditer(self.trigger, text[:end], re.MULTILINE)
        yield from self.behind(text, [label.end() for label in found if label.end() >= start])

    def behind(self, text: bytes, ends: list[int]) -> Iterator[tuple[int, int]]:
        past = 0
        for at in ends:
            if at < past or text[at : at + 1].isalpha() or not _DIGIT.search(text, at, at + _REACH):
                continue
            joined = _JOINING.match(text, at)
            start = joined.end() if joined else at
            for form in self.forms:
                found = form.match(text, start)
                if found and start > at and not _DATE.fullmatch(found.group()) and self.check(found.group()):
                    past = found.end()
                    yield start, past
                    break


_DIGIT = re.compile(rb"\d")


def _has(least: int, most: int = 20) -> Callable[[bytes], bool]:
    return lambda value: least <= sum(48 <= c <= 57 for c in value) <= most


def _is_phone(value: bytes) -> bool:
    digits = bytes(c for c in value if 48 <= c <= 57)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2 and value.count(b".") != 1


_BEFORE = rb"(?:^|[^A-Za-z]|\\[nrt])"
# Whatever the language; those that are words as well only as they are written.
_IDS = (
    r"itin|c\.c\.|taxpayer[ _-]?id|tax[ _-]?(?:id|file)|tin|run|rut|contribuinte|nif|rodn(?:é|e)[ _]č?c?(?:í|i)slo|taj|egn|егн|αμκα|amka|jmbg|јмбг|emšo|emso|снилс|snils|инн|inn|рнокпп|паспорт|passeport"
    r"|ת\.ז\.?|תז|teudat[ _]zehut|מספר זהות|(?:sa[ _])?id[ _-](?:number|no|nr|card)|identity[ _-](?:number|no|card)|hkid|身分證(?:字號)?|身份证号?码?|เลขประจำตัวประชาชน|thai[ _]id|mykad|ic[ _]no|no\. k/p|no_k_p"
    r"|cccd|cmnd|cnh|ird(?:[ _]number)?|paszport|パスポート(?:番号)?|护照号?码?|여권번호|c(?:é|e)dula(?:[ _]de[ _]ciudadan(?:í|i)a)?|asmens[ _]kodas|personas[ _]kods|nik|ktp|マイナンバー|個人番号|my[ _]number|주민등록번호"
    r"|isikukood|oib|cnp|curp|pps[ _]?(?:n|number)|svnr|tfn|medicare(?:[ _](?:number|card|no))?|national[ _-](?:id|insurance)(?:[ _]number)?|sozialversicherungsnummer|steuernummer|steuernr|num(?:é|e)ro[ _]fiscal"
    r"|n°[ _]s(?:é|e)cu(?:rit(?:é|e)[ _]sociale)?|personalausweis(?:nummer)?|ausweisnummer|voter[ _]id|bvn|iqama|emirates[ _]id|cnic|nid|kimlik(?:[ _]no)?|cuil|cuit|dni|nie|kvnr|versichertennummer|nino|ni[ _-]number"
    r"|personal[ _-]?(?:id|code|number)|citizen[ _-]?id|(?:социальн\w+ )?номер паспорта|серия и номер(?: паспорта)?|удостоверени\w+ личности|rc|rč|rg|nuss|niss|cpf|social[ _-](?:security|insurance)(?:[ _-](?:number|no))?"
)
_PAPERS = r"passport|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer|pass-?nr|paszport|pas|pasi|útlevél|pasaport"
_LICENCES = r"driv(?:er|ing)?(?:'|’|_)?s?[ _-]?licen[cs]e|f(?:ü|ue)hrerschein(?:-?nr|nummer)?|permis[ _]de[ _]conduire|carnet[ _]de[ _]conducir|rijbewijs|patente|prawo[ _]jazdy"
_PHONES = (
    r"tel|telefon|telephone|t(?:é|e)l(?:é|e)phone|tél|tel(?:é|e)fono|telefone|telefoon(?:nummer)?|phone|mobile|mobil|mobiel|m(?:ó|o)vil|mob|cell|cel|celular|cellulare|fax|handy|whats(?:app)?|gsm|portable|rufnummer|puh|puhelin"
    r"|kom(?:ó|o)rka|тел|телефон|моб|電話|电话|手机|手機|전화(?:번호)?|휴대폰|携帯|contact|msisdn|sms|signal|my[ _]number[ _]is|(?:call|text|ring|reach|phone)[ _](?:me|us|him|her)[ _](?:at|on|under)|τηλ(?:έφωνο)?|هاتف|טלפון|फोन|โทร|điện thoại|hp|no hp"
)


def _any(words: str) -> bytes:
    return _BEFORE + rb"(?i:" + labels.in_any_case(words) + rb")"


def _checked(one: object, form: bytes) -> Callable[[bytes], bool]:
    exact = re.compile(rb"(?i)(?P<value>" + form + rb")\Z")

    def check(value: bytes) -> bool:
        found = exact.match(value)
        return found is not None and one.is_valid(found)  # type: ignore[attr-defined]

    return check


RULES: tuple[Numbered | Rule, ...] = (
    *(
        Numbered(
            "NATIONAL_ID", RedactionClass.IDENTITY, _BEFORE + rb"(?i:" + one.names + rb")", (_NUMBER,), _checked(one, one.labelled)
        )
        for one in NATIONAL_IDS
        if one.names and one.labelled
    ),
    Numbered("NATIONAL_ID", RedactionClass.IDENTITY, _any(_IDS), (_NUMBER, _CODE), _has(5)),
    Numbered("PASSPORT", RedactionClass.IDENTITY, _any(_PAPERS), (_NUMBER, _CODE), _has(4)),
    Numbered("LICENCE", RedactionClass.IDENTITY, _any(_LICENCES), (_NUMBER, _CODE), _has(4)),
    Numbered("PHONE", RedactionClass.CONTACT, _any(_PHONES), (_PHONE,), _is_phone),
)  # fmt: skip
