"""A terminal's screen as an SVG: `tmux capture-pane -ep -S - | python docs/pictures/terminal.py "make demo" > demo.svg`."""

import io
import sys

from rich.console import Console
from rich.text import Text


def main() -> None:
    lines = [Text.from_ansi(line.rstrip()) for line in sys.stdin.read().rstrip().splitlines()]
    width = max(line.cell_len for line in lines) + 2
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    sys.stdout.write(console.export_svg(title=sys.argv[1]))


if __name__ == "__main__":
    main()
