"""What a pattern matches, and which patterns are refused."""

import time

import pytest

from forge_collector.patterns import Pattern, PatternUnreadable, Teacher, TeacherKind

CLAUDE = Teacher.make(
    "proxy", "https://api.anthropic.com:443", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"
)
ROUTED = Teacher.make("proxy", "https://openrouter.ai:443", "auto", "Anthropic/Claude-X")


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("claude-*", True),
        ("CLAUDE-*", True),
        ("claude-sonnet-4-5", True),
        ("claude", False),
        ("*20250929", True),
        ("host=api.anthropic.com", True),
        ("host=*.anthropic.com model=claude-*", True),
        ("host=*.openai.com model=claude-*", False),
        ("origin=proxy", True),
        ("origin=import", False),
        ("origin=*", True),
        ("kind=restricted", True),
        ("kind=local", False),
        ("*", True),
    ],
)
def test_all_clauses_of_a_pattern_must_hold(pattern: str, fits: bool) -> None:
    assert Pattern.parse(pattern).matches(CLAUDE, TeacherKind.RESTRICTED) is fits


def test_a_vendors_name_before_a_model_may_be_left_out_and_capitals_do_not_matter() -> None:
    assert Pattern.parse("claude-*").matches(ROUTED)
    assert Pattern.parse("anthropic/*").matches(ROUTED)


def test_the_star_fits_an_exchange_without_any_model() -> None:
    assert Pattern.parse("*").matches(Teacher.make("import", None, None, None))
    assert not Pattern.parse("?*").matches(Teacher.make("import", None, None, None))


@pytest.mark.parametrize(
    "upstream", ["http://127.0.0.1:11434", "http://user:secret@127.0.0.1:11434/v1", "127.0.0.1:11434"]
)
def test_the_host_is_the_upstreams_name_alone(upstream: str) -> None:
    assert Teacher.make("proxy", upstream, None, None).host == "127.0.0.1"


@pytest.mark.parametrize("upstream", [None, "", "http://[::1", "not a url"])
def test_an_upstream_that_is_no_url_does_no_harm(upstream: str | None) -> None:
    assert Pattern.parse("*").matches(Teacher.make("proxy", upstream, "m", None))


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "0"),
        ("   ", "characters"),
        ("hots=api.openai.com", "hots"),
        ("model=", "model="),
        ("a* b*", "b*"),
        ("origin=grund_truth", "no origin is called 'grund_truth'"),
        ("kind=proprietary", "no kind is called"),
        ("x" * 201, "201"),
    ],
)
def test_a_pattern_that_could_never_match_is_refused_with_what_to_write(pattern: str, says: str) -> None:
    with pytest.raises(PatternUnreadable, match=says) as caught:
        Pattern.parse(pattern)
    assert caught.value.fix


def test_one_pattern_has_one_form_however_it_is_written() -> None:
    assert str(Pattern.parse("model=gpt-*   host=API.openai.com")) == "host=api.openai.com model=gpt-*"
    assert str(Pattern.parse("model=gpt-*")) == "gpt-*"


def test_a_pattern_made_to_be_slow_is_not() -> None:
    pattern, name = Pattern.parse("*a" * 50 + "b"), "a" * 5000
    begin = time.process_time()

    assert not pattern.matches(Teacher.make("proxy", None, name, name))

    assert time.process_time() - begin < 1.0
