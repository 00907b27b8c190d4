"""Which requirements an answer covers: each needs a sentence of its own that holds the requirement's content words.

A sentence that is copied from the prompt, asks, denies, or is no prose covers nothing; bare keywords earn a fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forge_evaluator.scorers.negation import is_denial, polarities
from forge_evaluator.scorers.prose import Sentence
from forge_evaluator.scorers.vocabulary import FUNCTION_WORDS, stem, words

_KEYWORDS_ONLY = 0.3
# Of five content words four must be there, of four or three two or three: a sentence says it in its own words.
_MATCHING = 2 / 3
# What requirements say about answers, and answers do not say about themselves.
_DIRECTIVES = frozenset(
    map(
        stem,
        [
            "address",
            "advise",
            "analyse",
            "analyze",
            "answer",
            "apply",
            "argue",
            "ask",
            "assess",
            "avoid",
            "calculate",
            "cite",
            "clarify",
            "clear",
            "clearly",
            "compare",
            "compute",
            "conclude",
            "consider",
            "correct",
            "correctly",
            "cover",
            "define",
            "demonstrate",
            "describe",
            "detail",
            "determine",
            "discuss",
            "distinguish",
            "emphasise",
            "emphasize",
            "evaluate",
            "example",
            "explain",
            "explicitly",
            "give",
            "given",
            "highlight",
            "identify",
            "illustrate",
            "include",
            "indicate",
            "interpret",
            "justify",
            "least",
            "list",
            "mention",
            "name",
            "note",
            "outline",
            "point",
            "present",
            "propose",
            "provide",
            "quote",
            "reason",
            "recognise",
            "recognize",
            "recommend",
            "refer",
            "report",
            "say",
            "set",
            "show",
            "specify",
            "stat",
            "state",
            "statement",
            "suggest",
            "summarise",
            "summarize",
            "support",
            "tell",
            "use",
            "using",
            "warn",
            "why",
            "correctly",
            "accurate",
            "appropriate",
            "relevant",
            "brief",
            "briefly",
        ],
    )
)


@dataclass(frozen=True, slots=True)
class Covered:
    requirement: str
    share: float
    quote: str = ""


def completeness(requirements: Sequence[str], sentences: Sequence[Sentence]) -> list[Covered]:
    """`sentences` are those that are not copied from the prompt."""
    wanted = [content(requirement) for requirement in requirements]
    statements = [sentence for sentence in sentences if sentence.is_statement]
    fits = [
        _fitting(r, stems, statements, len(wanted)) for r, stems in zip(requirements, wanted, strict=True)
    ]
    owner = _match(fits)
    spoken = frozenset[str]().union(*(sentence.stems for sentence in sentences))
    return [
        Covered(requirement, 1.0, statements[owner[index]].text)
        if index in owner
        else Covered(requirement, _KEYWORDS_ONLY * _present(wanted[index], spoken))
        for index, requirement in enumerate(requirements)
    ]


def content(requirement: str) -> frozenset[str]:
    """The stems that carry meaning; all of them where a requirement is made of nothing else."""
    found = [word for word in words(requirement) if word not in FUNCTION_WORDS and not word.endswith("n't")]
    stems = frozenset(map(stem, found))
    return stems - _DIRECTIVES or stems or frozenset(words(requirement))


def _present(stems: frozenset[str], spoken: frozenset[str]) -> float:
    return len(stems & spoken) / len(stems) if stems else 0.0


def _needed(stems: frozenset[str]) -> int:
    return len(stems) if len(stems) <= 2 else round(len(stems) * _MATCHING + 0.001)


def _fitting(requirement: str, stems: frozenset[str], statements: Sequence[Sentence], most: int) -> list[int]:
    """Sentences that cover the requirement, the closest first; no more than can matter to the matching."""
    is_denied = is_denial(requirement)
    close = [
        (len(stems & sentence.stems), index)
        for index, sentence in enumerate(statements)
        if len(stems & sentence.stems) >= _needed(stems)
    ]
    close.sort(key=lambda pair: (-pair[0], pair[1]))
    return [index for _, index in close if is_denied in _polarity(stems, statements[index])][:most]


def _polarity(stems: frozenset[str], sentence: Sentence) -> set[bool]:
    groups: dict[str, list[int]] = {}
    for position, word in enumerate(sentence.words):
        if (root := stem(word)) in stems:
            groups.setdefault(root, []).append(position)
    return polarities(sentence.whole, list(groups.values()), ())


def _match(fits: Sequence[Sequence[int]]) -> dict[int, int]:
    """Requirement → sentence, as many as possible, no sentence twice."""
    taken: dict[int, int] = {}

    def claim(requirement: int, seen: set[int]) -> bool:
        for sentence in fits[requirement]:
            if sentence in seen:
                continue
            seen.add(sentence)
            if sentence not in taken or claim(taken[sentence], seen):
                taken[sentence] = requirement
                return True
        return False

    for requirement in range(len(fits)):
        claim(requirement, set())
    return {requirement: sentence for sentence, requirement in taken.items()}
