"""A host without a model: speaks the documented protocol so that viewers can be tried at speed.

Behaviour comes from FAKE_* variables, for what a real host does too seldom to wait for: a lost
line, a lost socket, a crash, a sudden death.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

from engine.files.atomic import write_atomic
from engine.runs import events as ev
from engine.runs.event_reading import read_events
from engine.runs.folder import RunDir
from engine.runs.liveness import process_start, socket_path

STEPS = int(os.environ.get("FAKE_STEPS", "20"))
DELAY = float(os.environ.get("FAKE_DELAY", "0.01"))
MODE = os.environ.get("FAKE_MODE", "")


class Host:
    def __init__(self, run: RunDir) -> None:
        self.run, self.lock = run, threading.Condition()
        self.lines = [ev.to_line(event) for event in read_events(run)]
        self.seq = len(self.lines)
        self.paused = self.stopping = False

    def log(self, event: ev.Event) -> None:
        with self.lock:
            event = ev.dataclasses.replace(event, seq=self.seq, time=time.time())
            self.seq += 1
            with self.run.events.open("a") as file:
                file.write(ev.to_line(event) + "\n")
            self.lines.append(ev.to_line(event))
            self.lock.notify_all()

    def serve(self) -> None:
        path = socket_path(self.run)
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        server.listen()
        while True:
            link, _ = server.accept()
            threading.Thread(target=self.viewer, args=(link,), daemon=True).start()

    def viewer(self, link: socket.socket) -> None:
        file = link.makefile("rb")
        start = json.loads(file.readline())["from"]
        if start is not None:
            threading.Thread(target=self.stream, args=(link, start), daemon=True).start()
        for line in file:
            command = json.loads(line)["command"]
            if command == "explode":
                reply = {"reply": "error", "message": "no such command", "remedy": "do not"}
            else:
                reply = {"reply": "ok"}
                self.paused = {"pause": True, "resume": False}.get(command, self.paused)
                self.stopping = self.stopping or command == "stop"
                if command in ("pause", "resume"):
                    self.log((ev.Paused if self.paused else ev.Resumed)(step=0))
            link.sendall(json.dumps(reply).encode() + b"\n")

    def stream(self, link: socket.socket, position: int) -> None:
        sent = 0
        try:
            while True:
                with self.lock:
                    while position >= len(self.lines):
                        self.lock.wait()
                    line = self.lines[position]
                position += 1
                sent += 1
                if MODE == "gaps" and position % 5 in (2, 3):
                    continue
                link.sendall(line.encode() + b"\n")
                if MODE == "hangup" and sent == 4:
                    link.close()
                    return
        except OSError:
            return


def main(run: RunDir) -> None:
    if MODE == "crash":
        sys.exit("ImportError: the library is broken")
    logged = read_events(run)
    record = {
        "pid": os.getpid(), "started": process_start(os.getpid()), "first": len(logged),
    }  # fmt: skip
    write_atomic(run.pid_file, json.dumps(record).encode())
    host = Host(run)
    if MODE != "no-socket":
        threading.Thread(target=host.serve, daemon=True).start()
    first = max((event.step for event in logged if isinstance(event, ev.StepDone)),
                default=0)  # fmt: skip
    host.log(
        ev.RunStarted(
            run=run.name, base="pocket", device="cpu", precision="fp32", step=first,
            total_steps=STEPS, grid=4, resolution=64,
            phases=(ev.PhasePlan(number=1, first=1, last=STEPS, learning_rate=1e-3),),
            concepts=(
                ev.ConceptInfo(token="<asset0>", name="teapot", initializer="", mask="AAAA"),
            ),
        )
    )  # fmt: skip
    host.log(ev.PhaseStarted(phase=1, step=first + 1, trained_parameters=64))
    for step in range(first + 1, STEPS + 1):
        time.sleep(DELAY)
        while host.paused and not host.stopping:
            time.sleep(0.01)
        if host.stopping:
            host.log(ev.RunEnded(step=step - 1, outcome="stopped"))
            return
        if MODE == "die" and step == STEPS // 2:
            os._exit(9)
        if MODE == "fail" and step == STEPS // 2:
            host.log(ev.RunEnded(step=step, outcome="failed", message="the loss is not a number",
                                 remedy="lower the learning rate"))  # fmt: skip
            return
        host.log(
            ev.StepDone(step=step, phase=1, loss=1 / step, masked=1 / step, attention=0.1,
                        prior=0.0, grad_norm=1.0, seconds=DELAY)
        )  # fmt: skip
    host.log(ev.RunEnded(step=STEPS, outcome="finished"))


if __name__ == "__main__":
    main(RunDir(Path(sys.argv[-1])))
