"""The real engine with a tiny model: a run outlives its viewers, its own death, and draws."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from bas_tui.client import send
from engine.runs import events as ev
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.liveness import host_pid
from tests.families.ldm_layout import write_ldm_file

Shell = Callable[..., subprocess.CompletedProcess[str]]
STEPS = 150
SECONDS = 240.0
SETTINGS = {
    "phase1.steps": STEPS,
    "phase2.steps": 2,
    "loss.prior_images": 1,
    "loss.prior_steps": 1,
    "preview.every": 0,
    "preview.attention_every": 50,
    "checkpoint_every": 10,
    "sampling.steps": 2,
}


def words(*more: str) -> list[str]:
    return [
        *more,
        *(word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")),
    ]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def last_step(run: RunDir) -> int:
    steps = [event.step for event in read_events(run) if isinstance(event, ev.StepDone)]
    return steps[-1] if steps else 0


def test_a_run_outlives_its_viewers_and_its_own_death(
    shell: Shell, desk: Path, tiny_sdxl: Path, home: Path, tmp_path: Path
) -> None:
    """On a single file of Stable Diffusion XL; every other end-to-end run is on another family."""
    bas = [sys.executable, "-m", "bas_tui"]
    model = write_ldm_file(tiny_sdxl, tmp_path / "xl.safetensors")
    shutil.copytree(tiny_sdxl, tmp_path / "xl", ignore=shutil.ignore_patterns("*.safetensors"))
    command = words("train", str(desk), "--base", str(model), "--name", "r")
    # Its own session stands for a terminal that is closed: the whole group gets the hang-up.
    trainer = subprocess.Popen(
        [*bas, *command], start_new_session=True, stderr=subprocess.DEVNULL, text=True
    )
    run = RunDir(home / "runs" / "r")
    wait_until(lambda: last_step(run) >= 1)
    send(run, "pause")
    pid = host_pid(run)
    assert pid is not None
    os.killpg(trainer.pid, signal.SIGHUP)
    assert trainer.wait(SECONDS) == -signal.SIGHUP

    watcher = subprocess.Popen(
        [*bas, "watch", "r", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert watcher.stdout is not None and b'"seq":0,' in watcher.stdout.readline()
    watcher.kill()
    watcher.wait(SECONDS)
    assert host_pid(run) == pid and describe(run).state == "paused"

    before = max(last_step(run), 10)
    send(run, "resume")
    wait_until(lambda: last_step(run) > before + 2)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: host_pid(run) is None)
    assert describe(run).state == "interrupted"

    result = shell("resume", "--json")
    assert result.returncode == 0, result.stderr
    resumed = [ev.from_line(line) for line in result.stdout.splitlines()]
    (started,) = [event for event in resumed if isinstance(event, ev.RunStarted)]
    assert started.step >= 10 and started.step % 10 == 0, "from the last checkpoint"
    assert isinstance(resumed[-1], ev.RunEnded) and resumed[-1].outcome == "finished"
    steps = [event.step for event in resumed if isinstance(event, ev.StepDone)]
    assert steps == list(range(started.step + 1, STEPS + 3))
    assert [event.seq for event in read_events(run)] == list(range(len(read_events(run))))

    result = shell("gen", "a photo of <teapot> in snow", "-n", "2", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert len(paths) == 2 and all(path.parent == tmp_path / "out" for path in paths)
    with Image.open(paths[0]) as picture:
        chunks = " ".join(str(value) for value in picture.info.values())
    assert "a photo of <teapot> in snow" in chunks and "r" in chunks
    row = json.loads(shell("runs", "--json").stdout)
    assert (row["state"], row["step"]) == ("finished", STEPS + 2)

    result = shell("export", "--to", "comfyui", "-o", tmp_path / "out", "--no-check")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/out/r-comfyui\n"), result.stderr
    assert "teapot   r_teapot" in result.stderr
    assert (tmp_path / "out/r-comfyui/models/embeddings/r_teapot.safetensors").is_file()


def test_what_only_the_engine_can_refuse_fails_with_one_line(
    shell: Shell, desk: Path, tiny_pipeline: Path, home: Path, tmp_path: Path
) -> None:
    """The run exists by then, so it is a failure while running: exit code 1."""
    model = Path(shutil.copytree(tiny_pipeline, tmp_path / "model"))
    config = model / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_per_block": 2}))
    result = shell(*words("train", str(desk), "--base", str(model)))
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(errors) == 1, result.stderr
    assert " - " in errors[0] and "Traceback" not in result.stderr
    (run,) = list_runs()
    assert describe(run).state == "failed" and host_pid(run) is None and home.exists()
