"""Which language the word after a fence stands for. A block without one, or with an unknown one, may be anything."""

from __future__ import annotations

_LABELS = {
    "python": ("python", "py", "python3", "python2", "py3", "ipython", "pycon"),
    "javascript": ("javascript", "js", "node", "nodejs", "mjs", "cjs", "jsx", "es6"),
    "typescript": ("typescript", "ts", "tsx", "mts", "cts"),
    "sql": ("sql", "sqlite", "sqlite3", "postgresql", "postgres", "mysql"),
    "bash": ("bash", "sh", "shell", "zsh", "ksh", "shellscript"),
    "go": ("go", "golang"),
    "rust": ("rust", "rs"),
    "java": ("java",),
    "c": ("c", "h"),
    "cpp": ("cpp", "c++", "cc", "cxx", "hpp"),
    "other": (
        "text", "txt", "plaintext", "plain", "output", "console", "terminal", "json", "yaml", "yml", "toml", "ini", "xml",
        "html", "css", "scss", "diff", "patch", "markdown", "md", "latex", "mermaid", "dockerfile", "makefile", "csv",
        "ruby", "rb", "php", "kotlin", "swift", "scala", "csharp", "cs", "r", "perl", "lua", "powershell", "http", "log",
    ),
}  # fmt: skip
_LANGUAGE = {label: language for language, labels in _LABELS.items() for label in labels}
# Either is often labelled as the other; the grammar decides.
_ALIKE = {("javascript", "typescript"), ("typescript", "javascript"), ("c", "cpp"), ("cpp", "c")}


def is_of(label: str, language: str) -> bool:
    """Whether a block with this label may be in `language`."""
    named = _LANGUAGE.get(label)
    return named is None or named == language or (language, named) in _ALIKE


def language_of(label: str) -> str | None:
    named = _LANGUAGE.get(label)
    return None if named == "other" else named
