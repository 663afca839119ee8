"""Shows a run until it ends, and what Ctrl-C does meanwhile."""

from __future__ import annotations

from contextlib import nullcontext

from bas_tui import client
from bas_tui.cli import stderr, stdout
from bas_tui.cli.progress import display, losses
from bas_tui.run_health import failure_of
from bas_tui.run_state import RunState, interrupted, reduce, reduce_all
from engine.core.durations import clock
from engine.core.errors import UserError
from engine.runs.event_reading import read_events
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from engine.runs.manifest import read_manifest
from engine.runs.prompts import all_together


def attach(
    run: RunDir,
    *,
    as_json: bool,
    plain: bool,
    owner: bool,
    show_from: int | None = None,
    hint: bool = True,
) -> int:
    """Follow a run to its end; the exit code of what became of it.

    `owner`: Ctrl-C asks whether the run should stop too. Events before `show_from` (None: all that
    are on disk already) are known but not told. With `as_json` stdout gets the event lines -
    all of them where `show_from` is None - and stderr no display. `hint`: say what to do next.
    """
    past = read_events(run)
    if show_from is None:
        show_from = past[-1].seq + 1 if past else 0
        if as_json:
            for event in past:
                stdout.event_line(event)
    state = reduce_all(event for event in past if event.seq < show_from)
    live = stderr.is_live() and not plain
    while True:
        try:
            with nullcontext() if as_json else display(state, live=live) as shown:
                for event in client.follow(run, max(show_from, state.seq + 1)):
                    state = reduce(state, event)
                    if shown is None:
                        stdout.event_line(event)
                    else:
                        shown.show(state, event)
            break
        except KeyboardInterrupt:
            if not _go_on(run, owner):
                return stderr.INTERRUPTED
    if not state.over:
        state = interrupted(state)
    # The next command may need the run free: its host leaves a moment after its last word.
    client.wait_until_gone(run)
    return _conclude(run, state, quiet=as_json, hint=hint)


def _go_on(run: RunDir, owner: bool) -> bool:
    """Ask what Ctrl-C means; True: look on until the end (which a stop brings soon)."""
    if owner and stderr.is_interactive() and host_pid(run) is not None:
        try:
            answer = stderr.ask("\n[s]top the run, [l]eave it running, or [w]atch on? [l]")
        except KeyboardInterrupt:
            answer = None
        if answer and answer[0] == "w":
            return True
        if answer and answer[0] == "s":
            try:
                client.send(run, "stop")
            except UserError as problem:
                stderr.note("warning", problem.message, problem.remedy)
            else:
                stderr.say("stopping; a checkpoint is written")
            return True
    if host_pid(run) is not None:
        stderr.say(f"\n{run.name} goes on without this terminal")
        stderr.say(f"look at it: bas watch {run.name} · end it: bas stop {run.name}")
    return False


def _conclude(run: RunDir, state: RunState, *, quiet: bool, hint: bool) -> int:
    ended = state.ended
    if state.status == "finished":
        if not quiet:
            took = clock(state.time - state.started)
            stderr.say(f"finished in {took}: {losses(state)}", "green")
        if hint and not quiet:
            stderr.say(f"draw with it: {generate_command(run)}")
        return stderr.DONE
    if state.status == "stopped":
        stderr.say(f"stopped at step {state.step} · go on: bas resume {run.name}")
        return stderr.INTERRUPTED
    if state.status == "failed" and ended is not None:
        stderr.error(
            ended.message or f"the run failed at step {state.step}",
            ended.remedy or f"see {run.log}, then: bas resume {run.name}",
        )
        failure = failure_of(run, state, read_manifest(run).settings)
        if failure is not None and failure.changes:
            stderr.say(f"go on: {failure.command}")
        return stderr.FAILED
    stderr.error(
        f"the host of {run.name} is gone since step {state.step}",
        f"go on from the last checkpoint: bas resume {run.name}",
    )
    return stderr.FAILED


def generate_command(run: RunDir) -> str:
    """A `bas gen` line that uses every token of the run."""
    manifest = read_manifest(run)
    tokens = all_together(manifest.concepts, manifest.grammar, by_name=True)
    return f'bas gen "a photo of {tokens} in snow" --run {run.name}'
