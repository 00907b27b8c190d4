"""Personal data under the labels of several languages and formats: numbers of persons, names, addresses, what is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum import luhn

from forge_collector.redaction import values
from forge_collector.redaction.rule import Rule
from forge_common.contracts.domain import RedactionClass

# Letters beyond ASCII, also as JSON escapes them where it was not parsed.
_ESCAPED = rb"\\{1,4}u0[01][0-9a-f]{2}"
_E = rb"(?:\xc3[\xa8\xa9]|e|\\{1,4}u00e[89])"
_UP = rb"(?:[A-Z]|[\xc3-\xc5][\x80-\xbf]|" + _ESCAPED + rb")"
_LOW = rb"(?:[\w'\x80-\xff-]|" + _ESCAPED + rb")"
_NAME = rb"(?:" + _UP + _LOW + rb"{1,30})"
_PARTICLE = rb"(?:van|von|de|der|den|del|della|la|le|el|al|bin|ben|da|dos|di|du|zu|y|[A-Z]\.)"
_FULL_NAME = _NAME + rb"(?: (?:" + _PARTICLE + rb" ){0,2}(?:[A-Z]\. )?" + _NAME + rb"){0,3}"
_SEVERAL = _NAME + rb"(?: (?:" + _PARTICLE + rb" ){0,2}(?:[A-Z]\. )?" + _NAME + rb"){1,3}"
_TITLE = rb"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Sra?|Srta|D(?=\.)|Do\xc3\xb1a|D\xc3\xb1a|D(?:o)?\\{1,4}u00f1a|Don|Sig|Sig\.ra|Dott|Ing|Dipl\.-Ing|Mag|med|Judge|Justice|Capt|Sgt|Rev)\b\.? ){1,4}"
_BREAK = rb"(?:\r?\n|\\{1,4}n)[+> \t]{0,3}"
_START = rb"(?:(?<![A-Za-z\x80-\xff])|(?<=\\[nrt]))"
# The same for triggers, which know no look-around, and for what may begin with a sign.
_BEFORE = rb"(?:^|[^A-Za-z\x80-\xff]|\\[nrt])"
_EDGE = rb"(?:(?<![\w.])|(?<=\\[nrt]))"
# Between a label and its value: JSON, XML, forms, sentences.
_COLON = rb"(?: ?(?:no|nr|num|number|nummer|n\xc2\xb0|\xc2\xb0|\\{1,4}u00b0|#)\.?)?(?:\\{0,3}[\"'\]]{0,2}\s{0,3}[:=#>|]\s{0,3}\\{0,3}[\"'(]?|[ ](?:is |ist |lautet |est |es |lyder )?|\t)"
_NO_NAMES = frozenset(
    b"name id type date number address the a an history record information data status portal education safety care is was has with who may "
    b"should must none null unknown string true false not this that it your my team all there everyone everybody sir madam support thanks hello "
    b"service sales office department customer kunde herr frau damen herren ihr ihre sie invoice string required optional key api token user admin "
    b"http https json xml apikey bearer gmbh ag ltd inc llc pepper corp company kind best regards sincerely dear".split()
)


def _is_name(match: re.Match[bytes]) -> bool:
    words = match["value"].split()
    is_word = bool({word.lower().strip(b".") for word in words} & _NO_NAMES)
    return not (is_word or match["value"].isupper() or values.is_identifier(match["value"]))


def _digits(least: int) -> Callable[[re.Match[bytes]], bool]:
    return lambda match: sum(48 <= c <= 57 for c in match["value"]) >= least


def _rule(
    kind: str,
    group: RedactionClass,
    trigger: bytes,
    pattern: bytes,
    check: Callable[[re.Match[bytes]], bool] | None = None,
    *,
    back: int = 160,
    ahead: int = 90,
) -> Rule:
    return Rule(
        kind, group, trigger, re.compile(pattern), back=back, ahead=ahead, check=check, is_labelled=True
    )


_ID_LABELS = (
    rb"(?:(?:kranken)?versicherten(?:nummer|-?nr\.?)|kvnr|sozialversicherungs-?(?:nummer|nr\.?)|rentenversicherungs-?(?:nummer|nr\.?)|sv-?(?:nummer|nr\.?)|svnr"
    rb"|steuer-?(?:nummer|nr\.?)|st\.-?nr\.?|personalausweis(?:nummer|-?nr\.?)?|ausweis(?:nummer|-?nr\.?)|nif|nie|dni|nuss|curp|rut|cuit|cuil"
    rb"|nip|regon|pps(?:n| ?number| ?no\.?)?|tfn|tax[ _-]?file[ _-]?number|medicare[ _-]?(?:card|number|no\.?)|itin|utr|ni[ _-]?(?:number|no\.?)|nino|national[ _-]insurance"
    rb"|national[ _-]?id(?:entity)?|identity[ _-]?(?:card|number)|id[ _-]?card|citizen[ _-]?id|personal[ _-]?(?:id|code|number)"
    rb"|s"
    + _E
    + rb"curit"
    + _E
    + rb" sociale|num"
    + _E
    + rb"ro fiscal|codice fiscale|partita iva|carta d'identit\xc3\xa0|cart"
    + _E
    + rb" d'identit"
    + _E
    + rb"|henkil\xc3\xb6tunnus|henkil\\{1,4}u00f6tunnus|f\xc3\xb8dselsnummer|f\\{1,4}u00f8dselsnummer|isikukood|cnp|oib|egn|amka"
    rb"|\xec\xa3\xbc\xeb\xaf\xbc\xeb\x93\xb1\xeb\xa1\x9d\xeb\xb2\x88\xed\x98\xb8|my number)"
)
_RECORD_LABELS = (
    rb"(?:mrn|hospital[ _-]?(?:no|number)|medical[ _-]?record|patient(?:en)?[ _-]?(?:id|nr|nummer|number|no)|fall-?(?:nummer|nr)|aufnahme-?(?:nummer|nr)|chart[ _-]?(?:no|number)"
    rb"|(?:vertrags|kunden|mitglieds|versicherungs(?:schein)?|policen|schaden|akten|personal)-?(?:nummer|nr)|customer[ _-]?(?:id|no|number)|account[ _-]?(?:holder )?(?:no|number)|policy[ _-]?(?:no|number)|claim[ _-]?(?:no|number)"
    rb"|member(?:ship)?[ _-]?(?:id|no|number)|employee[ _-]?(?:id|no|number)|case[ _-]?(?:no|number)|docket|aktenzeichen|num"
    + _E
    + rb"ro de (?:dossier|client|contrat)|n\xc2\xb0 (?:de )?(?:dossier|client|contrat)|n\xc3\xbamero de (?:expediente|cliente|p\xc3\xb3liza)|expediente|ipp)"
)
_PEOPLE_LABELS = (
    rb"(?:(?:(?:first|last|full|given|family|middle|maiden|customer|client|patient|employee|contact|student|guest|account|card)[ _-]?)?(?:holder|name)|guest|mitarbeiter(?:in)?|driver|passenger|grant(?:or|ee)|trust(?:or|ee)|executor|decedent|lessor|lessee|debtor|creditor|guarantor|victim|suspect|spouse|husband|wife|mother|father|guardian|present|apologies|attendees?|participants?|chair(?:person)?|minutes by|teilnehmer(?:in)?|anwesend|gast|fahrer(?:in)?|schuldner(?:in)?|gl\xc3\xa4ubiger(?:in)?|surname|vorname|nachname|familienname|nom(?: de famille)?|pr"
    + _E
    + rb"nom|nombre|apellidos?|nome|cognome"
    rb"|FN|CN|firstname|lastname|given|family|arbeitnehmer(?:in)?|arbeitgeber(?:in)?|versicherungsnehmer(?:in)?|versicherte[r]?|kunde|kundin|mieter(?:in)?|vermieter(?:in)?|ansprechpartner(?:in)?|bearbeiter(?:in)?|antragsteller(?:in)?"
    rb"|kl\xc3\xa4ger(?:in)?|kl\\{1,4}u00e4ger(?:in)?|beklagter?|zeug(?:e|in)|mandant(?:in)?|patient(?:in|e)?|absender|empf\xc3\xa4nger|customer|client|caller|keeper|owner|tenant|landlord|buyer|seller|borrower|lender|employee|beneficiary|applicant|witness|claimant|plaintiff|defendant"
    rb"|respondent|petitioner|appellant|insured|policyholder|sender|recipient|attn|contact(?: person)?|signed(?: by)?|prepared by|referred by|physician|surgeon|consultant|assegurado|titulaire|titular|assur"
    + _E
    + rb"e?|b"
    + _E
    + rb"n"
    + _E
    + rb"ficiaire|paciente|cliente|demandeur|demandante|next of kin|emergency contact)"
)
_PHONE_LABELS = (
    rb"(?:tel|telefon|telephone|t"
    + _E
    + rb"l(?:"
    + _E
    + rb"phone)?|tel\xc3\xa9fono|tel\\{1,4}u00e9fono|telefono|telefoon|phone|mobile|mobil|mobiel|m(?:\xc3\xb3|\\{1,4}u00f3)vil|cell|cellulare|celular|fax|handy|whatsapp|gsm|portable|rufnummer|r\xc3\xbcckruf|sms|kom\xc3\xb3rka|puhelin|telefonnr|msisdn)"
)
# For the trigger: `call` and `text` alone are in every text.
_PHONE_ENDS = (
    rb"(?:tel|t(?:\xc3[\xa8\xa9]|\\{1,4}u00e[89])l|fono|foon|phone|mobi|m(?:\xc3\xb3|\\{1,4}u00f3)vil|cell|celular|fax|handy|whatsapp|gsm|portable|rufnummer"
    rb"|\xc3\xbcckruf|sms|kom\xc3\xb3rka|puhelin|msisdn)"
)
_CALL = rb"(?:call|text|ring) (?:me|us|back) (?:unter |on |at )?"
_TO_NUMBER = rb"(?:\\{0,3}[\"']?\s{0,2}[:=>]\s{0,2}\\{0,3}[\"']?|[ ](?:(?:bitte |back |me |us )?(?:unter|on|at|auf|is|ist|me) )?)"
_MONTH = (
    rb"(?:jan|gen|ene|f"
    + _E
    + rb"[bv]|m(?:a|\xc3\xa4|\\{1,4}u00e4)[iryjgr]|mrt|mei|a[pbv]r|ju[nil]|giu|lug|a(?:u|o)(?:g|\xc3\xbb|\\{1,4}u00fb|u)|ago|se[pt]|o[ckt]t|nov|d"
    + _E
    + rb"[czs]|dic)(?:[a-z]|[\xc3][\x80-\xbf]|"
    + _ESCAPED
    + rb"){0,8}\.?"
)
_DATE = (
    rb"(?:\d{1,2}[./ -]\d{1,2}[./ -]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{8}|\d{1,2}(?:st|nd|rd|th|er|\.|\xc2\xba)?(?: de)?[ -]"
    + _MONTH
    + rb",?(?: de)?[ -]\d{2,4}|"
    + _MONTH
    + rb" \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_CITY = _UP + _LOW + rb"{1,25}(?:[ -](?:am|an der|bei|sur|de|la|" + _UP + _LOW + rb"{1,20})){0,3}"
_PERSON, _IDENTITY, _NETWORK = RedactionClass.PERSON, RedactionClass.IDENTITY, RedactionClass.NETWORK
_CLOSINGS = (
    rb"(?:(?:kind|best|warm|many|with (?:kind|best))? ?regards|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)|cheers|thanks|thank you|best(?: wishes)?|all the best|respectfully"
    rb"|(?:mit )?(?:freundlichen|besten|herzlichen|vielen|lieben|sch\xc3\xb6nen)? ?gr\xc3\xbc\xc3\x9fen?|(?:mit )?(?:freundlichen|besten|herzlichen|lieben|viele|liebe|beste)? ?gr\\{1,4}u00fc\\{1,4}u00dfen?|viele gr\xc3\xbc\xc3\x9fe|mfg|lg|vg|hochachtungsvoll"
    rb"|(?:bien )?cordialement|bien \xc3\xa0 vous|salutations(?: distingu\xc3\xa9es)?|un (?:cordial )?saludo|saludos(?: cordiales)?|atentamente|cordiali saluti|met vriendelijke groet(?:en)?|saluti)"
)

RULES: tuple[Rule, ...] = (
    _rule(
        "NATIONAL_ID", _IDENTITY,
        _BEFORE + rb"(?i:" + _ID_LABELS.replace(rb"|rut|", rb"|\brut\b|").replace(rb"|nie|", rb"|\bnie\b|").replace(rb"|nip|", rb"|\bnip\b|").replace(rb"|cnp|", rb"|\bcnp\b|") + rb")[^\n\w]{0,4}(?:[\w\xc2\xb0.]{1,8}[^\n\w]{0,4})?[A-Z]{0,6}\d",
        rb"(?i:" + _START + _ID_LABELS + rb"(?:[ _-]?(?:code|card|id))?" + _COLON + rb")(?P<value>[A-Z]{0,6}[ -]?\d(?:[A-Z0-9]|[ ./-](?=[A-Z0-9])){5,22})(?![\w-])",
        lambda match: sum(48 <= c <= 57 for c in match["value"]) >= 6 or (len(match["value"]) >= 9 and sum(48 <= c <= 57 for c in match["value"]) >= 3),
    ),
    _rule(
        # Letters first, as in Mexico and Italy, and on German cards.
        "NATIONAL_ID", _IDENTITY,
        _BEFORE + rb"(?i:curp|codice fiscale|personalausweis|ausweis|identity card|id card)[^\n]{0,20}[A-Z0-9]{7}",
        rb"(?i:" + _START + rb"(?:curp|codice fiscale|personalausweis(?:nummer|-?nr\.?)?|ausweis(?:nummer|-?nr\.?)|identity card|id card)" + _COLON + rb")(?P<value>[A-Z0-9]{8,18})(?![\w-])",
        _digits(3),
    ),
    _rule(
        "PASSPORT", _IDENTITY,
        rb"(?i)(?:pass(?:port|nummer|-?nr)|reisepass|passeport|pasaporte|passaporto|paspoort)[^\n]{0,24}[A-Z0-9]{6}",
        rb"(?i:(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer|pass-?nr)(?:[ _-]?(?:number|num|no|nr|nummer|n\xc2\xb0|n\\{1,4}u00b0|#)\.?)?" + _COLON + rb")(?P<value>[A-Z0-9]{6,10})(?![\w-])",
        _digits(2),
    ),
    _rule(
        "BIRTH_DATE", _IDENTITY,
        _BEFORE + rb"(?i:date[ _-]?of[ _-]?birth|birth|dob|d\.o\.b|born|geb|bday|n\xc3\xa9e?|n\\{1,4}u00e9|naissance|nacimi|nacid|nascita|nat[oa] il|f\xc3\xb8dt|geboorte|data urodz|date de naissance|fecha de nacimi)[^\n]{0,40}\d",
        rb"(?i)" + _START + rb"(?:date[ _-]?of[ _-]?birth|birth[ _-]?dat?e?y?|dob|d\.? ?o\.? ?b\.?|born(?: on)?|(?:geb(?:oren|\.)?)(?: am)?|\*|geburts(?:datum|tag)|bday|n" + _E + rb"(?:\(e\)|e)? le|date de naissance"
        rb"|(?:fecha de )?nacimiento|nacid[oa](?: el)?|data di nascita|nat[oa] il|data de nascimento|geboortedatum|f\xc3\xb8dselsdato|data urodzenia)(?:\\{0,3}[\"'\]]{0,2}\s{0,3}[:=>]\s{0,3}\\{0,3}[\"'(]?|[ ]{0,2})(?P<value>" + _DATE + rb")(?![\w-])",
        ahead=60,
    ),
    _rule(
        "LICENCE", _IDENTITY,
        rb"(?i)(?:licen[cs]e (?:no|num)|driv(?:er'?s?|ing)[ _-]?licen[cs]e|\bdl\b|f\xc3\xbchrerschein|permis de|patente|carnet de|rijbewijs)[^\n]{0,24}[A-Z0-9-]{0,12}\d",
        rb"(?i:(?:driv(?:er'?s?|ing)[ _-]?licen[cs]e|licen[cs]e (?:no|number)|dl|f\xc3\xbchrerschein(?:nummer|-?nr\.?)?|permis de conduire|carnet de conducir|rijbewijs(?:nummer)?|patente)" + _COLON + rb")(?P<value>[A-Z0-9][A-Z0-9-]{5,18}[A-Z0-9])(?![\w-])",
        _digits(4),
    ),
    _rule(
        "RECORD_NUMBER", _PERSON,
        _BEFORE + rb"(?i:" + _RECORD_LABELS + rb")[^\n]{0,24}\d{2}",
        rb"(?i:" + _START + _RECORD_LABELS + rb"\.?" + _COLON + rb")(?P<value>[A-Z]{0,4}[- ]?\d(?:[\dA-Z]|[:/-](?=[\dA-Z])){3,18})(?![\w-])",
        _digits(4),
    ),
    _rule(
        "PLATE", _PERSON,
        rb"(?i)(?:kennzeichen|plate|registration|immatriculation|matr(?:\xc3\xad|\\{1,4}u00ed)cula|targa|\breg)[^\n]{0,24}\d",
        rb"(?i:(?:amtl(?:iches|\.)? ?kennzeichen|kennzeichen|(?:licen[cs]e|number|registration)[ _-]?plate|vehicle registration(?: (?:number|no\.?|mark))?|registration (?:number|no\.?|mark)|immatriculation|matr(?:\xc3\xad|\\{1,4}u00ed)cula|targa|kenteken|reg\.? no\.?)" + _COLON + rb")"
        rb"(?P<value>[A-Z]{1,3}[- ][A-Z]{1,2}[- ]?\d{1,4}[EH]?|[A-Z]{2}\d{2} ?[A-Z]{3}|[A-Z]{2}-\d{3}-[A-Z]{2}|\d{4} ?[A-Z]{3}|[A-Z0-9]{1,4}[- ]?[A-Z0-9]{2,4}(?:[- ][A-Z0-9]{1,4})?)(?![\w-])",
        _digits(1),
    ),
    _rule(
        "DEVICE_ID", _NETWORK,
        rb"(?i)(?:imei|meid|iccid)[^\n]{0,12}\d{14}",
        rb"(?i:imei|iccid)(?:\\{0,3}[\"']?\s{0,3}[:=#]?\s{0,3}\\{0,3}[\"']?)(?P<value>\d{15,20})(?!\d)",
        lambda match: luhn.is_valid(match["value"].decode()),
    ),
    _rule("MAC", _NETWORK, rb"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}", rb"(?<![\w.])(?P<value>(?=[0-9.]*[a-f])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})(?![\w.])"),
    _rule(
        "PHONE", RedactionClass.CONTACT,
        rb"(?i)(?:" + _PHONE_ENDS + rb"[a-z]{0,9}\.?" + _TO_NUMBER + rb"|" + _CALL + rb"|(?:\n\+?|\\n|[|] )[MTF][.:] ?)\(?\+?\d[\d ()./-]{6}",
        rb"(?:(?i:" + _START + _PHONE_LABELS + rb"\.?" + _TO_NUMBER + rb")|(?i:" + _CALL + rb")|(?:\n\+?|\\n|[|] )[MTF][.:] ?)(?P<value>\(?\+?\d[\d ()./-]{6,20}\d)(?![\w-]|\.\d)",
        lambda match: 8 <= sum(48 <= c <= 57 for c in match["value"]) <= 15 and len(set(match["value"])) > 3 and b"." not in match["value"][1:3],
    ),
    _rule(
        # Mobile numbers as Germany, Austria, the Netherlands, France and Italy write them, and landlines with a dash.
        "PHONE", RedactionClass.CONTACT,
        rb"0[1-9]\d{0,4}\)?[ /-]{1,3}\d{2,8}",
        rb"(?:(?<![\w.+/=#$-])(?<!\d[ :,])|(?<=\\[nrt]))(?P<value>0[1-9]\d{1,4}[ ]?[/-][ ]?\d{5,9}|06[ -]\d{8}|0[67]\d{2} \d{3} \d{2} \d{2}|0\d{2} \d{3} \d{2} \d{2}|0049[ -]?\d{2,4}[ -]?\d{3,8}|0[1-9]\d{1,3} \d{6,8})(?![\w/-]|[.,:]\d| \d)",
        lambda match: 9 <= sum(48 <= c <= 57 for c in match["value"]) <= 14 and len(set(match["value"])) > 4 and not re.search(rb"12345", match["value"]),
    ),
    _rule(
        "PHONE", RedactionClass.CONTACT,
        rb"\+\d{1,3} ?\(0\)",
        rb"(?<![\w.+/=-])(?P<value>\+[1-9]\d{0,2} ?\(0\) ?\d(?:[ ./-]{0,2}\d){6,11})(?![\w-]|\.\d)",
    ),
    # Names.
    _rule(
        "PERSON", _PERSON,
        _BEFORE + rb"(?i:" + _PEOPLE_LABELS + rb")(?:\\{0,3}[\"']?\s{0,3}[:=>]|, )[ \[\"'\\]{0,4}(?:[A-Z][a-z]{0,4}\.? ){0,2}(?:[A-Z][a-z'\xc3-\xc5\\]|[\xc3-\xc5]|\\)",
        _START + rb"(?i:" + _PEOPLE_LABELS + rb")(?:\\{0,3}[\"']?\s{0,3}(?:[:=>]|:=)\s{0,3}\[?\\{0,3}[\"']?|, )(?:" + _TITLE + rb")?(?P<value>" + _FULL_NAME + rb"(?:, " + _NAME + rb")?)(?![\w(.])",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        rb"<(?:\w{1,10}:)?(?:first|last|given|family|full|sur|middle)-?_?name>[^<\n]{2}",
        rb"(?i)<(?:\w{1,10}:)?(?:first|last|given|family|full|sur|middle)-?_?name>(?P<value>[^<\n\x00]{2,60})</",
    ),
    _rule(
        "PERSON", _PERSON,
        _BEFORE + rb"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Sra?|Srta|D\.|D\xc3\xb1a|Do\xc3\xb1a|Do?\\{1,4}u00f1a|Don|Sig|Dott|med|Judge|Justice)\.? (?:[A-Z]|[\xc3-\xc5]|\\)",
        _EDGE + _TITLE + rb"(?P<value>" + _FULL_NAME + rb")",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        rb"(?i)" + _CLOSINGS + rb"[,.!]? ?(?:\r?\n|\\{1,4}n)",
        rb"(?i:" + _CLOSINGS + rb")[,.!]?[ ]?(?:" + _BREAK + rb"){1,3}(?:" + _TITLE + rb")?(?P<value>" + _FULL_NAME + rb")(?=[ ]?(?:[\r\n,|\x00\"]|\\|\Z|$))",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        _BEFORE + rb"(?i:hi|hello|hey|dear|hallo|liebe[r]?|sehr geehrte[r]?|moin|bonjour|ch(?:\xc3\xa8|e)re?|hola|estimad[oa]|querid[oa]|ciao|cher)[ ](?:[A-Z]|[\xc3-\xc5]|\\)",
        _START + rb"(?i:hi|hello|hey|dear|hallo|lieber?|sehr geehrter?|bonjour|ch\xc3\xa8re|cher|hola|estimad[oa]|querid[oa]|ciao) (?:" + _TITLE + rb")?(?P<value>" + _FULL_NAME + rb")(?=[,!:]| -)",
        _is_name,
    ),
    _rule(
        # The name before an address, in mails and commits.
        "PERSON", _PERSON,
        rb"[\w\x80-\xff]\"? <[A-Za-z0-9._%+-]{1,64}@",
        _START + rb"(?P<value>" + _FULL_NAME + rb")\"? (?=\\?<[A-Za-z0-9._%+-]{1,64}@)",
        _is_name,
    ),
    _rule(
        # Parties: `Jones v. Smith`, `Maier ./. Muster GmbH`; `between … and …`, `…, wohnhaft in`, `… ("the Tenant")`.
        "PERSON", _PERSON,
        rb"[\w\x80-\xff] (?:v\.|vs\.?|\./\.|c/|contra|gegen) [A-Z\xc3-\xc5]",
        _START + rb"(?P<value>" + _FULL_NAME + rb") (?=(?:v\.|vs\.?|\./\.|c/|contra|gegen) )",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        rb"(?i)(?:between|zwischen|entre|tra|by and between|and|und) [^\n]{3,60}(?: of \d| \(|, (?:wohnhaft|residing|of \d|demeurant|geboren|born|domicili))",
        rb"\b(?:[Bb]etween|zwischen|entre|and|und|et|y) (?:" + _TITLE + rb")?(?P<value>" + _NAME + rb"(?: (?:" + _PARTICLE + rb" ){0,2}" + _NAME + rb"){1,3})(?= of \d| \(|, (?:wohnhaft|residing|of \d|demeurant|geboren|born|domicili))",
        _is_name,
    ),
    _rule(
        # Health records: HL7's patient segment.
        "PERSON", _PERSON,
        rb"PID\|\d{0,4}\|[^\n]{6}",
        rb"PID\|\d{0,4}\|(?P<value>[^\n\r\x00\\\"]{6,400})",
        ahead=400,
    ),
    _rule(
        "RECORD_NUMBER", _PERSON,
        rb"\"system\\{0,3}\": ?\\{0,3}\"[^\"]{1,80}(?:mrn|patient|record|insurance)[^\"]{0,40}\\{0,3}\", ?\\{0,3}\"value",
        rb"(?:mrn|patient|record|insurance)[^\"\x00]{0,40}\", ?\\{0,3}\"value\\{0,3}\": ?\\{0,3}\"(?P<value>[A-Z0-9-]{4,24})",
        _digits(4),
    ),
    # Who speaks in a chat, whom a document is about, who is the head of a curriculum.
    _rule(
        "PERSON", _PERSON,
        rb"\d:\d\d(?::\d\d)?(?: [AP]M)?(?:\] | - )[A-Z\xc3-\xc5\\][^\n:]{2,80}:",
        rb"\d:\d\d(?::\d\d)?(?: [AP]M)?(?:\] | - )(?P<value>" + _SEVERAL + rb")(?=:)",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        rb"(?i)(?:\brx for|in the matter of|\bin re|prepared for|on behalf of|attorney for(?: the)? [a-z]{3,12}:|estate of) [A-Z\xc3-\xc5\\]",
        _START + rb"(?i:rx for|in the matter of|in re|prepared for|on behalf of|attorney for(?: the)? [a-z]{3,12}:|estate of):? (?:" + _TITLE + rb")?(?P<value>" + _SEVERAL + rb")(?![\w(])",
        _is_name,
    ),
    _rule(
        "PERSON", _PERSON,
        rb"(?:\n|\\n)\+?(?i:n\xc3\xa9|n\\{1,4}u00e9|born|geboren|geb\.|date of birth|dob|tel|phone|mobile|e-?mail|adresse|address|anschrift|courriel)\W",
        rb"(?:(?<=[\n\x00])|\A|(?<=\\n)|(?<=\n\+)|(?<==))(?P<value>" + _SEVERAL + rb")(?=(?:\r?\n|\\{1,4}n)\+?(?i:n\xc3\xa9|n\\{1,4}u00e9|born|geboren|geb\.|date of birth|dob|tel|phone|mobile|e-?mail|adresse|address|anschrift|courriel)\W)",
        _is_name,
    ),
    # Addresses.
    _rule(
        # `Am Mühlbach 5, 12345 Ulm`, `Calle Mayor 5, 09001 Burgos`: street, number, code and town.
        "ADDRESS", _PERSON,
        rb"\d[a-z]?,? (?:[A-Z]{1,2}-)?\d{4,5} [A-Z\xc3]",
        _EDGE + rb"(?P<value>(?:" + _UP + _LOW + rb"{1,30}\.?|[A-Z]/|de|la|del|den|der|dem|zum|zur)(?:[ ](?:" + _UP + _LOW + rb"{1,30}\.?|de|la|las|los|del|den|der|dem)){0,5} \d{1,4} ?[a-z]?(?:,|\r?\n|\\{1,4}n| -)? ?(?:[A-Z]{1,2}-)?\d{4,5} " + _CITY + rb")",
        back=160,
    ),
    _rule(
        "ADDRESS", _PERSON,
        rb"\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|av|boul|bd|chem|place|impasse|quai|all)",
        _EDGE + rb"(?P<value>\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|av\.|boulevard|bd|chemin|place|impasse|quai|all\xc3\xa9e) (?:" + _LOW + rb"{1,25} ?){1,6}(?:, ?|\r?\n|\\{1,4}n)\d{5} " + _CITY + rb")",
        ahead=120,
    ),
    _rule(
        "ADDRESS", _PERSON,
        rb"\d (?:[NSEW]{1,2}\.? )?[\w.' -]{3,40}, [A-Z][\w. -]{2,24},? [A-Z]{2} \d{5}",
        _EDGE + rb"(?P<value>\d{1,5}[A-Za-z]? (?:[\w.'#-]{1,25} ?){1,6}(?:, (?:Apt|Suite|Unit|#)\.? ?[\w-]{1,6})?, [A-Z][\w. -]{2,24},? [A-Z]{2},? \d{5}(?:-\d{4})?)",
        ahead=60,
    ),
    _rule(
        "ADDRESS", _PERSON,
        rb"\d [\w.' -]{3,60},? [A-Z][a-z]{2,20},? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}",
        _EDGE + rb"(?P<value>\d{1,4}[A-Za-z]? (?:[A-Z][\w.'-]{1,25} ?){1,5}, (?:[A-Z][\w'-]{2,24},? ){1,3}[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b",
        ahead=60,
    ),
    _rule(
        "ADDRESS", _PERSON,
        rb"(?i)(?:address|anschrift|wohnhaft|adresse|domicilio|direcci\xc3\xb3n|residing|street|indirizzo)[^\n]{0,30}[^\n]{6}\d",
        rb"(?i:" + _START + rb"(?:(?:home|postal|billing|shipping|street|mailing)?[ _-]?address|anschrift|wohnhaft(?: in)?|adresse|domicilio(?: en)?|direcci\xc3\xb3n|residing at|indirizzo))\\{0,3}[\"']?(?:\s?[:=]\s?\\{0,3}[\"']?|[ ])(?P<value>(?=[^\n\x00\"\\]{0,60}\d{1,5})[A-Z0-9\xc3][^\n\x00\"\\;<|]{8,90}\d[^\n\x00\"\\;<|(]{0,30})",
        ahead=130,
        check=lambda match: b"@" not in match["value"] and re.search(rb"\d{1,3}\.\d{1,3}\.\d|0x|//|[={}]", match["value"]) is None and b" " in match["value"],
    ),
    _rule(
        "CARD_CODE", RedactionClass.FINANCIAL,
        rb"(?i)(?:cvc|cvv|cvn|security_?code)2?[^\n\d]{0,8}\d{3}",
        rb"(?i)\b(?:cvc|cvv|cvn|security_?code)2?\\{0,3}[\"']?\s{0,2}[:=]?\s{0,2}\\{0,3}[\"']?(?P<value>\d{3,4})(?!\d)",
    ),
)  # fmt: skip
