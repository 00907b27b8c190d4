"""Which conversation goes on from which answer."""

from forge_collector.continuations import Continuations


def test_a_chain_of_answers_is_one_conversation() -> None:
    known = Continuations()
    known.remember("resp_1", "conv_a")
    known.remember("resp_2", known.conversation_after("resp_1"))

    assert known.conversation_after("resp_2") == "conv_a"


def test_an_answer_that_is_not_known_names_the_conversation_itself() -> None:
    assert Continuations().conversation_after("resp_9") == "resp_9"


def test_only_the_latest_are_remembered() -> None:
    known = Continuations(limit=2)
    for n in range(3):
        known.remember(f"resp_{n}", "conv")

    assert [known.conversation_after(f"resp_{n}") for n in range(3)] == ["resp_0", "conv", "conv"]
