"""The only owner of stderr and of exit codes: talk, questions, errors.

Exit codes: 0 done, 1 failed while running, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import typer

from bas_tui.cli import streams
from bas_tui.cli.help_text import Group
from engine.core.errors import BasError
from engine.core.plain_text import plain

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def console() -> Console:
    """A Rich console on stderr; built at need, because Rich costs a tenth of a second."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """One line of talk; plain where stderr is no terminal."""
    text = plain(text)
    if style and is_live():
        from rich.text import Text

        console().print(Text(text, style=style), soft_wrap=True)
    else:
        print(text, file=sys.stderr, flush=True)


def note(level: str, message: str, remedy: str = "") -> None:
    """A notice: `warning: message - remedy`; an info has no prefix."""
    text = " ".join(f"{message} - {remedy}".split()) if remedy else " ".join(message.split())
    style = {"warning": "yellow", "error": "bold red"}.get(level, "dim")
    say(text if level == "info" else f"{level}: {text}", style)


def error(message: str, remedy: str) -> None:
    """The one line of an error."""
    note("error", message, remedy)


def waiting(text: str) -> AbstractContextManager[object]:
    """A spinner while the block runs; nothing where stderr is no terminal."""
    return console().status(text) if is_live() else nullcontext()


def is_live() -> bool:
    """Whether stderr is a terminal that can be drawn on."""
    return streams.live(2)


def is_interactive() -> bool:
    """Whether a question can be asked: both stdin and stderr are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str | None:
    """The person's answer in lower case; None where nobody can be asked or input ends."""
    if not is_interactive():
        return None
    print(question, end=" ", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)  # What comes next begins a line of its own.
        return None
    return line.strip().lower()


def run_guarded(command: Callable[[], Any]) -> int:
    """Run a command; its exit code. Whatever goes wrong becomes one line on stderr."""
    try:
        code = command()
        return code if isinstance(code, int) else DONE
    except BasError as problem:
        error(problem.message, problem.remedy)
        return problem.exit_code
    except typer.TyperException as problem:
        context = getattr(problem, "ctx", None)
        path = getattr(context, "command_path", None) or "bas"
        error(problem.format_message().rstrip("."), f"see `{path} --help`")
        return problem.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # The reader of stdout left, like `head` does; not our trouble.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as problem:
        from bas_tui import error_log

        place = error_log.record(problem)
        error(f"{type(problem).__name__}: {problem}", f"the traceback is in {place}")
        return FAILED


class Commands(Group):
    """Typer's group with this module's way to end: the same for `bas` and for a test's runner."""

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; exits with its code."""
        code = run_guarded(
            lambda: super(Commands, self).main(
                args, prog_name, complete_var, False, windows_expand_args, **extra
            )
        )
        if standalone_mode:
            sys.exit(code)
        return code
