"""Which rule decides, what the shipped rules say, and what curation makes of it."""

import pytest

from forge_collector.curate import Candidate, Curated, curate
from forge_collector.patterns import Pattern, Teacher, TeacherKind
from forge_collector.policy import Policy, Rule, Source, shipped
from forge_common.contracts.base import ExchangeId, utc_now
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange, Message, Origin

RULES = DataRules(valid_fraction=0.4)


def deny(pattern: str) -> Rule:
    return Rule.yours(pattern, eligible=False, reason="we agreed not to")


def allow(pattern: str) -> Rule:
    return Rule.yours(pattern, eligible=True, reason="we may")


def teacher(model: str | None = None, upstream: str | None = None, origin: str = "proxy") -> Teacher:
    return Teacher.make(origin, upstream, model, None)


@pytest.mark.parametrize(
    ("who", "kind", "name"),
    [
        (teacher("claude-opus-4-1", "https://api.anthropic.com:443"), "restricted", "Anthropic"),
        (teacher("us.anthropic.claude-sonnet-4-v1:0", "https://bedrock.us-east-1.amazonaws.com"), "restricted", "Anthropic"),
        (teacher("sonnet", origin="compare"), "restricted", "Anthropic"),
        (teacher("claude", origin="import"), "restricted", "Anthropic"),
        (teacher("gpt-5-mini", "https://api.openai.com:443"), "restricted", "OpenAI"),
        (teacher("openai/gpt-4o", "https://openrouter.ai:443"), "restricted", "OpenAI"),
        (teacher("o3-mini"), "restricted", "OpenAI"),
        (teacher("my-deployment", "https://firm.openai.azure.com:443"), "restricted", "OpenAI"),
        (teacher("models/gemini-2.5-flash"), "restricted", "Google Gemini"),
        (teacher("grok-4", "https://api.x.ai:443"), "restricted", "xAI"),
        (teacher("llama3:8b", "http://127.0.0.1:11434"), "restricted", "Llama 2 and 3.0"),
        (teacher("llama3.1:8b", "http://127.0.0.1:11434"), "open", "Llama 3.1 and later"),
        (teacher("meta-llama/Llama-3.3-70B-Instruct"), "open", "Llama 3.1 and later"),
        (teacher("gpt-oss:20b", "http://127.0.0.1:11434"), "open", "gpt-oss"),
        (teacher("Qwen/Qwen3-32B"), "open", "open weights"),
        (teacher("deepseek-chat", "https://api.deepseek.com:443"), "open", "open weights"),
        (teacher("engie-coder:v3", "http://127.0.0.1:18798"), "local", "local engine"),
        (teacher("house-model", "http://172.20.1.4:8000"), "local", "local engine"),
        (teacher("acme-large", "https://172.acme.com"), "unknown", "everyone else"),
        (teacher("claude-x", "http://127.0.0.1:4000"), "restricted", "Anthropic"),
        (teacher(origin="ground_truth"), "own", "people"),
        (teacher(origin="import"), "own", "brought in"),
        (teacher("engie-coder:v3", origin="gateway"), "own", "own model"),
        (teacher("claude-x", origin="gateway"), "restricted", "Anthropic"),
        (teacher("acme-large", "https://api.acme.com"), "unknown", "everyone else"),
        (teacher("gpt-j-6b"), "unknown", "everyone else"),
    ],
)  # fmt: skip
def test_the_shipped_rules_know_who_answered(who: Teacher, kind: str, name: str) -> None:
    policy = Policy()

    assert (policy.kind(who), policy.rule(who).name) == (kind, name)


def test_every_shipped_rule_can_be_read_has_a_reason_and_a_name_of_its_own() -> None:
    for rule in shipped():
        assert rule.reason
        assert rule.kind is not None
        assert [str(Pattern.parse(text)) for text in rule.patterns] == list(rule.patterns)
    assert len({rule.name for rule in shipped()}) == len(shipped())


def test_everyone_is_eligible_until_a_person_says_otherwise_and_the_reason_says_whose_decision_it_is() -> (
    None
):
    assert all(rule.eligible for rule in shipped())
    assert all("your decision" in rule.reason for rule in shipped() if rule.kind is TeacherKind.RESTRICTED)


def test_one_rule_turns_off_every_teacher_whose_terms_restrict_training() -> None:
    policy = Policy([deny("kind=restricted")])

    refused = [
        name
        for name in ("claude-x", "gpt-5", "gemini-3", "grok-4")
        if not policy.rule(teacher(name)).eligible
    ]
    assert refused == ["claude-x", "gpt-5", "gemini-3", "grok-4"]
    assert policy.rule(teacher("qwen3:8b")).eligible


def test_your_rules_come_before_the_shipped_ones_and_the_newest_of_yours_first() -> None:
    policy = Policy([allow("claude-haiku*"), deny("kind=restricted")])

    assert policy.rule(teacher("claude-haiku-4-5")).eligible
    assert policy.rule(teacher("claude-opus-4-1")).name == "kind=restricted"
    assert policy.rule(teacher("claude-opus-4-1")).source is Source.YOURS
    assert (
        not Policy([deny("kind=restricted"), allow("claude-haiku*")])
        .rule(teacher("claude-haiku-4-5"))
        .eligible
    )


def exchange(number: int, model: str | None, conversation: str | None = None, **fields: object) -> Exchange:
    values: dict[str, object] = {
        "id": ExchangeId(f"ex_{number}"),
        "captured_at": utc_now(),
        "domain": "coding",
        "conversation_id": conversation or f"conv_{number}",
        "messages": (Message(role="user", content=f"question {number}"),),
        "answer": Message(role="assistant", content=f"answer {number}"),
        "model_served": model,
        "origin": Origin.PROXY,
    }
    return Exchange.model_validate(values | fields)


def kept(result: Curated) -> list[str]:
    return sorted(row.source for row in (*result.train, *result.valid))


def test_what_may_not_be_trained_on_is_left_out_and_the_manifest_can_say_by_which_rule() -> None:
    candidates = [Candidate(exchange(i, "claude-x" if i % 2 else "qwen3:8b")) for i in range(6)]

    result = curate(candidates, RULES, policy=Policy([deny("claude-*")]))

    assert kept(result) == ["ex_0", "ex_2", "ex_4"]
    assert [(count.reason, count.rows) for count in result.dropped] == [("ineligible_teacher", 3)]
    assert [(rule.rule, rule.source, rule.eligible, rule.exchanges) for rule in result.policy] == [
        ("claude-*", "yours", False, 3),
        ("open weights", "shipped", True, 3),
    ]
    assert result.policy[0].reason == "we agreed not to"


def test_a_persons_correction_is_trained_on_whoever_answered_first() -> None:
    candidates = [Candidate(exchange(i, "claude-x"), corrected="mine" if i == 1 else None) for i in range(3)]

    result = curate(candidates, RULES, policy=Policy([deny("claude-*")]))

    assert kept(result) == ["ex_1"]


def test_a_refused_answer_does_not_come_back_as_an_earlier_turn_of_another_teachers_exchange() -> None:
    question, refused = (
        Message(role="user", content="question 1"),
        Message(role="assistant", content="Answer  1"),
    )
    later = (question, refused, Message(role="user", content="and then?"))
    candidates = [
        Candidate(exchange(2, "qwen3:8b", "conv_1", messages=later)),
        Candidate(exchange(1, "claude-x", "conv_1")),
        Candidate(exchange(3, "qwen3:8b")),
        Candidate(exchange(4, "qwen3:8b", "conv_4", messages=later)),
    ]

    result = curate(candidates, RULES, policy=Policy([deny("claude-*")]))

    # The fourth says the same in a conversation in which nobody was refused.
    assert kept(result) == ["ex_3", "ex_4"]
    assert [(count.reason, count.rows) for count in result.dropped] == [("ineligible_teacher", 2)]
