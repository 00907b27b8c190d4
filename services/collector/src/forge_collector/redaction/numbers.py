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
    rb"(?>(?:</?[A-Za-z][^<>\n\x00]{0,60}>|[ \t\"'`*~|=:>,(\[{}\])#/_.;-]|\r?\n[+> \t]{0,4}|\\{1,4}[nrt\"']|\xc2[\xa0\xb0\xba\xab]"
    rb"|\xe2(?:\x80[\x90-\xba]|\x84\x96)|\xef\xbc[\x9a\x9d]|\xe3\x80[\x80-\x91]){0,24})"
)
_JOINING = re.compile(
    _SIGNS
    + rb"(?>(?:(?i:number|no|nr|num|nummer|numero|n\xc3\xbamero|num\xc3\xa9ro|n|card|code|id|is|was|ist|lautet|est|es|\xc3\xa8|\xc3\xa9|jest|der|of|holder|sz\xc3\xa1m|kodas|hao|value|string"
    rb"|\xe5\x8f\xb7\xe7?\xa0?\x81?|\xe7\x95\xaa\xe5\x8f\xb7|me|us|at|on|under|unter|bitte|now|mobile|home|work|office|mobil|sob|o|a|do|da|del?|la|le|el|sous|von|van|partner|for|my|mein|file|declaration|\xce\xbc\xce\xbf\xcf\x85|\xce\xb5\xce\xaf\xce\xbd\xce\xb1\xce\xb9|grei\xc3\xb0anda|ucznia|matki|dziecka|n\xc2\xba)(?![A-Za-z])"
    + _SIGNS
    + rb"){0,4})"
)
_NUMBER = re.compile(
    rb"(?:[A-Z]{1,6}[ -]?)?\d[\dA-Z]*+(?:[ ./-]{1,3}(?=[A-Z]{0,2}\d|[A-Z0-9](?![\w]))[\dA-Z]++){0,6}(?:\([\dA-Z]\))?(?![\w])"
)
_CODE = re.compile(rb"(?=[A-Z]*\d)[A-Z0-9]{8,20}(?![\w-])")
_PHONE = re.compile(rb"(?:\(?\+|\(|00)?\d(?:[ ()./-]{0,3}\d){6,14}(?![\w])")
_DIALLED = re.compile(
    rb"(?:\(?\+\d|\(?0[1-9]|00[1-9])(?:[ ()./-]{0,3}\d){7,13}(?: ?- ?\d{1,3})?(?![\w])|[6-9]\d{2}(?: \d{2,3}){2,3}(?![\w])"
)
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
    is_checked: bool = False

    def spans(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """All of them, found without hyperscan."""
        found = re.finditer(self.trigger, text[:end], re.MULTILINE)
        yield from self.behind(text, [label.end() for label in found if label.end() >= start])

    def behind(self, text: bytes, ends: list[int]) -> Iterator[tuple[int, int]]:
        past = 0
        for end in ends:
            at = _end_of_label(text, end)
            if at < past or not _DIGIT.search(text, at, at + _REACH):
                continue
            span = self._behind(text, at)
            if span is not None:
                past = span[1]
                yield span

    def _behind(self, text: bytes, at: int) -> tuple[int, int] | None:
        joined = _JOINING.match(text, at)
        start = joined.end() if joined else at
        for form in self.forms:
            found = form.match(text, start)
            if found and start > at and not _DATE.fullmatch(found.group()) and self.check(found.group()):
                return found.span()
        if self.is_checked:
            # Its checksum says that it is one, wherever in the line it stands.
            end = text.find(b"\n", at)
            for found in _NUMBER.finditer(text, at + 1, min(at + _REACH, end if end >= 0 else len(text))):
                if not text[found.start() - 1 : found.start()].isalnum():
                    whole = _NUMBER.match(text, found.start())
                    if whole and self.check(whole.group()):
                        return whole.span()
        return None


_DIGIT = re.compile(rb"\d")


def _has(least: int, most: int = 20) -> Callable[[bytes], bool]:
    return lambda value: least <= sum(48 <= c <= 57 for c in value) <= most


def _end_of_label(text: bytes, at: int) -> int:
    """Without what the trigger wants behind it."""
    least = max(at - 8, 1)
    while at > least and not (text[at - 1] >= 0x80 or text[at - 1 : at].isalpha()):
        at -= 1
    return at


def _is_phone(value: bytes) -> bool:
    digits = bytes(c for c in value if 48 <= c <= 57)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2 and value.count(b".") != 1


# A word goes on with no letter; one that is common must be followed by a number at once.
_AFTER, _AT_ONCE = rb"[^A-Za-z]", rb"[^A-Za-z0-9\n]{1,4}[+(0-9]"
_BEFORE = rb"(?:^|[^A-Za-z]|\\[nrt])"
# Whatever the language; those that are words as well only as they are written.
_IDS = (
    r"itin|vers\.?-?nr|rentenversicherungs-?(?:nummer|nr)|rv-?(?:nummer|nr)|versicherungs-?(?:nummer|nr)|insurance[ _-](?:number|no)|kennitala|rut/cuit|cpr / hetu|c\.c\.|taxpayer[ _-]?id|tax[ _-]?(?:id|file)|tin|run|rut|contribuinte|nif|rodn(?:é|e)[ _]č?c?(?:í|i)slo|taj|egn|егн|αμκα|amka|jmbg|јмбг|emšo|emso|снилс|snils|инн|inn|рнокпп|паспорт|passeport"
    r"|ת\.ז\.?|תז|teudat[ _]zehut|מספר זהות|(?:sa[ _])?id[ _-](?:number|no|nr|card)|identity[ _-](?:number|no|card)|hkid|身分證(?:字號)?|身份证号?码?|เลขประจำตัวประชาชน|thai[ _]id|mykad|ic[ _]no|no\. k/p|no_k_p"
    r"|cccd|cmnd|cnh|ird(?:[ _]number)?|paszport|パスポート(?:番号)?|护照号?码?|여권번호|c(?:é|e)dula(?:[ _]de[ _]ciudadan(?:í|i)a)?|asmens[ _]kodas|personas[ _]kods|nik|ktp|マイナンバー|個人番号|my[ _]number|주민등록번호"
    r"|isikukood|oib|cnp|curp|pps[ _]?(?:n|number)|svnr|tfn|medicare(?:[ _](?:number|card|no))?|national[ _-](?:id|insurance)(?:[ _]number)?|sozialversicherungsnummer|steuernummer|steuernr|num(?:é|e)ro[ _]fiscal"
    r"|n°[ _]s(?:é|e)cu(?:rit(?:é|e)[ _]sociale)?|personalausweis(?:nummer)?|ausweisnummer|voter[ _]id|bvn|iqama|emirates[ _]id|cnic|nid|kimlik(?:[ _]no)?|cuil|cuit|dni|nie|kvnr|versichertennummer|nino|ni[ _-]number"
    r"|personal[ _-]?(?:id|code|number)|citizen[ _-]?id|(?:социальн\w+ )?номер паспорта|серия и номер(?: паспорта)?|удостоверени\w+ личности|rc|rč|rg|nuss|niss|cpf|social[ _-](?:security|insurance)(?:[ _-](?:number|no))?"
)
_PAPERS = r"passport|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer|pass-?nr|paszport|pas|pasi|útlevél|pasaport"
_LICENCES = r"driv(?:er|ing)?(?:'|’|_)?s?[ _-]?licen[cs]e|f(?:ü|ue)hrerschein(?:-?nr|nummer)?|permis[ _]de[ _]conduire|carnet[ _]de[ _]conducir|rijbewijs|patente|prawo[ _]jazdy"
_PHONES = (
    r"tel|fone|fon|telefon|telephone|t(?:é|e)l(?:é|e)phone|tél|tel(?:é|e)fono|telefone|telefoon(?:nummer)?|phone|mobile|mobil|mobiel|m(?:ó|o)vil|mob|cell|cel|celular|cellulare|fax|handy|whats(?:app)?|gsm|portable|rufnummer|puh|puhelin"
    r"|kom(?:ó|o)rka|тел|телефон|моб|電話|电话|手机|手機|전화(?:번호)?|휴대폰|携帯|contact|msisdn|sms|signal|my[ _]number[ _]is|(?:call|text|ring|reach|phone)[ _](?:me|us|him|her)[ _](?:at|on|under)|τηλ(?:έφωνο)?|هاتف|טלפון|फोन|โทร|điện thoại|hp|no hp"
)


_REACHED = r"nummer|number|n(?:ú|u)mero|num(?:é|e)ro|numer|unter|anrufen|anruf|call(?:[ _]back)?(?:[ _]on)?|ring|llamar|appeler|bellen|chiamare|erreichbar|sonst|tel(?:é|e)fono\?"
# By themselves, since words this short slow all of the triggers' search down by half where they stand among longer ones.
_REACHED_SHORTLY = r"au|al|m|nr"


def _any(words: str) -> bytes:
    return _BEFORE + rb"(?i:" + labels.in_any_case(words) + rb")" + _AFTER


def _checked(one: object, form: bytes) -> Callable[[bytes], bool]:
    exact = re.compile(rb"(?i)(?P<value>" + form + rb")\Z")

    def check(value: bytes) -> bool:
        found = exact.match(value)
        return found is not None and one.is_valid(found)  # type: ignore[attr-defined]

    return check


RULES: tuple[Numbered | Rule, ...] = (
    *(
        Numbered(
            "NATIONAL_ID", RedactionClass.IDENTITY, _BEFORE + rb"(?i:" + one.names + rb")" + _AFTER, (_NUMBER,), _checked(one, one.labelled), is_checked=True,
        )
        for one in NATIONAL_IDS
        if one.names and one.labelled
    ),
    Numbered("NATIONAL_ID", RedactionClass.IDENTITY, _any(_IDS), (_NUMBER, _CODE), _has(5)),
    Numbered("PASSPORT", RedactionClass.IDENTITY, _any(_PAPERS), (_NUMBER, _CODE), _has(4)),
    Numbered("LICENCE", RedactionClass.IDENTITY, _any(_LICENCES), (_NUMBER, _CODE), _has(4)),
    Numbered("PHONE", RedactionClass.CONTACT, _any(_PHONES), (_PHONE,), _is_phone),
    # Words that numbers of all kinds follow: only of those that begin as phones' do.
    *(
        Numbered("PHONE", RedactionClass.CONTACT, _any(words).removesuffix(_AFTER) + _AT_ONCE, (_DIALLED,), _is_phone)
        for words in (_REACHED, _REACHED_SHORTLY)
    ),
)  # fmt: skip


_NAMES = tuple(re.compile(rule.trigger) for rule in RULES if isinstance(rule, Numbered))


def is_label(name: bytes) -> bool:
    """Whether a field of this name holds a number of a person's."""
    return any(names.search(name + b" 0") for names in _NAMES)
