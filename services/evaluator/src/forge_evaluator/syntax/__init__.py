"""Syntax trees of the languages that answers come in: Python by its own parser, SQL by sqlglot, the others by tree-sitter."""

from forge_evaluator.syntax.fences import is_of
from forge_evaluator.syntax.parse import MAX_PARSED, knows, parse
from forge_evaluator.syntax.program import Arity, Program

__all__ = ["MAX_PARSED", "Arity", "Program", "is_of", "knows", "parse"]
