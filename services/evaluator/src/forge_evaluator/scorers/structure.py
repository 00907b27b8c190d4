"""The form of a document: required sections with prose in them, order, length, nothing said twice. Reads no meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from forge_evaluator.benchmarks.checks import DocumentCheck, Terms
from forge_evaluator.scorers.addressed import is_addressed
from forge_evaluator.scorers.prose import UNMARKED, Document, Section, Sentence, run_in_heading, sentence_list
from forge_evaluator.scorers.typed import Reading, pattern
from forge_evaluator.scorers.vocabulary import words

SECTION_WORDS = 25
_TOO_SHORT = 0.2
_FORM, _LENGTH, _ORDER = 0.6, 0.2, 0.2
_ENOUGH_PROSE = 0.35
_SAME_WORDS = 8


def structure(check: DocumentCheck, reading: Reading) -> tuple[float, tuple[str, ...]]:
    """Share of 1, and what is amiss. Far fewer words than asked for: a fifth at most.

    Only sentences about the task fill sections and reach the least length, so that padding gains nothing.
    """
    flaws: list[str] = []
    form = _sections(check, reading, flaws) if check.sections else _prose(reading, flaws)
    length = _length(check, reading.length, len(reading.document.words), flaws)
    share = _FORM * form + _LENGTH * length + _ORDER * _order(reading, flaws)
    if reading.length < check.min_words / 2:
        share = min(share, _TOO_SHORT)
    return share, tuple(flaws)


def _sections(check: DocumentCheck, reading: Reading, flaws: list[str]) -> float:
    lengths = {sentence.text: reading.lengths[sentence] for sentence in reading.relevant}
    found = 0
    for titles in check.sections:
        count = max(
            (_prose_words(body, lengths) for body in _bodies(titles, check.sections, reading.document)),
            default=None,
        )
        if count is None:
            flaws.append(f"no section {titles[0]!r}")
        elif count < SECTION_WORDS:
            flaws.append(f"the section {titles[0]!r} has {count} words of prose, fewer than {SECTION_WORDS}")
        found += (count or 0) >= SECTION_WORDS
    return found / len(check.sections)


def _bodies(titles: Terms, required: Sequence[Terms], document: Document) -> Iterable[list[Sentence]]:
    """What stands under a heading that has one of `titles`, its subsections included."""
    sections = document.sections
    for index, section in enumerate(sections):
        if _names(titles, section.title):
            yield _whole(sections, index)
        for number, paragraph in enumerate(section.paragraphs):
            if _names(titles, run_in_heading(paragraph)):
                yield _until_next(section.paragraphs[number:], required)


def _whole(sections: Sequence[Section], index: int) -> list[Sentence]:
    body = list(sections[index].sentences)
    for section in sections[index + 1 :]:
        if section.level <= sections[index].level:
            break
        body += section.sentences
    return body


def _until_next(paragraphs: Sequence[str], required: Sequence[Terms]) -> list[Sentence]:
    body = sentence_list(paragraphs[0])
    for paragraph in paragraphs[1:]:
        title = run_in_heading(paragraph)
        if any(_names(titles, title) for titles in required):
            break
        body += sentence_list(paragraph)
    return body


def _names(titles: Terms, heading: str) -> bool:
    return bool(heading) and bool(pattern(titles).search(f" {' '.join(words(heading))} "))


def _prose_words(body: Iterable[Sentence], lengths: Mapping[str, int]) -> int:
    """Each sentence once."""
    return sum(lengths[text] for text in {s.text for s in body if s.is_statement and s.text in lengths})


def _prose(reading: Reading, flaws: list[str]) -> float:
    if not reading.is_prose:
        flaws.append("no prose")
        return 0.0
    stated = sum(reading.lengths[sentence] for sentence in reading.relevant if sentence.is_statement)
    share = min(1.0, stated / max(1, len(reading.document.words)) / _ENOUGH_PROSE)
    if share < 1:
        flaws.append("too little of the text is sentences on the point")
    return share


def _length(check: DocumentCheck, relevant: int, count: int, flaws: list[str]) -> float:
    """Falls to nothing at half of the least and at twice the most."""
    if relevant < check.min_words:
        flaws.append(f"{relevant} words on the point, fewer than {check.min_words}")
        return max(0.0, 2 * relevant / check.min_words - 1)
    if count > check.max_words:
        flaws.append(f"{count} words, more than {check.max_words}")
        return max(0.0, 2 - count / check.max_words)
    return 1.0


def _order(reading: Reading, flaws: list[str]) -> float:
    told = {sentence.text for sentence in reading.relevant}
    sections = [section for section in reading.document.sections if _is_told(section, told)]
    levels = [section.level for section in sections if 0 < section.level < UNMARKED]
    titles = [" ".join(words(section.title)) for section in sections if section.title]
    amiss = {
        "headings skip a level": any(b > a + 1 for a, b in pairwise(levels)),
        "a heading comes twice": len(set(titles)) < len(titles),
        "a sentence comes twice": _repeats(reading) > 0,
    }
    found = [name for name, is_so in amiss.items() if is_so]
    flaws.extend(found)
    return 1 - len(found) / len(amiss)


def _is_told(section: Section, told: set[str]) -> bool:
    """Not a heading in between that is about something else: it would mend a level that is skipped."""
    if section.sentences:
        return any(sentence.text in told or not sentence.content for sentence in section.sentences)
    return not is_addressed(section.title)


def _repeats(reading: Reading) -> int:
    said = Counter(s.own_words for s in reading.relevant if len(s.own_words) >= _SAME_WORDS)
    return sum(count - 1 for count in said.values())
