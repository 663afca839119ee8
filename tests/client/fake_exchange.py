"""Stands in for `python -m engine exchange`: events without a model.

FAKE_MODE: `die` ends in the middle, `fail` fails with words, `slow` waits to be ended.
"""

from __future__ import annotations

import json
import os
import sys
import time

from engine.runs import events as ev
from engine.runs import exchange_events as xv

order = json.loads(sys.stdin.readline())
mode = os.environ.get("FAKE_MODE", "")


def emit(event: ev.Event) -> None:
    print(ev.to_line(event), flush=True)


emit(ev.Progress(stage="save", done=1, total=2, label="half"))
if mode == "slow":
    time.sleep(60)
if mode == "die":
    print("Killed: no memory", file=sys.stderr)
    sys.exit(9)
if mode == "fail":
    kind = xv.ExportEnded if order["do"] == "export" else xv.ImportEnded
    emit(kind(outcome="failed", message="it does not fit", remedy="take another"))
    sys.exit(2)
if order["do"] == "export":
    for part in ("text encoder", "all layers"):
        emit(xv.EnergyKept(part=part, share=0.5, ranks=(4, 8), kept=(0.5, 0.75)))
    for target in order["targets"]:
        folder = f"{order['out']}/{order['name']}-{target}"
        emit(xv.ExportSaved(target=target, folder=folder, bytes=1_500_000))
    emit(xv.AgreementMeasured(psnr=(40.0, 42.0), sheet="/p/check.png"))
    emit(xv.ExportEnded(outcome="finished", names=("teapot",), words=("kitchen_teapot",)))
else:
    emit(
        xv.PackOpened(
            title="kitchen", base="sd21", base_sha256="abc", names=("teapot",), method="db-m",
            step=800, rank=0, bytes=5_000_000, created=0.0, licence="", base_licence="",
            prompts=("a photo of <teapot>",),
        )
    )  # fmt: skip
    emit(xv.ImportEnded(outcome="finished", run="" if order["look"] else "/runs/kitchen"))
