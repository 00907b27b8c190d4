"""National ids, identity papers, dates of birth; and, for strict domains, people's names, addresses and record numbers.

A number of which one in ten passes its checksum by chance must be labelled or be written in its country's own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import ssn

from forge_collector.redaction import values
from forge_collector.redaction.rule import Check, Rule
from forge_common.contracts.domain import RedactionClass


@dataclass(frozen=True, slots=True)
class NationalId:
    """`form` is recognised anywhere; `labelled` only behind one of `names`. Both must pass `number`'s own check."""

    number: ModuleType | Callable[[str], bool]
    form: bytes | None = None
    trigger: bytes | None = None
    names: bytes | None = None
    labelled: bytes | None = None

    def is_valid(self, match: re.Match[bytes]) -> bool:
        text = match["value"].decode()
        number = self.number
        return bool(number.is_valid(text) if isinstance(number, ModuleType) else number(text))


def _is_nino(text: str) -> bool:
    """A National Insurance number has no checksum, but prefixes that were never given."""
    head = text[:2].upper()
    return head not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _is_danish(text: str) -> bool:
    """The check digit was given up in 2007: day and month must do."""
    return 1 <= int(text[:2]) <= 31 and 1 <= int(text[2:4]) <= 12


def _is_nric(text: str) -> bool:
    """Singapore: weighted sum modulo 11, with a row of letters for each century."""
    century = {"S": 0, "T": 4, "F": 0, "G": 4, "M": 3}[text[0]]
    total = century + sum(int(d) * w for d, w in zip(text[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    letters = "JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK" if text[0] in "FG" else "XWUTRQPNJLK"
    return letters[total % 11] == text[8]


NATIONAL_IDS: tuple[NationalId, ...] = (
    NationalId(
        ssn, rb"\d{3}-\d{2}-\d{4}", rb"\d{3}-\d{2}-\d{4}",
        rb"(?:ssn|social[ _-]?security(?:[ _-]?(?:number|no\.?))?)", rb"\d{3}[ -]?\d{2}[ -]?\d{4}",
    ),
    NationalId(
        _is_nino,
        rb"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d{2}){3} ?[A-D]",
        rb"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
    ),
    NationalId(
        nhs, rb"\d{3} \d{3} \d{4}", rb"\d{3} \d{3} \d{4}", rb"nhs(?:[ _-]?(?:number|no\.?))?", rb"\d{3}[ -]?\d{3}[ -]?\d{3}[ -]?\d"
    ),
    NationalId(
        idnr, rb"\d{2} \d{3} \d{3} \d{3}", rb"\d{2} \d{3} \d{3} \d{3}",
        rb"(?:steuer[ -]?(?:id(?:nr\.?|entifikationsnummer)?|nummer)|idnr\.?|tax[ _-]?id|tin)", rb"\d{2} ?\d{3} ?\d{3} ?\d{3}",
    ),
    NationalId(
        nir, rb"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-4]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        rb"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}",
    ),
    NationalId(dni, rb"\d{8}-?[A-HJ-NP-TV-Z]", rb"\d{8}-?[A-Z]"),
    NationalId(nie, rb"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", rb"[XYZ]-?\d{7}-?[A-Z]"),
    NationalId(
        codicefiscale, rb"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        rb"[A-Z]{6}[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
    ),
    NationalId(bsn, names=rb"(?:bsn|burgerservicenummer|sofi[ -]?nummer)", labelled=rb"\d{4}[. ]?\d{2}[. ]?\d{2,3}"),
    NationalId(
        nn, rb"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", rb"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
        rb"(?:rijksregister(?:nummer)?|insz|niss|num\xc3\xa9ro national)", rb"\d{2}\.?\d{2}\.?\d{2}-?\d{3}\.?\d{2}",
    ),
    NationalId(
        cpf, rb"\d{3}\.\d{3}\.\d{3}-\d{2}", rb"\d{3}\.\d{3}\.\d{3}-\d{2}", rb"cpf(?:/cnpj)?", rb"\d{3}\.?\d{3}\.?\d{3}-?\d{2}"
    ),
    NationalId(
        aadhaar, rb"[2-9]\d{3} \d{4} \d{4}", rb"\d{4} \d{4} \d{4}", rb"(?:aadhaar|aadhar|uidai)(?:[ _-]?(?:number|no\.?))?",
        rb"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}",
    ),
    NationalId(pan, rb"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", rb"[A-Z]{5}\d{4}[A-Z]"),
    NationalId(
        sin, rb"\d{3}-\d{3}-\d{3}", rb"\d{3}-\d{3}-\d{3}", rb"(?:sin|social[ _-]?insurance(?:[ _-]?(?:number|no\.?))?)",
        rb"\d{3}[ -]?\d{3}[ -]?\d{3}",
    ),
    NationalId(pesel, names=rb"pesel", labelled=rb"\d{11}"),
    NationalId(
        personnummer, rb"(?:19|20)?\d{2}[01]\d[0-3]\d[-+]\d{4}", rb"\d{6}[-+]\d{4}", rb"personnummer", rb"(?:19|20)?\d{6}[-+]?\d{4}"
    ),
    NationalId(hetu, rb"[0-3]\d[01]\d{3}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", rb"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    NationalId(ahv, rb"756\.\d{4}\.\d{4}\.\d{2}", rb"756\.\d{4}", rb"(?:ahv|avs|ssn)(?:[ -]?n(?:r|o)\.?)?", rb"756\.?\d{4}\.?\d{4}\.?\d{2}"),
    NationalId(_is_danish, names=rb"(?:cpr|personnummer)(?:[ -]?n(?:r|ummer)\.?)?", labelled=rb"\d{6}-?\d{4}"),
    NationalId(fodselsnummer, names=rb"(?:f\xc3\xb8dselsnummer|fnr|personnummer)", labelled=rb"\d{6} ?\d{5}"),
    NationalId(rrn, rb"\d{6}-[1-8]\d{6}", rb"\d{6}-[1-8]\d{6}"),
    NationalId(ric, rb"\d{6}(?:19|20)\d{2}[01]\d[0-3]\d\d{3}[\dX]", rb"\d{6}(?:19|20)\d{9}[\dX]"),
    NationalId(_is_nric, rb"[STFGM]\d{7}[A-Z]", rb"[STFGM]\d{7}[A-Z]"),
    NationalId(tckimlik, names=rb"(?:tckn|t\.?c\.? ?kimlik(?: no)?)", labelled=rb"[1-9]\d{10}"),
)  # fmt: skip

# Between a label and what it labels.
_COLON = rb"\\{0,3}[\"'\]]{0,2}(?:\s{0,3}[:=#]\s{0,3}|[ ]+(?:is|was|ist|lautet|est|es|number|no\.?|nr\.?|card|der|:)?[ :]{0,2}){1,2}\\{0,3}[\"'(]?"
_COLON_TRIGGER = rb"[^A-Za-z\n\d][^\n\d]{0,24}"
_EDGE, _PAST = rb"(?:(?<![\w.+/-])|(?<=\\[nrt]))", rb"(?![\w-]|\.\d)"
# A label's own beginning, as in `rule.START`.
_LABEL = rb"(?:(?<![A-Za-z])|(?<=\\[nrt]))"
_MONTH = rb"(?:jan|feb|m[a\xc3]|apr|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z\xa4\xc3]{0,8}\.?"
_DATE = (
    rb"(?:\d{1,2}[./ -]\d{1,2}[./ -]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{8}|\d{1,2}(?:st|nd|rd|th|\.)? "
    + _MONTH
    + rb",? \d{4}|"
    + _MONTH
    + rb" \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_NAME = rb"(?:[A-Z\xc3][\w'\x80-\xff-]{1,30})"
_FULL_NAME = (
    rb"(?P<value>(?:Dr\.? |Prof\.? )?"
    + _NAME
    + rb"(?: (?:van|von|de|der|la|el|bin|[A-Z]\.|"
    + _NAME
    + rb")){0,4})"
)
_PERSON_LABEL = (
    rb"(?:(?i:(?:pt\.?|legal|birth|maiden|contact|customer|tenant|employee|student)[ _-]?name|name|patient(?:in|en)?(?:[ _-]?name|'s name(?: is)?)?|client(?:[ _-]?name)|name of (?:the )?(?:patient|client|tenant|insured)"
    rb"|plaintiff|defendant|claimant|respondent|petitioner|appellant|opposing party|insured|next of kin|emergency contact|attending"
    rb"|full[ _-]?name|first[ _-]?name|last[ _-]?name|surname|given[ _-]?name|kl\xc3\xa4ger(?:in)?|beklagter?|mandant(?:in)?|witness|testator|guardian"
    rb"|re|signed by|on behalf of|i, (?:the undersigned,? )?))"
)
_PERSON_TRIGGER = (
    rb"(?i)(?:patient|client|name|plaintiff|defendant|claimant|respondent|petitioner|appellant|party|insured|kin|contact|attending"
    rb"|surname|kl\xc3\xa4ger|beklagte|mandant|witness|testator|guardian|\bre:|signed by|behalf of|\bi, )"
)
_STREET = (
    rb"\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][\w'\x80-\xff.-]{1,25} ){1,4}"
    rb"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Close|Crescent|Parkway|Pkwy|Highway|Hwy)\b\.?"
    rb"(?:,? (?:Apt|Apartment|Suite|Unit|Flat|#)\.? ?[\w-]{1,6})?(?:, [A-Z][\w'\x80-\xff-]{1,20}(?: [A-Z][\w'\x80-\xff-]{1,20}){0,2}){0,3}(?:,? [A-Z]{2} \d{5}(?:-\d{4})?|,? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})?"
)
_STREET_AFTER = (
    rb"[A-Z\xc3][\w\x80-\xff.-]{1,30}(?:stra\xc3\x9fe|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan)[ ]\d{1,4} ?[a-z]?\b"
    rb"(?:, (?:[A-Z]{1,2}-)?\d{4,5} [A-Z\xc3][\w\x80-\xff-]{1,30})?"
    rb"|\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|chemin|place|impasse|quai) (?:[\w'\x80-\xff-]{1,20} ?){1,5}(?:, \d{5} [A-Z][\w\x80-\xff-]{1,30})?"
    rb"|(?:[Cc]alle|[Vv]ia|[Aa]venida|[Pp]laza|[Pp]iazza|[Rr]ua) (?:[A-Z\xc3][\w'\x80-\xff-]{1,20} ?){1,4},? \d{1,4}(?:, \d{4,5} [A-Z][\w\x80-\xff-]{1,30})?"
)


def _national_ids() -> Iterator[Rule]:
    for one in NATIONAL_IDS:
        if one.form and one.trigger:
            pattern = re.compile(_EDGE + rb"(?<!\d )(?P<value>" + one.form + rb")(?! \d)" + _PAST)
            yield Rule("NATIONAL_ID", RedactionClass.IDENTITY, one.trigger, pattern, check=one.is_valid)
        if one.names and one.labelled:
            pattern = re.compile(
                rb"(?i)" + _LABEL + one.names + _COLON + rb"(?P<value>" + one.labelled + rb")" + _PAST
            )
            yield _labelled(
                "NATIONAL_ID",
                RedactionClass.IDENTITY,
                b"(?i)" + one.names + _COLON_TRIGGER + rb"\d",
                pattern,
                one.is_valid,
            )


def _labelled(
    kind: str,
    group: RedactionClass,
    trigger: bytes,
    pattern: re.Pattern[bytes],
    check: Check | None = None,
) -> Rule:
    return Rule(kind, group, trigger, pattern, back=150, ahead=60, check=check, is_labelled=True)


def _has_digits(match: re.Match[bytes]) -> bool:
    return len(re.findall(rb"\d", match["value"])) >= 4


_NO_NAMES = frozenset(
    b"name id type date number address the a an history record information data status portal education safety care presents was is has with "
    b"who may should must none null unknown string true false not the this that it your my pepper".split()
)


def _is_name(match: re.Match[bytes]) -> bool:
    words = match["value"].split()
    is_word = bool({word.lower() for word in words} & _NO_NAMES) or match["value"].isupper()
    return not is_word and not values.is_identifier(match["value"])


RULES: tuple[Rule, ...] = (
    *_national_ids(),
    _labelled(
        "PASSPORT",
        RedactionClass.IDENTITY,
        rb"(?i)(?:passport|reisepass|passeport|pasaporte|passnummer)[^\n]{0,24}\d{3}",
        re.compile(
            rb"(?i)(?:passport|reisepass|passeport|pasaporte|passnummer)(?:[ _-]?(?:number|num|no\.?|nr\.?|nummer|#))?" + _COLON
            + rb"(?P<value>[A-Z0-9]{6,10})" + _PAST
        ),
        _has_digits,
    ),
    _labelled(
        "LICENCE",
        RedactionClass.IDENTITY,
        rb"(?i)(?:licen[cs]e|f\xc3\xbchrerschein|permis)[^\n]{0,24}\d{3}",
        re.compile(
            rb"(?i)(?:driv(?:er'?s?|ing)[ _-]?licen[cs]e|f\xc3\xbchrerschein(?:nummer)?|permis de conduire)(?:[ _-]?(?:number|no\.?|nr\.?|#))?" + _COLON
            + rb"(?P<value>[A-Z0-9][A-Z0-9 -]{5,18}[A-Z0-9])" + _PAST
        ),
        _has_digits,
    ),
    _labelled(
        "BIRTH_DATE",
        RedactionClass.IDENTITY,
        rb"(?i)(?:birth|dob|born|geb|bday|n\xc3\xa9e?|nacimiento|nascita)[^\n]{0,30}\d",
        re.compile(
            rb"(?i)" + _LABEL + rb"(?:date[ _-]?of[ _-]?birth|birth[ _-]?dat?e?y?|dob|d\.o\.b\.|born(?: on)?|geboren(?: am)?|geb\.|geburtsdatum|bday|n\xc3\xa9e? le"
            rb"|date de naissance|fecha de nacimiento|data di nascita|nato il|nata il)(?:" + _COLON + rb"|[ ]?)(?P<value>" + _DATE + rb")(?![\w-])"
        ),
    ),
    _labelled(
        "RECORD_NUMBER",
        RedactionClass.PERSON,
        rb"(?i)(?:mrn|record|patient|member|policy|case|insurance)[^\n]{0,30}\d{3}",
        re.compile(
            rb"(?i)" + _LABEL + rb"(?:mrn|medical[ _-]?record(?:[ _-]?(?:number|no\.?|#))?|patient[ _-]?(?:id|number|no\.?)|member[ _-]?(?:id|number)"
            rb"|(?:health )?insurance[ _-]?(?:id|number|no\.?)|policy[ _-]?(?:number|no\.?)|case[ _-]?(?:number|no\.?)|docket[ _-]?(?:number|no\.?))" + _COLON
            + rb"(?P<value>[A-Z]{0,4}[- ]?\d[\dA-Z:/-]{3,18})" + _PAST
        ),
        _has_digits,
    ),
    _labelled(
        "PERSON",
        RedactionClass.PERSON,
        _PERSON_TRIGGER + rb"[^\n]{0,20}[\"': ,][A-Z\xc3]",
        re.compile(
            _LABEL + _PERSON_LABEL + rb"(?:\\{0,3}[\"']?\s{0,2}[:=]\s{0,3}\\{0,3}[\"']?(?:Dr\. |Mr\.? |Mrs\.? |Ms\.? )?|(?<=, )|(?<=is) )" + _FULL_NAME
        ),
        _is_name,
    ),
    _labelled(
        "PERSON",
        RedactionClass.PERSON,
        rb"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Herrn|Frau|Mme|M|Sr|Sra|Hon|Judge)\.? [A-Z\xc3]",
        re.compile(
            rb"(?<![\w.])(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Mme|Sra?|Judge)\.? (?P<value>" + _NAME + rb"(?: " + _NAME + rb"){0,2})"
        ),
        _is_name,
    ),
    _labelled(
        # `Ada Byron ("Seller")`: whoever gets a name of their own in a contract.
        "PERSON",
        RedactionClass.PERSON,
        rb"[a-z]\S? \((?:the |hereinafter (?:referred to as )?(?:the )?)?(?:\\?\"|\xe2\x80\x9c)[A-Z][a-z]{2}",
        re.compile(
            _LABEL + rb"(?P<value>" + _NAME + rb"(?: (?:van|von|de|der|la|el|bin|[A-Z]\.|" + _NAME + rb")){1,3})"
            rb" \((?:the |hereinafter (?:referred to as )?(?:the )?)?(?:\\?\"|\xe2\x80\x9c)[A-Z][a-z]{2}"
        ),
        _is_name,
    ),
    Rule(
        "ADDRESS",
        RedactionClass.PERSON,
        rb"\d[A-Za-z]? (?:[\w.'\x80-\xff-]{1,26} ){1,5}(?:St|Av|R[od]|La|Ln|Dr|Bo|Bl|Co|Ct|Pl|Sq|Te|Wa|Cl|Cr|Pa|Pk|Hi|Hw)",
        re.compile(rb"(?<![\w.])" + _STREET),
        back=200,
        ahead=120,
    ),
    Rule(
        "ADDRESS",
        RedactionClass.PERSON,
        rb"(?:stra\xc3\x9fe|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|rue|avenue|boulevard|chemin|place|impasse|quai|alle|ia|venida|laza|iazza|ua) [\w]",
        re.compile(rb"(?<![\w.])(?:" + _STREET_AFTER + rb")"),
        back=60,
        ahead=80,
    ),
)  # fmt: skip
