"""Values that a column's title names: CSV, Markdown tables, SQL's INSERT. Only as many rows as belong to the title."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from forge_collector.redaction import labels, values
from forge_common.contracts.domain import RedactionClass

_TITLE_PERSON = re.compile(rb"(?i)^(?:(?:first|last|full|given|family|middle|maiden|customer|client|patient|employee|contact|student)[ _-]?name|name|surname|vorname|nachname|nom|pr\xc3\xa9nom|nombre|apellidos?|kunde|patient(?:in)?)$")  # fmt: skip
_TITLE_BIRTH = re.compile(rb"(?i)^(?:dob|birth[ _-]?da(?:te|y)|date[ _-]of[ _-]birth|geburtsdatum|geburtstag|date de naissance|fecha de nacimiento)$")  # fmt: skip
_TITLE_ADDRESS = re.compile(rb"(?i)^(?:(?:street|home|postal|mailing|billing|shipping)?[ _-]?address|street|stra\xc3\x9fe|strasse|anschrift|adresse|direcci\xc3\xb3n)$")  # fmt: skip
_TITLE_RECORD = re.compile(rb"(?i)^(?:mrn|patient[ _-]?(?:id|no|number)|record[ _-]?(?:id|no|number)|customer[ _-]?(?:no|number)|policy[ _-]?(?:no|number)|kundennummer|versichertennummer)$")  # fmt: skip
_TITLE_PHONE = re.compile(rb"(?i)^(?:(?:mobile|home|work|cell)?[ _-]?(?:tele)?phone(?:[ _-]?(?:no|number))?|mobile|mobil|telefon|handy|t\xc3\xa9l(?:\xc3\xa9phone)?|tel|tel\xc3\xa9fono)$")  # fmt: skip
_TITLE_ID = re.compile(rb"(?i)^(?:[\w ]{1,8} ?/ ?)?(?:ssn|cpr|hetu|cuit|cuil|rut|run|nif|curp|personnummer|kennitala|amka|oib|egn|cnp|jmbg|id[ _-]?(?:number|no|card)|social[ _-]security[ _-]?\w{0,6}|passport(?:[ _-]?(?:no|number))?|national[ _-]?id|steuer[ _-]?id|svnr|nin|nino|dni|nie|pesel|bsn|cpf|tax[ _-]?id)$")  # fmt: skip
_BREAK = re.compile(rb"\r?\n|\\{1,4}r?\\{0,4}n|\x00")
_INSERT = re.compile(rb"(?i)insert\s+into\s+[\w.`\"\[\]]{1,80}\s*\((?P<titles>[^()]{3,800})\)\s*values\s*")
_TUPLE = re.compile(rb"\(((?>(?:'(?>(?:[^'\\]|''|\\.)*)'|[^()'])*))\)")
_CELL = re.compile(rb"'(?>(?:[^'\\]|''|\\.)*)'|\"[^\"\n]*+\"|[^,'\"\s][^,]*+")
_ESCAPED_TAB = re.compile(rb"\\{1,4}t(?=[A-Z]|[a-z]{2})")
# In JSON that was not parsed the first title stands behind the field's name.
_OPENING = re.compile(rb"[^\r\n]{0,200}\": ?\\{0,7}\"(?=[^\"])")
_MOST_ROWS = 5000
# A title has none of code's signs, except a remark at its end; `('insert','insert'),` and `0x33bd:'mw', 0x33be:'kw'` are code.
_CODE = re.compile(rb"[=\[\]{}]|[^\s]\(|\)[^\s\"]|:\s?'")
_TUPLES = re.compile(rb"\s*\(\s?[\"']")
_ANYTHINGS = frozenset((b"name", b"nom", b"nombre"))
_OF_PERSONS = re.compile(
    rb"(?i)mail|phone|mobil|tel|birth|dob|geburt|naissance|nacimi|address|street|stra|anschrift|adresse|direcci|city|town|stadt|iban|ssn|mrn"
    rb"|surname|vorname|pr\xc3\xa9nom|apellido|gender|\bage\b|salary|patient|employee|passport|national|diagnos"
)


def _is_word(value: bytes) -> bool:
    return (
        value[:1].isalpha()
        and value[:1] == value[:1].upper()
        and not value.isdigit()
        and not values.is_reference(value)
    )


def _has_digit(value: bytes) -> bool:
    return sum(48 <= c <= 57 for c in value) >= 4


def _is_password(value: bytes) -> bool:
    if b'"' in value:
        return values.is_symbol_soup(value)
    value = value.rstrip(b")]}")
    return (
        values.is_bare_password(value) and not values.is_long_name(value) and not values.is_dotted_name(value)
    ) or (len(value) >= 40 and value[:1] == b"$")


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Titles that name secrets, as `labels` knows them; asked as a pattern is."""

    kind_of: Callable[[bytes], bool | None]
    is_key: bool

    def match(self, title: bytes) -> bool:
        return self.kind_of(title) is self.is_key


_PERSON, _SECRETS = RedactionClass.PERSON, RedactionClass.SECRETS
_KINDS: tuple[tuple[re.Pattern[bytes] | _Secrets, str, RedactionClass, Callable[[bytes], bool]], ...] = (
    (_Secrets(labels.title, is_key=False), "PASSWORD", _SECRETS, _is_password),
    (_Secrets(labels.title, is_key=True), "SECRET", _SECRETS, values.is_key),
    (_TITLE_PERSON, "PERSON", _PERSON, lambda value: _is_word(value) or value[:1] >= b"\xc3" or value[:2] == b"\\u"),
    (_TITLE_BIRTH, "BIRTH_DATE", RedactionClass.IDENTITY, _has_digit),
    (_TITLE_ADDRESS, "ADDRESS", _PERSON, lambda value: any(48 <= c <= 57 for c in value)),
    (_TITLE_RECORD, "RECORD_NUMBER", _PERSON, _has_digit),
    (_TITLE_PHONE, "PHONE", RedactionClass.CONTACT, lambda value: sum(48 <= c <= 57 for c in value) >= 7),
    (_TITLE_ID, "NATIONAL_ID", RedactionClass.IDENTITY, _has_digit),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """A rule for the columns of one kind: what `rule.Rule` is for a pattern."""

    kind: str
    group: RedactionClass
    title: re.Pattern[bytes] | _Secrets
    check: Callable[[bytes], bool]
    trigger: bytes
    back: int = 600
    ahead: int = 600
    is_labelled: bool = True
    # Then `trigger` is a label as such, and may be no title at all.
    is_secret: bool = False

    def spans(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """All of them, wherever a title may be."""
        for head in _lines(text, max(start, 0), end):
            yield from self._below(text, head[1])

    def behind(self, text: bytes, ends: list[int]) -> Iterator[tuple[int, int]]:
        """Those of the lines that hold `ends`, which are in order."""
        past = -1
        for end in ends:
            at = labels.end_of_name(text, end) if self.is_secret else end
            if at <= past or (self.is_secret and not _may_be_title(text, at)):
                continue
            past = yield from self._below(text, at)

    def _below(self, text: bytes, at: int) -> Generator[tuple[int, int], None, int]:
        """The cells below the title in whose line `at` is. Returns where they end."""
        start = max(at - self.back, 0)
        # Looked for as a word first, which is much faster.
        if b"insert" in text[start:at].lower() and _SQL.search(text, start, at):
            yield from self._of_inserts(text, start, at + self.ahead)
        head = _line(text, at, self.back, self.ahead)
        if sign := _sign(text[head[0] : head[1]]):
            return (yield from self._of_table(text, head, sign))
        return head[1]

    def _wanted(self, titles: list[bytes]) -> list[int]:
        """Which columns are meant. `name` alone is anything's: beside it must stand what only persons have."""
        is_of_persons = any(map(_OF_PERSONS.search, titles))
        return [
            at
            for at, title in enumerate(titles)
            if self.title.match(title) and (is_of_persons or title.lower() not in _ANYTHINGS)
        ]

    def _of_table(
        self, text: bytes, head: tuple[int, int], sign: bytes
    ) -> Generator[tuple[int, int], None, int]:
        at = head[1]
        if opening := _OPENING.match(text, head[0], at):
            head = opening.end(), at
        first, *others = (text[a:b] for a, b in _cells(text, *head, sign))
        # Behind a log's own words, or a name that a text is assigned to.
        titles = [_bare(title) for title in (first.rpartition(b"=")[2], *others)]
        # One word and a sign is a line of code.
        is_table = len(titles) - titles.count(b"") >= 2 and all(len(title) <= 40 for title in titles)
        if not is_table or _TUPLES.match(first) or any(map(_CODE.search, others)):
            return at
        if not (wanted := self._wanted(titles)):
            return at
        for row in _rows(text, at, sign, len(titles)):
            at = row[1]
            cells = _cells(text, *row, sign)
            for column in wanted:
                a, b = _trimmed(text, *cells[column])
                if self.check(text[a:b]):
                    yield a, b
        return at

    def _of_inserts(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        for found in _INSERT.finditer(text, start, end):
            titles = [_bare(title) for title in found["titles"].split(b",")]
            wanted = self._wanted(titles)
            at = found.end()
            while wanted and (row := _TUPLE.match(text, at)):
                cells = [cell.span() for cell in _CELL.finditer(text, row.start(1), row.end(1))]
                for column in wanted if len(cells) == len(titles) else ():
                    a, b = _trimmed(text, *cells[column])
                    if self.check(text[a:b]):
                        yield a, b
                at = row.end()
                while text[at : at + 1] in (b",", b" ", b"\n", b"\r", b"\t") or text[at : at + 2] == b"\\n":
                    at += 2 if text[at : at + 1] == b"\\" else 1


_TITLE_ENDS = re.compile(
    rb"(?:s|[ _-]\w{1,12})?[\"'`* \\]{0,4}(?:[,;\t|]|\\t|\r?\n|\\n|\)\s{0,4}(?i:values))"
)
# What follows a name among the arguments of a function: `session, ident):`, `key, value=1`.
_ARGUMENTS = re.compile(rb"(?>[^\n\\=\[\]{}():]{0,200})(?:[=\[\]{}]|(?<!\s)\(|\)[^\s\",])")
_SQL = re.compile(rb"[nN][sS][eE][rR][tT]\s+[iI][nN][tT][oO]\s")


def _may_be_title(text: bytes, at: int) -> bool:
    """Whether the name of a secret that ends at `at` ends a column's title, and no argument's name."""
    found = _TITLE_ENDS.match(text, at)
    if found is None:
        return False
    return text[found.end() - 1 : found.end()] != b"," or _ARGUMENTS.match(text, found.end()) is None


def _line(text: bytes, at: int, back: int, ahead: int) -> tuple[int, int]:
    """The line that `at` is in; a trigger may have ended with its break."""
    before = text[max(at - 4, 0) : at]
    inside = at - len(before) + len(before.rstrip(b"\r\n"))
    if text[inside - 2 : inside] == b"\\n":
        inside -= 2
    first = max(inside - back, 0)
    escaped = text.rfind(b"\\n", first, inside)
    start = max(
        first,
        text.rfind(b"\n", first, inside) + 1,
        text.rfind(b"\x00", first, inside) + 1,
        escaped + 2 if escaped >= 0 else 0,
    )
    return start, _line_end(text, inside, min(inside + ahead, len(text)))


def _line_end(text: bytes, start: int, end: int) -> int:
    """Where the line of `start` ends, `end` at most. Escaped breaks are looked for only where there is a backslash."""
    found = text.find(b"\n", start, end)
    rest = text[start : found if found >= 0 else end]
    if b"\\" in rest or b"\x00" in rest:
        following = _BREAK.search(text, start, end)
        return following.start() if following else end
    return start + len(rest) - (found >= 0 and rest.endswith(b"\r"))


def _lines(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for found in _BREAK.finditer(text, start, end):
        yield at, found.start()
        at = found.end()
    yield at, end


def _rows(text: bytes, at: int, sign: bytes, width: int) -> Iterator[tuple[int, int]]:
    """The lines below a title with as many cells, at most so many; a Markdown table's rule among them."""
    for _ in range(_MOST_ROWS):
        found = _BREAK.match(text, at)
        if found is None or found.group() == b"\x00":
            return
        at = found.end()
        last = _line_end(text, at, min(at + 4000, len(text)))
        if len(_cells(text, at, last, sign)) != width:
            return
        yield at, last
        at = last


def _sign(line: bytes) -> bytes:
    escaped = _ESCAPED_TAB.search(line) if b"\\" in line else None
    signs = (b"|", b"\t", escaped.group() if escaped else b"\t", b";", b",")
    return next((sign for sign in signs if sign in line), b"")


def _cells(text: bytes, start: int, end: int, sign: bytes) -> list[tuple[int, int]]:
    cells, at = [], start
    while (to := text.find(sign, at, end)) >= 0:
        # A quoted cell may hold the sign.
        if text[at : at + 1] == b'"' and (close := text.find(b'"' + sign, at + 1, end)) >= 0:
            to = close + 1
        cells.append((at, to))
        at = to + len(sign)
    return [*cells, (at, end)]


def _bare(title: bytes) -> bytes:
    return title.strip(b" \t\"'`*+[]\\.:#/")


def _trimmed(text: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start : start + 1] in b" \t\"'`*\\+":
        start += 1
    while start < end and text[end - 1 : end] in b" \t\"'`*\\":
        end -= 1
    return start, end


def _beside_a_sign(words: bytes) -> bytes:
    """The word of a title with a sign beside it; what it is exactly is decided by `title`."""
    return (
        rb"(?i)(?:(?:[,;\t]|\\t)\\{0,3}\"?(?:"
        + words
        + rb")\\{0,3}\"?(?:[,;\t\r\n]|\\)|(?:^|[\n=]\+?|\\n)\\{0,3}\"?(?:"
        + words
        + rb")\\{0,3}\"?(?:[,;\t]|\\t)|\|[ ]{0,20}[*`]{0,2}(?:"
        + words
        + rb")[*`]{0,2}[ ]{0,20}\||insert\s+into\s+[\w.`\"\[\]]{1,80}\s*\([^()]{0,300}(?:"
        + words
        + rb"))"
    )


RULES: tuple[Columns, ...] = tuple(
    Columns(
        kind, group, title, check,
        trigger=words if group is _SECRETS else _beside_a_sign(words), is_secret=group is _SECRETS,
    )
    for (title, kind, group, check), words in zip(
        _KINDS,
        (
            labels.PASSWORDS,
            labels.KEYS,
            rb"(?:\w{1,10}[ _-]?)?name|surname|nom|pr\xc3\xa9nom|nombre|apellidos?|kunde|patient(?:in)?",
            rb"dob|birth[ _-]?da(?:te|y)|date[ _-]of[ _-]birth|geburtsdatum|geburtstag|date de naissance|fecha de nacimiento",
            rb"(?:\w{1,10}[ _-]?)?address|street|stra\xc3\x9fe|strasse|anschrift|adresse|direcci\xc3\xb3n",
            rb"mrn|(?:patient|record|customer|policy)[ _-]?(?:id|no|number)|kundennummer|versichertennummer",
            rb"(?:\w{1,10}[ _-]?)?(?:tele)?phone(?:[ _-]?(?:no|number))?|mobile?|telefon|handy|t\xc3\xa9l|tel",
            rb"(?:[\w ]{1,8} ?/ ?)?(?:cpr|hetu|cuit|cuil|rut|run|nif|curp|personnummer|kennitala|amka|oib|egn|cnp|jmbg|id[ _-]?(?:number|no|card))|ssn|passport(?:[ _-]?(?:no|number))?|national[ _-]?id|steuer[ _-]?id|svnr|nino?|dni|nie|pesel|bsn|cpf|tax[ _-]?id",
        ),
        strict=True,
    )
)  # fmt: skip
