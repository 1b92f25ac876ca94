"""The 35 cases of docs/anthropic.md as one table, a theme a file: each row is a promise that the real gateway keeps."""

from . import answers, messages, parameters, tools
from .case import Case, Failure

__all__ = ["CASES", "Case", "Failure"]

CASES = [*messages.CASES, *tools.CASES, *parameters.CASES, *answers.CASES]
