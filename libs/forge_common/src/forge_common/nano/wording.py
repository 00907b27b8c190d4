"""Turn a wording with fields into its inverse: the pattern that finds the fields in a finished sentence."""

import re

IDENTIFIER = r"[A-Za-z_]\w*"
NUMBER = r"\d+"


def inverse(wording: str, fields: dict[str, str]) -> re.Pattern[str]:
    """Compile the pattern of sentences made from `wording`; a field named twice must hold the same text.

    `fields` maps a field's name to the expression that its value matches.
    """
    parts: list[str] = []
    seen: set[str] = set()
    for literal, field in re.findall(r"([^{]*)(?:\{(\w+)\})?", wording):
        parts.append(re.escape(literal))
        if field:
            parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>{fields[field]})")
            seen.add(field)
    return re.compile("".join(parts))
