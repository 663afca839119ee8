"""Errors a person can act on: one line that says what is wrong, one that says what to do."""

from __future__ import annotations


class BasError(Exception):
    """Something failed while running; `remedy` is what the person can do about it.

    Front ends print `message` and `remedy` on one line and exit with `exit_code`; they never
    show a traceback for it.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} - {self.remedy}"


class UserError(BasError):
    """The input or the usage is wrong (exit code 2); nothing has been written."""

    exit_code = 2


class TrainingError(BasError):
    """A run failed while training, for example on a loss that is not a number (exit code 1)."""
