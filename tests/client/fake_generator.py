"""A generation host without a model: the documented protocol on stdin and stdout."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time

from engine.runs import events as ev

requests: queue.SimpleQueue[dict[str, object] | None] = queue.SimpleQueue()
cancelled: set[object] = set()


def say(event: ev.Event) -> None:
    print(ev.to_line(event), flush=True)


def read() -> None:
    for line in sys.stdin:
        record = json.loads(line)
        if record.get("command") == "cancel":
            cancelled.add(record["request"])
        else:
            requests.put(record)
    requests.put(None)


def draw(request: dict[str, object]) -> None:
    key, count = str(request["request"]), int(str(request["count"]))
    print("a library says hello on stdout", flush=True)
    if request["prompt"] == "die":
        sys.exit("RuntimeError: out of memory")
    say(ev.Progress(stage="load", done=1, total=1, label="loading"))
    say(
        ev.GenerationStarted(request=key, run=str(request["run"]), prompt=str(request["prompt"]),
                             seed=3, count=count, steps=2, guidance=7.5)
    )  # fmt: skip
    for index in range(count):
        for step in (1, 2):
            while request["prompt"] == "wait" and key not in cancelled:
                time.sleep(0.01)
            if key in cancelled:
                say(ev.GenerationEnded(request=key, outcome="cancelled"))
                return
            say(ev.GenerationStep(request=key, index=index, step=step, steps=2))
        say(ev.PictureSaved(request=key, index=index, path=f"/p/{index}.png", seed=3 + index))
    say(ev.GenerationEnded(request=key, outcome="finished"))


threading.Thread(target=read, daemon=True).start()
while (request := requests.get()) is not None:
    draw(request)
