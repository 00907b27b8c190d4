"""How alike two documents are: ROUGE-L and chrF, times a guard for prose. Sees no negation, and proves nothing alone.

Answers to other tasks of a domain reach about 5, and 15 at most: up to 12 is zero here. Bags of words and repetitions of
the question, which token-set ratios and embeddings reward, are held down by the order that ROUGE-L asks for and by the guard.
"""

from __future__ import annotations

from collections import Counter

from forge_evaluator.scorers.vocabulary import FUNCTION_WORDS, function_share, stem, words

_FLOOR = 0.12
_PROSE_SHARE = 0.22
_MAX_CHARS = 20_000
_MAX_WORDS = 4_000
_GRAMS, _BETA = 6, 2.0


def likeness(answer: str, gold: str) -> float:
    """Share of 1. Of texts longer than the limits only the beginning is compared, and what is not counts as unlike.

    Words of the answer that the gold answer does not have match nothing, not even by their letters: they only dilute.
    """
    ours, theirs = words(answer), words(gold)
    if not ours or not theirs:
        return 0.0
    guard = min(1.0, function_share(ours) / _PROSE_SHARE)
    kept = _shared(ours, theirs)
    read = min(1.0, max(_MAX_CHARS, len(gold)) / len(answer))
    mix = (
        _rouge_l(kept[:_MAX_WORDS], theirs[:_MAX_WORDS], min(len(ours), _MAX_WORDS))
        + _chrf("".join(kept)[:_MAX_CHARS], "".join(theirs)[:_MAX_CHARS], len("".join(ours)[:_MAX_CHARS]))
    ) / 2
    return max(0.0, (mix * guard * read - _FLOOR) / (1 - _FLOOR))


def _shared(ours: list[str], theirs: list[str]) -> list[str]:
    """The answer's words whose stems the gold answer has; function words only where the next other word is one of these."""
    stems = {stem(word) for word in theirs}
    ahead = _beside(ours, stems)
    behind = _beside(ours[::-1], stems)[::-1]
    return [
        word
        for place, word in enumerate(ours)
        if stem(word) in stems and (word not in FUNCTION_WORDS or ahead[place] or behind[place])
    ]


def _beside(found: list[str], stems: set[str]) -> list[bool]:
    """For every word, whether the last one before it that is no function word is shared."""
    is_shared, beside = False, list[bool]()
    for word in found:
        beside.append(is_shared)
        if word not in FUNCTION_WORDS:
            is_shared = stem(word) in stems
    return beside


def rouge_l(ours: list[str], theirs: list[str]) -> float:
    """F1 of the longest common subsequence of words."""
    return _rouge_l(ours, theirs, len(ours))


def _rouge_l(kept: list[str], theirs: list[str], count: int) -> float:
    common = _common(kept, theirs)
    return 2 * common / (count + len(theirs)) if common else 0.0


def _common(ours: list[str], theirs: list[str]) -> int:
    """Its length, a row of the table at a time, each row the bits of one integer."""
    places: dict[str, int] = {}
    for position, word in enumerate(theirs):
        places[word] = places.get(word, 0) | 1 << position
    mask = (1 << len(theirs)) - 1
    row = mask
    for word in ours:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & mask
    return len(theirs) - row.bit_count()


def chrf(answer: str, gold: str) -> float:
    """Mean F2 over runs of one to six characters, spaces left out."""
    ours, theirs = "".join(answer.split()), "".join(gold.split())
    return _chrf(ours, theirs, len(ours))


def _chrf(kept: str, theirs: str, length: int) -> float:
    """`kept` is what may match, of an answer of `length` characters."""
    scores = [_f_beta(kept, theirs, size, length) for size in range(1, _GRAMS + 1) if len(theirs) >= size]
    return sum(scores) / len(scores) if scores else 0.0


def _f_beta(kept: str, theirs: str, size: int, length: int) -> float:
    left = Counter(kept[i : i + size] for i in range(len(kept) - size + 1))
    right = Counter(theirs[i : i + size] for i in range(len(theirs) - size + 1))
    shared = (left & right).total()
    if not shared:
        return 0.0
    precision, recall = shared / (length - size + 1), shared / right.total()
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
