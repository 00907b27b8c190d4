"""CPU time of finding the code in answers of 62 kB to 1 MB: linear means that four times the text takes four times as long.

    python services/evaluator/bench/extraction_bench.py [--quick]

The status is 1 when one kind of text takes more than three times as long a byte at 1 MB as at its best smaller size.
"""

from __future__ import annotations

import argparse
import sys
import time

from forge_evaluator.extract import extract

SIZES = (62_500, 250_000, 1_000_000)
MOST = 3.0
# Shorter than this a time says more about the machine than about the text.
FLOOR_S = 0.02
TEXTS = {
    "one python block": ("python", "```python\n", "x = [1, 2, 3]\n", "```\n"),
    "small blocks": ("python", "", "```python\nx = 1\n```\nAnd then:\n", ""),
    "open fences": ("python", "", "```\n", ""),
    "one line of ticks": ("python", "", "`", ""),
    "fence and spaces": ("python", "```", " ", "`\n"),
    "thinking": ("python", "", "<think>", ""),
    "escapes": ("python", "", "\x1b[31m", ""),
    "half an escape": ("python", "\x1b[", "0", ""),
    "prose": ("python", "", "This is how I would do it, and why.\n", ""),
    "python that fails": ("python", "", "```python\ndef f(:\n```\n", ""),
    "python parentheses": ("python", "```python\n", "(", ""),
    "javascript blocks": ("javascript", "", "```js\nconst a = (b) => [b, b];\n```\n", ""),
    "javascript braces": ("javascript", "```js\n", "{", ""),
    "typescript generics": ("typescript", "```ts\n", "a<b<", ""),
    "sql blocks": ("sql", "", "```sql\nSELECT a, b FROM t WHERE a = 1;\n```\n", ""),
    "bash heredocs": ("bash", "", "```bash\n" + "cat <<E\n" * 300 + "```\n", ""),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="extraction_bench.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 250 kB")
    sizes = SIZES[:2] if parser.parse_args().quick else SIZES
    sys.stdout.write("Extraction, CPU milliseconds by size of the answer\n\n")
    sys.stdout.write(
        f"{'':22}" + "".join(f"{size / 1000:>10,.0f} kB" for size in sizes) + f"{'growth':>10}\n"
    )
    worst = max(_row(name, sizes) for name in TEXTS)
    sys.stdout.write(f"\nworst growth of the time a byte: {worst:.2f} (at most {MOST})\n")
    return 0 if worst <= MOST else 1


def _row(name: str, sizes: tuple[int, ...]) -> float:
    seconds = [_seconds(name, size) for size in sizes]
    rates = [max(s, FLOOR_S) / size for s, size in zip(seconds, sizes, strict=True)]
    growth = rates[-1] / min(rates[:-1])
    cells = "".join(f"{1000 * s:>13.1f}" for s in seconds)
    sys.stdout.write(f"{name:22}{cells}{growth:>10.2f}\n")
    return growth


def _seconds(name: str, size: int) -> float:
    language, before, unit, after = TEXTS[name]
    text = before + unit * ((size - len(before) - len(after)) // len(unit)) + after
    began = time.process_time()
    extract(text, "solve", language)
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
