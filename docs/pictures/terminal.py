"""A terminal's screen as an SVG: `tmux capture-pane -ep -S - | python docs/pictures/terminal.py "make demo" > demo.svg`."""

import io
import re
import sys

from rich.console import Console
from rich.text import Text


def main() -> None:
    lines = [Text.from_ansi(line.rstrip()) for line in sys.stdin.read().rstrip().splitlines()]
    width = max(line.cell_len for line in lines) + 2
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    # The viewer's own monospace font: a picture fetches nothing from anywhere.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=sys.argv[1]), flags=re.DOTALL)
    sys.stdout.write(re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL).replace("Fira Code, ", ""))


if __name__ == "__main__":
    main()
