"""What a comparison's events say on the wire, where unknown is left out."""

from __future__ import annotations

from forge_common.contracts.compare import CompareEvent, Side, SideAnswer
from forge_common.contracts.exchange import Message, Usage


def test_an_answer_of_which_neither_price_nor_model_is_known_arrives_as_it_was_sent():
    answer = SideAnswer(message=Message(role="assistant", content="Four."), usage=Usage(), total_s=0.4)
    sent = CompareEvent(side=Side.LEFT, answer=answer)

    assert CompareEvent.model_validate_json(sent.model_dump_json(exclude_none=True)) == sent
