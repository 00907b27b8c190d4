"""What a person sees of a comparison, on wide, narrow and no terminals."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from forge_cli.side_by_side import Comparison, figures, plain, watch
from forge_common.contracts.compare import CompareEvent, Contender, Side, SideAnswer, SideError, StoredPair
from forge_common.contracts.exchange import Message, Usage


def events(
    left: str = "The left answer.", right: str = "The right answer.", **usage: Any
) -> list[CompareEvent]:
    said = []
    for side, model, text in ((Side.LEFT, "grand-teacher", left), (Side.RIGHT, "engie-coder:v3", right)):
        said.append(CompareEvent(side=side, contender=Contender(model=model, upstream="http://127.0.0.1:1")))
        said += [CompareEvent(side=side, text=piece) for piece in text.partition(" ")]
        said.append(CompareEvent(side=side, answer=answer(model, text, **usage)))
    return [*said, CompareEvent(pair=StoredPair(left="ex_1", right="ex_1p"))]


def answer(model: str, text: str, **more: Any) -> SideAnswer:
    fields: dict[str, Any] = {
        "message": Message(role="assistant", content=text),
        "model": model,
        "finish_reason": "stop",
        "usage": Usage(completion_tokens=50),
        "cost_usd": None,
        "first_token_s": 0.5,
        "total_s": 1.5,
    }
    return SideAnswer(**(fields | more))


def console(width: int, *, is_terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=30, force_terminal=is_terminal, color_system=None)


def shown(on: Console) -> list[str]:
    """What is left on the screen: behind the last time that the growing picture was wiped away."""
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue().rpartition("\x1b[2K")[2].splitlines()


def test_a_wide_terminal_shows_them_beside_each_other():
    screen = console(100)

    watch(Comparison(), events(), screen)

    line = next(line for line in shown(screen) if "left answer" in line)
    assert "The right answer." in line
    assert line.index("The right answer.") > 45


def test_a_narrow_terminal_and_a_pipe_show_one_below_the_other():
    for screen in (console(60), console(200, is_terminal=False)):
        watch(Comparison(), events(), screen)

        texts = [line.strip() for line in shown(screen) if "answer." in line]
        assert texts == ["The left answer.", "The right answer."]


def test_a_long_answer_is_whole_in_the_end():
    screen = console(100)
    long = "\n".join(f"line {number}" for number in range(200))

    watch(Comparison(), events(right=long), screen)

    lines = re.findall(r"line \d+", "\n".join(shown(screen)))
    assert lines == long.splitlines()


def test_no_answer_can_move_the_cursor_or_paint():
    screen = console(60, is_terminal=False)

    watch(Comparison(), events(left="\x1b[2J\x1b]0;title\x07evil [bold]text[/]\r\nnext\x9b31m"), screen)

    assert "\x1b" not in screen.file.getvalue()
    assert "\x9b" not in screen.file.getvalue()
    assert "evil [bold]text[/]" in screen.file.getvalue()


def test_a_side_that_failed_says_why_beside_the_other_answer():
    screen = console(100)
    error = SideError(code="model_busy", message="503: asleep", fix="wake it")
    said = [event for event in events() if event.side is Side.RIGHT]

    failed = [CompareEvent(side=Side.LEFT, error=error), CompareEvent(unsaved="no pair")]

    comparison = Comparison()
    watch(comparison, [*said, *failed], screen)

    text = "\n".join(shown(screen))
    assert "✗ 503: asleep" in text
    assert "→ wake it" in text
    assert "The right answer." in text
    assert (comparison.pair, comparison.unsaved) == (None, "no pair")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "first token 0.50 s · 50 tokens · 50 tokens/s · 1.50 s"),
        ({"usage": Usage()}, "first token 0.50 s · 1.50 s"),
        ({"first_token_s": 1.5}, "first token 1.50 s · 50 tokens · 1.50 s"),
        ({"cost_usd": 0.0125, "finish_reason": "length"}, "first token 0.50 s · 50 tokens · 50 tokens/s · 1.50 s · $0.0125 · length"),
    ],
)  # fmt: skip
def test_figures_leave_out_what_nobody_reported(more, said):
    comparison = Comparison()
    comparison.take(CompareEvent(side=Side.LEFT, answer=answer("m", "text", **more)))

    assert figures(comparison.halves[Side.LEFT]) == said


def test_thinking_is_told_while_there_is_no_text_and_kept_out_of_it():
    screen = console(100)
    said = [CompareEvent(side=Side.LEFT, thinking="hm hm"), *events()]

    comparison = Comparison()
    watch(comparison, said, screen)

    assert comparison.halves[Side.LEFT].thinking == "hm hm"
    assert not any("hm hm" in line for line in shown(screen))


def test_plain_text_keeps_tabs_and_lines():
    assert plain("a\tb\r\nc\n\x00\x7fd") == "a\tb\nc\nd"


def test_what_came_is_left_on_the_screen_when_it_is_broken_off():
    screen = console(100)

    def broken_off() -> Iterator[CompareEvent]:
        yield from events()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(Comparison(), broken_off(), screen)

    assert any(line.strip().startswith("The") for line in shown(screen))


def test_a_pipe_gets_no_blanks_that_only_a_terminal_needs():
    pipe = console(4000, is_terminal=False)

    watch(Comparison(), events(), pipe)

    assert isinstance(pipe.file, io.StringIO)
    assert all(line == line.rstrip() for line in pipe.file.getvalue().splitlines())
