"""Measures the application in a pseudo-terminal: start, key-to-screen delay, bytes a second.

    python tests/latency.py                      a replayed run of 800 steps, 5 steps a second
    python tests/latency.py --run NAME           a run of $BAS_HOME, live or finished
    python tests/latency.py --low-bandwidth --color 256 --size 200x60

A benchmark, not a test: it asserts nothing and pytest does not collect it. The key-to-screen delay
is the time from writing a key to the first output that can only be its answer: the mark before
"masked" in the chart's legend, which nothing but the key 2 changes. On a busy machine the processor
time says what the application itself needs.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

HISTORY = re.compile(rb"total \d+\.\d+")
MARKS = (re.compile("●".encode()), re.compile(rb"- "))
STEP_SECONDS = 0.2


class Terminal:
    """A child process on a pseudo-terminal of a given size."""

    def __init__(self, code: str, columns: int, rows: int, environ: dict[str, str]) -> None:
        self.started = time.perf_counter()
        self.bytes = 0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-c", code], environ)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, keys: bytes) -> None:
        """Type."""
        os.write(self._fd, keys)

    def read(self, seconds: float, until: re.Pattern[bytes] | None = None) -> float | None:
        """Read for some seconds, or until a pattern is seen: then the time it took."""
        began = time.perf_counter()
        seen = b""
        while (left := began + seconds - time.perf_counter()) > 0:
            ready, _, _ = select.select([self._fd], [], [], left)
            if not ready:
                break
            try:
                chunk = os.read(self._fd, 1 << 16)
            except OSError:
                return None
            self.bytes += len(chunk)
            if until is not None:
                seen = seen[-256:] + chunk
                if until.search(seen):
                    return time.perf_counter() - began
        return None

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the child so far: what a busy machine does not change (Linux)."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the child as a closed window would."""
        os.kill(self.pid, signal.SIGHUP)
        os.close(self._fd)
        os.waitpid(self.pid, 0)


def replay(name: str, folder: Path, history: int, seconds: float) -> subprocess.Popen[bytes]:
    """A process that appends events as a host would, `history` steps at once, then live."""
    code = f"""
import json, os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from engine.runs.events import StepDone, to_line
from engine.runs.liveness import process_start
from tests.tui.synthetic import events_of, make_run
run = make_run({name!r}, write_events=False)
run.pid_file.write_text(json.dumps({{"pid": os.getpid(), "started": process_start(os.getpid())}}))
end = time.time() + {seconds}
with run.events.open("w") as log:
    for event in events_of({name!r}):
        log.write(to_line(event) + "\\n")
        if isinstance(event, StepDone) and event.step >= {history}:
            log.flush()
            time.sleep({STEP_SECONDS})
            if time.time() > end:
                break
"""
    environ = {**os.environ, "BAS_HOME": str(folder)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environ)
    pid_file = folder / "runs" / name / "host.pid"
    while not pid_file.exists():
        time.sleep(0.05)
    time.sleep(1.0)
    return process


def percentile(values: list[float], share: float) -> float:
    """A value below which that share of the sorted values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def main() -> None:
    """Run the application and print what was measured."""
    parser = argparse.ArgumentParser(description="Measures the application in a pseudo-terminal.")
    parser.add_argument("--run", help="a run of $BAS_HOME; without it a replay")
    parser.add_argument("--history", type=int, default=250, help="steps before the replay is live")
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--seconds", type=float, default=20.0, help="watching without a key")
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--color", default="truecolor")
    parser.add_argument("--low-bandwidth", action="store_true")
    options = parser.parse_args()
    columns, rows = map(int, options.size.split("x"))

    folder = Path(os.environ.get("BAS_HOME", "")) if options.run else Path(tempfile.mkdtemp())
    name = options.run or "replayed"
    host = None
    if not options.run:
        host = replay(name, folder, options.history, options.seconds + options.keys * 0.5 + 60)
    environ = {**os.environ, "BAS_HOME": str(folder), "TERM": "xterm-256color",
               "PYTHONPATH": str(ROOT)}  # fmt: skip
    for variable in ("NO_COLOR", "SSH_CONNECTION", "TMUX", "COLORTERM"):
        environ.pop(variable, None)
    code = (
        "from bas_tui.tui.run_app import run; raise SystemExit(run('train', run="
        f"{name!r}, low_bandwidth={options.low_bandwidth}, color={options.color!r}))"
    )
    terminal = Terminal(code, columns, rows, environ)
    try:
        start = terminal.read(60, HISTORY)
        start_cpu = terminal.cpu_seconds
        terminal.read(4)
        before, began, cpu = terminal.bytes, time.perf_counter(), terminal.cpu_seconds
        terminal.read(options.seconds)
        watched = time.perf_counter() - began
        quiet = (terminal.bytes - before) / watched
        watching_cpu = (terminal.cpu_seconds - cpu) / watched

        delays: list[float] = []
        missed = 0
        before, began, cpu = terminal.bytes, time.perf_counter(), terminal.cpu_seconds
        for number in range(options.keys):
            # A little more than a third of a second, so that keys meet every phase of a redraw.
            terminal.read(0.37)
            terminal.send(b"2")
            delay = terminal.read(2, MARKS[number % 2])
            missed += delay is None
            delays += [delay] if delay is not None else []
        typed = time.perf_counter() - began
        typing = (terminal.bytes - before) / typed
        key_cpu = (terminal.cpu_seconds - cpu - watching_cpu * typed) / max(1, options.keys)
    finally:
        terminal.close()
        if host is not None:
            host.kill()
    load = os.getloadavg()[0]
    report = {
        "size": options.size, "color": options.color, "low_bandwidth": options.low_bandwidth,
        "cpus": os.cpu_count(), "load": round(load, 1),
        "history on screen cpu s": round(start_cpu, 2),
        "watching cpu %": round(100 * watching_cpu, 1),
        "key cpu ms": round(1000 * key_cpu, 1),
        "history on screen s": round(start, 3) if start is not None else None,
        "key p50 ms": round(1000 * statistics.median(delays), 1) if delays else None,
        "key p95 ms": round(1000 * percentile(delays, 0.95), 1) if delays else None,
        "key max ms": round(1000 * max(delays), 1) if delays else None,
        "keys": len(delays), "unanswered": missed,
        "watching kB/s": round(quiet / 1000, 2), "toggling kB/s": round(typing / 1000, 2),
    }  # fmt: skip
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
