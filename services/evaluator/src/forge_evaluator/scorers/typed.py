"""Typed checks: whether an answer states something, and gives the right figure, date, citation or label. No model decides.

What stands in the prompt, asks, or is no prose, proves nothing. A statement and its denial in one answer count half.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Protocol

from forge_evaluator.benchmarks.checks import (
    CitationCheck,
    DateCheck,
    FigureCheck,
    LabelCheck,
    StatesCheck,
    Terms,
    TypedCheck,
)
from forge_evaluator.scorers.addressed import is_addressed
from forge_evaluator.scorers.figures import amounts, dates, figures, is_falling, unit
from forge_evaluator.scorers.negation import denies_before, disowns, polarities
from forge_evaluator.scorers.prose import MAX_WORDS, Document, Prompt, Sentence, is_prose, spans
from forge_evaluator.scorers.vocabulary import is_listed, words

LISTED = "the answer lists phrases and states nothing"
_CONTRADICTED = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """How far the check is met; `quote` stands verbatim in the answer. `why` says what was missing."""

    share: float
    quote: str = ""
    why: str = ""


class About(Protocol):
    """What a task is about; `topic.Topic` is one."""

    def holds(self, sentence: Sentence) -> bool: ...

    def touches(self, sentence: Sentence) -> bool: ...

    def passes_by(self, sentence: Sentence) -> bool: ...

    def length(self, sentence: Sentence) -> int: ...


@dataclass(frozen=True)
class Reading:
    """An answer as the checks see it. What is not about the task is in no list but `fresh`: words that are added to an answer
    and say nothing about its task change nothing here, and so cannot gain.

    `fresh`: not copied from the prompt. `heard`: may be evidence. `relevant`: about the task, fills sections and lengths.
    """

    document: Document
    fresh: tuple[Sentence, ...]
    heard: tuple[Sentence, ...]
    relevant: tuple[Sentence, ...]
    lengths: dict[Sentence, int]
    """Of each relevant sentence, in words; what is put before or behind them adds nothing."""
    share: float
    """Of the text that says anything at all, how much is about the task."""

    @classmethod
    def of(cls, document: Document, prompt: Prompt, about: About | None = None) -> Reading:
        """Without a topic everything is about it."""
        # A bag of all the right words has no full stops: it is one long sentence, and says nothing.
        fresh = [s for s in document.sentences if len(s.words) <= MAX_WORDS and not prompt.holds(s.own_words)]
        spoken = [_led(s, about) for s in fresh if not s.is_to_the_scorer]
        relevant = [s for s in spoken if s.content and (about is None or about.holds(s))]
        passing = [s for s in spoken if about is not None and about.passes_by(s)]
        lengths = {s: about.length(s) if about else len(s.own_words) for s in relevant}
        on = sum(lengths[s] for s in relevant)
        off = sum(len(s.own_words) for s in (*passing, *(s for s in fresh if s.is_to_the_scorer)))
        return cls(
            document,
            tuple(fresh),
            tuple(s for s in spoken if about is None or about.touches(s)),
            tuple(relevant),
            lengths,
            on / (on + off) if on else 0.0,
        )

    def share_of(self, prompt: Prompt) -> float:
        """How much of what is about the task stands in its question."""
        kept = set(self.relevant)
        found = [s for s in self.document.sentences if s in kept or prompt.holds(s.own_words)]
        return prompt.share_in([word for sentence in found for word in sentence.own_words])

    @cached_property
    def length(self) -> int:
        return sum(self.lengths[sentence] for sentence in self.relevant)

    @cached_property
    def owned(self) -> tuple[Sentence, ...]:
        """The sentences that are heard, but for those that call themselves untrue."""
        return tuple(sentence for sentence in self.heard if not disowns(sentence.text))

    @cached_property
    def text(self) -> str:
        return "\n".join(sentence.text for sentence in self.relevant)

    @cached_property
    def is_prose(self) -> bool:
        return is_prose([word for sentence in self.relevant for word in sentence.own_words])

    @cached_property
    def is_listed(self) -> bool:
        """Whether it only names things: then it states none."""
        kept = [span for sentence in self.relevant for span in spans(sentence.text)]
        return is_listed(kept)

    @cached_property
    def whole(self) -> Reading:
        """With everything in it that could count against the answer."""
        return replace(self, heard=self.fresh, relevant=self.fresh)


def _led(sentence: Sentence, about: About | None) -> Sentence:
    """Without the line that introduces its list, where that one is about something else."""
    if not sentence.lead or about is None:
        return sentence
    lead = Sentence(sentence.lead)
    return sentence if about.holds(lead) and not lead.is_to_the_scorer else replace(sentence, lead="")


def decide(check: TypedCheck, reading: Reading, *, is_held_against: bool = False) -> Found:
    """`is_held_against`: what an answer should not say counts wherever it stands, and a denial beside it takes nothing back."""
    if is_held_against:
        found = _decide(check, reading.whole)
        return replace(found, share=1.0) if found.share else found
    if not reading.is_prose:
        return Found(0.0, why="the answer is no prose")
    if reading.is_listed and isinstance(check, StatesCheck):
        return Found(0.0, why=LISTED)
    return _decide(check, reading)


def _decide(check: TypedCheck, reading: Reading) -> Found:
    if isinstance(check, StatesCheck):
        return _states(check, reading)
    if isinstance(check, FigureCheck):
        return _figure(check, reading)
    if isinstance(check, DateCheck):
        return _date(check, reading)
    if isinstance(check, CitationCheck):
        return _citation(check, reading)
    return _label(check, reading)


@lru_cache(maxsize=4096)
def pattern(terms: Terms) -> re.Pattern[str]:
    """Fits any of `terms` in words that are joined by single spaces, with a space at both ends."""
    alternatives = (
        " ".join(re.escape(word) + (r"[^ ]*" if has_ending else "") for word, has_ending in _term_words(term))
        for term in terms
        if words(term)
    )
    return re.compile(rf"(?<= )(?:{'|'.join(alternatives) or '(?!)'})(?= )")


def _term_words(term: str) -> Iterator[tuple[str, bool]]:
    pieces = term.replace("’", "'").split("*")
    for index, piece in enumerate(pieces):
        found = words(piece)
        for word in found[:-1]:
            yield word, False
        if found:
            yield found[-1], index < len(pieces) - 1


def has_term(terms: Terms, sentence: Sentence) -> bool:
    return bool(pattern(terms).search(_joined(sentence.words)))


def _joined(found: Sequence[str]) -> str:
    return f" {' '.join(found)} "


def _positions(terms: Terms, joined: str) -> set[int]:
    """Every word position that a term covers."""
    covered: set[int] = set()
    for found in pattern(terms).finditer(joined):
        first = joined.count(" ", 0, found.start()) - 1
        covered.update(range(first, first + found.group().count(" ") + 1))
    return covered


def _states(check: StatesCheck, reading: Reading) -> Found:
    said: dict[bool, list[tuple[str, list[set[str]]]]] = {True: [], False: []}
    for passage in _passages(check, reading):
        text = " ".join(sentence.whole for sentence in passage)
        found = words(text)
        joined = _joined(found)
        if not all(pattern(group).search(joined) for group in check.groups):
            continue
        groups = [_positions(group, joined) for group in check.groups]
        quote = " ".join(sentence.text for sentence in passage)
        terms = [{found[position] for position in group} for group in groups]
        for is_denied in polarities(text, groups, set().union(*groups)):
            said[is_denied].append((quote, terms))
    stated, opposed = said[check.negated], said[not check.negated]
    if not stated:
        why = "stated the other way round" if opposed else "not stated in any sentence"
        return Found(0.0, opposed[0][0] if opposed else "", why)
    for quote, terms in stated:
        if not (contrary := _contrary(quote, terms, opposed)):
            return Found(1.0, quote)
    return Found(_CONTRADICTED, stated[0][0], f"contradicted by: {contrary}")


def _contrary(quote: str, terms: list[set[str]], opposed: Sequence[tuple[str, list[set[str]]]]) -> str:
    """Another sentence that says the opposite in the same terms."""
    return next(
        (
            other
            for other, others in opposed
            if other != quote and all(mine & theirs for mine, theirs in zip(terms, others, strict=True))
        ),
        "",
    )


def _passages(check: StatesCheck, reading: Reading) -> Iterator[tuple[Sentence, ...]]:
    """Neighbours are those with nothing between them but what says nothing about the task."""
    yield from ((sentence,) for sentence in reading.heard if sentence.is_statement)
    if check.within == "passage":
        yield from (pair for pair in pairwise(reading.relevant) if all(s.is_statement for s in pair))


def _figure(check: FigureCheck, reading: Reading) -> Found:
    expected = unit(check.unit)
    wanted = check.value * expected.scale
    slack = max(check.tolerance * abs(wanted), 1e-9)
    other = ""
    for sentence in reading.owned:
        if check.near and not has_term(check.near, sentence):
            continue
        signed = is_falling(sentence.whole)
        for figure in figures(sentence.text):
            for amount in amounts(figure, expected):
                is_right = abs(amount - wanted) <= slack or (signed and abs(amount + wanted) <= slack)
                if is_right and not denies_before(sentence.text[: figure.start]):
                    return Found(1.0, sentence.text)
                other = other or sentence.text
    return Found(0.0, other, "another figure is given" if other else "no such figure is given")


def _date(check: DateCheck, reading: Reading) -> Found:
    other = ""
    for sentence in reading.owned:
        if check.near and not has_term(check.near, sentence):
            continue
        for date, start in dates(sentence.text):
            if date == check.value and not denies_before(sentence.text[:start]):
                return Found(1.0, sentence.text)
            other = other or sentence.text
    return Found(0.0, other, "another date is given" if other else "no such date is given")


def _citation(check: CitationCheck, reading: Reading) -> Found:
    wanted = _citations(check.forms)
    for sentence in reading.owned:
        if wanted.search(sentence.text.casefold()):
            return Found(1.0, sentence.text)
    return Found(0.0, why="not cited")


_CITATION_TOKEN = re.compile(r"§+|\d+|[^\W\d_]+|&")
_SYNONYMS = {
    "§": r"(?:§{1,2}|sections?|secs?\.?|ss?\.?)",
    "art": r"(?:arts?\.?|articles?)",
    "para": r"(?:paras?\.?|paragraphs?|¶)",
    "ch": r"(?:chs?\.?|chapters?)",
    "reg": r"(?:regs?\.?|regulations?)",
    "v": r"(?:vs?\.?|versus)",
    "and": r"(?:and|&)",
}
_CANONICAL = {
    "§": "§", "§§": "§", "section": "§", "sections": "§", "sec": "§", "secs": "§", "s": "§", "ss": "§", "art": "art",
    "arts": "art", "article": "art", "articles": "art", "para": "para", "paras": "para", "paragraph": "para",
    "paragraphs": "para", "ch": "ch", "chapter": "ch", "reg": "reg", "regs": "reg", "regulation": "reg", "v": "v",
    "vs": "v", "versus": "v", "and": "and", "&": "and",
}  # fmt: skip


@lru_cache(maxsize=1024)
def _citations(forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_citation_pattern(form) for form in forms))


def _citation_pattern(form: str) -> str:
    """`17 U.S.C. § 107` fits `17 USC sec. 107`, and not `17 U.S.C. § 1071`."""
    parts: list[str] = []
    last = ""
    for token in _citation_tokens(form.casefold()):
        if parts:
            # Two numbers must stay apart; anything else may touch.
            parts.append(
                r"[\s.,()'/\-–—]{1,4}" if last.isdigit() and token.isdigit() else r"[\s.,()'\-–—]{0,4}"
            )
        name = _CANONICAL.get(token)
        parts.append(_SYNONYMS[name] if name else _spaced(token))
        last = token
    return rf"(?<![\w]){''.join(parts)}(?![\w])"


def _citation_tokens(form: str) -> list[str]:
    """Words and numbers; `u.s.c.` is one."""
    return _CITATION_TOKEN.findall(
        re.sub(r"\b(?:[^\W\d_]\.\s?){2,}", lambda found: re.sub(r"[.\s]", "", found.group()) + " ", form)
    )


def _spaced(token: str) -> str:
    if token.isdigit() or len(token) > 6:
        return re.escape(token)
    return r"[.\s]{0,2}".join(map(re.escape, token)) + r"\.?"


def _label(check: LabelCheck, reading: Reading) -> Found:
    cue = re.compile(
        rf"^[\s*_#>\-\d.)]*{re.escape(check.cue)}[\s*_]*[:=–—-][\s*_]*(.*)$", re.IGNORECASE | re.MULTILINE
    )
    lines = [
        found
        for found in cue.finditer(reading.document.text)
        if found[1].strip() and not is_addressed(found.group())
    ]
    if lines:
        named = [_options(check, found[1]) for found in lines]
        is_right = all(names == {check.value} for names in named)
        return Found(
            float(is_right), lines[0].group().strip(), "" if is_right else "another label, or more than one"
        )
    asserted: dict[str, str] = {}
    for sentence in reading.owned:
        for name in _options(check, sentence.text):
            asserted.setdefault(name, sentence.text)
    is_right = set(asserted) == {check.value}
    return Found(float(is_right), asserted.get(check.value, ""), "" if is_right else "no label is settled on")


def _options(check: LabelCheck, text: str) -> set[str]:
    """The options that `text` asserts; the longest first, so that `not liable` is not `liable`."""
    joined = _joined(words(text))
    found: set[str] = set()
    for option in sorted(check.options, key=lambda name: -len(words(name))):
        term: Terms = (option.replace("*", " "),)
        if not words(option):
            continue
        covered = _positions(term, joined)
        if covered and False in polarities(text, [covered], covered):
            found.add(option)
        joined = pattern(term).sub(lambda hit: " ".join("\0" for _ in hit.group().split(" ")), joined)
    return found
