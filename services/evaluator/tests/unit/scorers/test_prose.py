"""Documents taken apart, structure, requirements and likeness; and that hostile text costs linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import DocumentCheck, Task
from forge_evaluator.scorers import Answered, score
from forge_evaluator.scorers.completeness import completeness
from forge_evaluator.scorers.likeness import chrf, likeness, rouge_l
from forge_evaluator.scorers.prose import Prompt, plain, read, split_sentences
from forge_evaluator.scorers.structure import structure
from forge_evaluator.scorers.typed import Reading
from forge_evaluator.scorers.vocabulary import stem

FILLED = (
    "The question is whether the buyer may return the machine after three weeks, because it broke on the second day and"
    " the seller has refused to repair it although he was asked in writing."
)
RUBRIC = [{"id": "a", "text": "A", "points": 1}]


def form(text: str, **check: object) -> tuple[float, tuple[str, ...]]:
    reading = Reading.of(read(plain(text)), Prompt("Advise."))
    return structure(DocumentCheck.model_validate({"rubric": RUBRIC, "min_words": 0} | check), reading)


def test_headings_of_every_kind_are_found_and_keep_what_stands_under_them():
    text = (
        f"# Issue\n\n{FILLED}\n\n**Rule**\n\n{FILLED}\n\nFacts\n=====\n\n{FILLED}\n\nConclusion:\n\n{FILLED}"
    )

    assert [section.title for section in read(text).sections] == ["Issue", "Rule", "Facts", "Conclusion"]


def test_abbreviations_and_decimals_do_not_end_a_sentence():
    text = "See Art. 6 and sec. 12 of the Act. It costs USD 1.5 million, i.e. a lot. Dr. Who agrees!"

    assert len(list(split_sentences(text))) == 3


def test_items_and_table_rows_are_sentences_of_their_own():
    text = "The seller must:\n\n- deliver the goods\n- pay\n\n| a | b |\n|---|---|\n| one | two |"

    assert [s.text for s in read(text).sentences] == [
        "The seller must:",
        "deliver the goods",
        "pay",
        "| a | b |",
        "| one | two |",
    ]
    assert read(text).sentences[1].lead == "The seller must:"


def test_forms_of_a_word_share_their_stem():
    for family in (
        ["terminate", "terminates", "terminated"],
        ["damage", "damages"],
        ["cap", "capped"],
        ["call", "called"],
    ):
        assert len({stem(word) for word in family}) == 1


@pytest.mark.parametrize(
    "style", ["## {}\n\n{}", "**{}**\n\n{}", "**{}.** {}", "{}: {}", "1. {}\n\n{}", "{}\n---\n\n{}"]
)
def test_a_required_section_is_found_under_every_usual_heading(style: str):
    text = "\n\n".join(style.format(title, FILLED.replace("machine", title)) for title in ("Issue", "Rule"))

    share, flaws = form(text, sections=[["Issue", "Question"], ["Rule"]])

    assert (share, flaws) == (1, ())


def test_a_heading_alone_is_no_section():
    share, flaws = form(f"## Issue\n\n{FILLED}\n\n## Rule\n\nTo be written.", sections=[["Issue"], ["Rule"]])

    assert share == pytest.approx(0.7)
    assert "'Rule' has" in flaws[0]


def test_doubled_paragraphs_headings_and_skipped_levels_cost():
    text = f"# A\n\n{FILLED}\n\n### B\n\n{FILLED}\n\n### B\n\nAnd more."

    share, flaws = form(text)

    assert share == pytest.approx(0.8)
    assert len(flaws) == 3


def test_too_few_and_too_many_words_cost():
    assert form(FILLED, min_words=100)[0] <= 0.2
    assert form(FILLED, min_words=0, max_words=15)[0] < form(FILLED)[0]


def covered(text: str, *requirements: str) -> list[float]:
    return [
        found.share for found in completeness(requirements, Reading.of(read(plain(text)), Prompt("?")).fresh)
    ]


def test_a_requirement_needs_a_sentence_that_says_it():
    assert covered("The notice must be given in writing by the tenant.", "Notice in writing") == [1]
    assert covered("The notice must not be given in writing by the tenant.", "Notice in writing") == [
        pytest.approx(0.3)
    ]
    assert covered("notice, writing, tenant", "Notice in writing") == [pytest.approx(0.3)]
    assert covered("The weather is nice and the sea is calm today.", "Notice in writing") == [0]


def test_a_requirement_that_denies_needs_a_denial():
    assert covered("A signature is not needed for this kind of lease.", "No signature needed") == [1]
    assert covered("A signature is needed for this kind of lease.", "No signature needed")[0] < 1


def test_one_sentence_serves_one_requirement():
    text = "The notice must be given in writing by the tenant."

    assert sorted(covered(text, "Notice in writing", "Tenant gives notice")) == [pytest.approx(0.3), 1]


def test_sentences_are_given_to_requirements_so_that_most_are_covered():
    text = "The tenant gives notice in writing to the owner. The tenant gives notice by email as well."

    assert covered(text, "Tenant gives notice", "Notice in writing") == [1, 1]


def test_rouge_l_and_chrf_agree_with_values_worked_out_by_hand():
    # Longest common subsequence of "police killed the gunman" and "police kill the gunman": three of four words.
    assert rouge_l(
        ["police", "killed", "the", "gunman"], ["police", "kill", "the", "gunman"]
    ) == pytest.approx(0.75)
    # One of two letters and none of one pair: F2 of 1/2, then 0.
    assert chrf("ab", "ac") == pytest.approx((0.5 + 0) / 2)
    assert chrf("same words", "same words") == 1


def _longest(ours: list[str], theirs: list[str]) -> int:
    """The textbook's table."""
    row = [0] * (len(theirs) + 1)
    for word in ours:
        last = row[:]
        for place, other in enumerate(theirs, start=1):
            row[place] = last[place - 1] + 1 if word == other else max(last[place], row[place - 1])
    return row[-1]


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=30),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=30),
)
def test_the_longest_common_subsequence_is_the_textbooks(ours: list[str], theirs: list[str]):
    assert rouge_l(ours, theirs) == pytest.approx(2 * _longest(ours, theirs) / (len(ours) + len(theirs)))


def test_likeness_puts_paraphrase_over_another_answer_and_keywords_at_nothing():
    near = FILLED.replace("three weeks", "some weeks").replace("refused", "declined")
    other = "Sourdough needs a warm kitchen, and it is fed with flour and water in the morning until it has doubled."

    assert likeness(FILLED, FILLED) == 1
    assert 0.6 < likeness(near, FILLED) < 1
    assert likeness(other, FILLED) < 0.1
    assert likeness("buyer return machine weeks broke second day seller refused repair writing", FILLED) < 0.1


TASK = Task.model_validate(
    {
        "id": "t",
        "prompt": "Advise the buyer.",
        "requirements": ["return the machine", "seller refused to repair"],
        "gold_answer": FILLED,
        "check": {
            "kind": "document",
            "sections": [["Issue"]],
            "rubric": [
                {"id": "s", "text": "S", "points": 1,
                 "check": {"type": "states", "groups": [["buyer"], ["return*"]], "within": "passage"}},
                {"id": "n", "text": "N", "points": 1, "check": {"type": "number", "value": 3, "unit": "weeks"}},
                {"id": "d", "text": "D", "points": 1, "check": {"type": "date", "value": "2026-03-01"}},
                {"id": "c", "text": "C", "points": 1, "check": {"type": "citation", "forms": ["17 U.S.C. § 107"]}},
                {"id": "l", "text": "L", "points": 1, "check": {"type": "label", "value": "a", "options": ["a", "b"]}},
            ],
        },
    }
)  # fmt: skip
HOSTILE = [
    "the ", FILLED + " ", FILLED + "\n\n", "|", "|a", "#", "# a\n", "*", "**a**\n\n", "1", "1,", "1 000 ", "1.000.", "̧́", "ﷺ",
    ">", "> ", ".", '."', "a. ", "- a\n", "not ", "no, ", "if x, the ", "u.s.", "§ ", "a\n===\n", "<think>", "\x1b[", "Answer: ",
    "Answer: x\n", "March 1, ", "(", "USD ", "one ", "twenty-", "`", "```\n", "\U0001f600", "\0", "_", "Issue: ", "\ud800",
]  # fmt: skip


@pytest.mark.integration  # costs a minute
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_is_scored_in_seconds(piece: str):
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()

    found = score(TASK, Answered(text=text), Scoring(), None)

    assert time.process_time() - began < 15
    assert found.points is not None
    assert found.points < 60


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("the notis. 1,5%$§|#*>-_`\n(:;?!é́﷽\u200b🙂A\t\"'"), max_size=300))
def test_any_text_is_scored(text: str):
    found = score(TASK, Answered(text=text), Scoring(), None)

    assert found.points is not None
    assert 0 <= found.points <= 100
