"""What can go wrong on the user's machine, as one tree.

FerryError            what, where, what next; the command exits with `exit_code`
├── UsageError        exit 2: a flag, a path or a setting is wrong
├── PrepareError      a model cannot be exported, or its answers differ
├── PackageError      a package cannot be built, or is over its platform's limit
├── RehearsalError    the hosting runtime did not start, or gave another answer
├── BatchScoringError rows cannot all be scored, or none has an answer
├── EvaluationError   an item cannot be answered, or a figure is too far off
└── BenchmarkError    an engine cannot be loaded or asked, or its process died
"""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound="FerryError")


class FerryError(Exception):
    """A failure that the user can act on."""

    exit_code = 1

    def with_context(self: E, text: str, separator: str = "\n") -> E:
        """This very error with `text` after its message."""
        self.args = (f"{self}{separator}{text}",)
        return self


class UsageError(FerryError):
    exit_code = 2


class PrepareError(FerryError):
    pass


class PackageError(FerryError):
    pass


class RehearsalError(FerryError):
    pass


class BatchScoringError(FerryError):
    pass


class EvaluationError(FerryError):
    pass


class BenchmarkError(FerryError):
    pass
