"""Typed checks: statements and their denials, figures, dates, citations, labels, as people write them."""

import pytest

from forge_evaluator.benchmarks.checks import (
    CitationCheck,
    DateCheck,
    FigureCheck,
    LabelCheck,
    StatesCheck,
    TypedCheck,
)
from forge_evaluator.scorers.prose import Prompt, plain, read
from forge_evaluator.scorers.typed import Found, Reading, decide

PROSE = " This is the answer that we have for you, and it is what the file says about it."


def found(check: TypedCheck, text: str, prompt: str = "Review the file.") -> Found:
    return decide(check, Reading.of(read(plain(text + PROSE)), Prompt(prompt)))


def states(
    text: str, *groups: list[str], negated: bool = False, within: str = "sentence", prompt: str = "?"
) -> float:
    check = StatesCheck(groups=tuple(map(tuple, groups)), negated=negated, within=within)
    return found(check, text, prompt).share


BINDS = (["contract", "agreement"], ["binding", "enforceable"])


@pytest.mark.parametrize(
    "text",
    [
        "The contract is binding on both of the parties.",
        "In my view, the AGREEMENT is therefore enforceable.",
        "- **Result:** the contract is binding on the parties.",
        "| Result | the contract is binding on the parties |",
        "Although it was not signed, the contract is binding.",
        "The contract is binding, not merely an invitation to talk.",
        "The contract is not only fair but it is also binding.",
        "No, the contract is binding even without a seal.",
        "The contract is not binding unless it is signed, and it is binding here: the contract is binding.",
    ],
)
def test_a_statement_counts(text: str):
    assert states(text, *BINDS) > 0


@pytest.mark.parametrize(
    "text",
    [
        "The contract is not binding on either of the parties.",
        "The contract isn’t binding on either of the parties.",
        "It is not true that the contract is binding.",
        "Neither contract is binding on any of the parties.",
        "The contract was never binding on the buyer at all.",
        "If it is signed, the contract is not enforceable.",
        "Is the contract binding on the parties or not?",
        "Contract, binding, enforceable, agreement, seal, writing, statute, notice, buyer.",
        "Binding contract here.",
        "The contract was drafted by the seller. The seal is binding on it.",
    ],
)
def test_a_denial_a_question_keywords_and_scattered_words_do_not_count(text: str):
    assert states(text, *BINDS) == 0


def test_a_denial_counts_where_a_denial_is_asked_for():
    text = "The contract is not binding on either of the parties."

    assert states(text, *BINDS, negated=True) == 1
    assert states(text.replace("not ", ""), *BINDS, negated=True) == 0


def test_two_denials_in_a_clause_affirm():
    text = "The employer may not dismiss her without written notice."

    assert states(text, ["dismiss*"], ["notice"]) == 1


def test_a_condition_does_not_deny_the_main_clause():
    assert states("If the breach is not mended, damages are due to the buyer.", ["breach"], ["damages"]) == 1


def test_a_term_that_is_itself_a_denial_is_taken_as_it_stands():
    assert (
        states("The parties agree that no writing is needed here.", ["no writing"], ["needed", "required"])
        == 1
    )


def test_what_stands_in_the_prompt_does_not_count():
    text = "The contract is binding on both of the parties."

    assert states(text, *BINDS, prompt=f"Say whether {text}") == 0


def test_a_statement_and_its_denial_count_half():
    text = "The contract is binding on the parties. The contract is not binding on the parties."

    assert states(text, *BINDS) == 0.5


def test_two_neighbouring_sentences_count_within_a_passage():
    text = "The contract was signed by both of the sides. It is therefore binding on them."

    assert states(text, *BINDS) == 0
    assert states(text, *BINDS, within="passage") == 1


def test_an_item_is_read_with_the_line_that_introduces_its_list():
    assert (
        states("The seller must do this:\n- deliver the goods by May\n- insure them", ["seller"], ["insure"])
        == 1
    )


def figure(text: str, value: float, unit: str = "", **more: object) -> float:
    return found(FigureCheck(value=value, unit=unit, **more), text).share


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("The price is USD 1.2 million in total.", 1_200_000, "USD"),
        ("The price is $1,200,000.", 1.2, "USD million"),
        ("The price is US$1.2m.", 1.2e6, "USD"),
        ("The price is 1.2 million dollars.", 1.2e6, "$"),
        ("The price is 1 200 000 EUR.", 1.2e6, "EUR"),
        ("The price is EUR 1.200.000,50.", 1_200_000.5, "EUR"),
        ("The price is £45.50 a share.", 45.5, "GBP"),
        ("The rate is 12.5 % a year.", 12.5, "%"),
        ("The rate is 12,5 per cent.", 12.5, "percent"),
        ("The spread is 125 basis points.", 1.25, "%"),
        ("The spread is 1.25%.", 125, "bp"),
        ("Margins rose by 3 percentage points.", 3, "percentage points"),
        ("Take 0.5 g twice daily.", 500, "mg"),
        ("Take 500mg twice daily.", 0.5, "g"),
        ("Take 250 µg of it.", 0.25, "mg"),
        ("The dose is 15 mg/kg.", 15, "mg/kg"),
        ("The dose is 15 mg per kg.", 15, "mg/kg"),
        ("She has two weeks for it.", 14, "days"),
        ("She has thirty (30) days for it.", 30, "days"),
        ("She has twenty-one calendar days.", 21, "days"),
        ("It runs for two years.", 24, "months"),
        ("The result is a loss of USD 40.", -40, "USD"),
        ("The result is -40 USD.", -40, "USD"),
        ("The result is (40) in thousands.", -40, ""),
        ("The quick ratio is 1.05.", 1.05, ""),
        ("Sales were 60.5 thousand.", 60.5, ""),
        ("Sales were 60.5 thousand.", 60_500, ""),
        ("It covers interest 4.2x.", 4.2, "times"),
        ("She earned 12 credits in all.", 12, "credit"),
    ],
)
def test_a_figure_counts_in_every_usual_form(text: str, value: float, unit: str):
    assert figure(text, value, unit) == 1


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("The price is EUR 1.2 million.", 1.2e6, "USD"),
        ("The price is USD 1.2.", 1.2e6, "USD"),
        ("The rate is 0.125.", 12.5, "%"),
        ("The rate is 12.5 %.", 0.125, ""),
        ("The rate is 12.5 %.", 12.5, ""),
        ("Margins rose by 3 %.", 3, "percentage points"),
        ("The dose is 15 mg.", 15, "mg/kg"),
        ("The dose is 15 mg/kg.", 15, "mg"),
        ("The dose is 500 mcg.", 500, "mg"),
        ("She has 30 business days.", 30, "days"),
        ("She has one month for it.", 30, "days"),
        ("The rate is not 12.5 %.", 12.5, "%"),
        ("The profit is 40 USD.", -40, "USD"),
        ("It was sold in 1200.", 120, ""),
        ("The code is A12.", 12, ""),
    ],
)
def test_another_unit_scale_or_sign_is_another_figure(text: str, value: float, unit: str):
    assert figure(text, value, unit) == 0


def test_a_figure_must_stand_near_its_terms_and_within_its_tolerance():
    text = "The current ratio is 2.10. The quick ratio is 1.05."

    assert figure(text, 1.05, near=("quick ratio",)) == 1
    assert figure(text, 1.05, near=("current ratio",)) == 0
    assert figure(text, 1.07, tolerance=0.001) == 0
    assert figure(text, 1.07, tolerance=0.05) == 1


def test_a_figure_in_a_table_row_counts():
    assert (
        figure(
            "| Item | Value |\n|---|---|\n| Net income | USD 1,200 |\n\n", 1200, "USD", near=("net income",)
        )
        == 1
    )


@pytest.mark.parametrize(
    "text",
    [
        "It is due on 2026-03-01.",
        "It is due on March 1, 2026.",
        "It is due on 1 March 2026.",
        "It is due on the 1st of March 2026.",
        "It is due on Mar. 1, 2026.",
        "It is due on 01 Mar 2026.",
        "It is due on 2026/3/1.",
    ],
)
def test_a_date_counts_in_every_usual_form(text: str):
    assert found(DateCheck(value="2026-03-01"), text).share == 1


@pytest.mark.parametrize(
    "text", ["Due on 03/01/2026.", "Due on 1 May 2026.", "Due on 31 February 2026.", "Not on 1 March."]
)
def test_an_ambiguous_other_or_impossible_date_does_not_count(text: str):
    assert found(DateCheck(value="2026-03-01"), text).share == 0


def test_a_numeric_date_that_can_only_be_one_day_counts():
    assert found(DateCheck(value="2026-12-25"), "It is due on 25/12/2026.").share == 1


@pytest.mark.parametrize(
    "text",
    [
        "See 17 U.S.C. § 107 on this.",
        "See 17 USC sec. 107(a).",
        "See 17 U. S. C. Section 107.",
        "see 17 usc §107, there",
    ],
)
def test_a_citation_counts_in_any_form(text: str):
    assert found(CitationCheck(forms=("17 U.S.C. § 107",)), text).share == 1


@pytest.mark.parametrize("text", ["See 17 U.S.C. § 1071.", "See 117 U.S.C. § 107.", "See 17 U.S.C. § 106."])
def test_another_section_is_another_citation(text: str):
    assert found(CitationCheck(forms=("17 U.S.C. § 107",)), text).share == 0


def test_an_article_with_paragraphs_is_cited_in_any_form():
    check = CitationCheck(forms=("Art. 6(1)(b) GDPR",))

    assert found(check, "It rests on Article 6 (1) (b) GDPR.").share == 1
    assert found(check, "It rests on Article 61(b) GDPR.").share == 0


LIABLE = LabelCheck(value="not liable", options=("liable", "not liable", "undecided"))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Answer: not liable\n\n", 1),
        ("**Answer:** Not liable.\n\n", 1),
        ("Answer: liable\n\n", 0),
        ("Answer: liable or not liable\n\n", 0),
        ("Answer: not liable\n\nAnswer: liable\n\n", 0),
        ("The carrier is not liable for the loss.", 1),
        ("The carrier is liable for the loss.", 0),
        ("The first is liable and the second not liable.", 0),
    ],
)
def test_a_label_must_be_the_only_one(text: str, share: float):
    assert found(LIABLE, text).share == share


def test_what_is_called_untrue_is_denied_to_its_end():
    text = (
        "It is not true that the fee is USD 40, because the contract is binding and it runs to 1 March 2026."
    )

    assert states(text, *BINDS) == 0
    assert states(text, *BINDS, negated=True) == 1
    assert figure(text, 40, "USD") == 0
    assert found(DateCheck(value="2026-03-01"), text).share == 0
