"""What an export costs at true size: processor seconds, peak memory, bytes.

    python -m tests.bench.exports --kind sd21 --to comfyui diffusers checkpoint pack
    python -m tests.bench.exports --kind sdxl --train lora --to comfyui a1111 --keep FOLDER

Base model and run are random numbers at the published shapes, in half precision as models are
shared; each export is a process of its own with one thread. Random changes have no small rank, so
the share that a LoRA keeps says nothing here. sd21 takes 13 GB of disk, sdxl 12 GB and more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from engine.adapters import full, lora
from engine.core.process_environment import python_path
from engine.families.contract import Family
from engine.families.file_configs import CONFIGS
from engine.families.single_file import END, clip_tokenizer
from engine.results.concepts import save_concepts
from engine.results.exports.clip_files import published_name, write_json, write_tokenizer
from engine.results.exports.loaded import parts_of
from engine.runs.export_targets import TARGETS
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from tests.bench.shapes import SD21, build_family, build_xl

Shapes = Mapping[str, tuple[int, ...]]
BUNDLED = {"sd21": "sd2", "sdxl": "sdxl"}
PIPELINES = {"sd21": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}
RANK = 32
POLL = 0.05
"""Seconds between two looks at a process' memory."""
POOL = 33_554_393
"""Numbers that are drawn once and used again and again; longer than any weight but a vocabulary."""


class Cost(NamedTuple):
    """Of one export."""

    seconds: float
    """Of the processor."""
    wall: float
    memory: int
    """Peak resident bytes."""
    own: int
    """Of these, at one moment, not pages of a file, which the system may take back; 0: not told."""
    size: int
    """Bytes written."""


class Numbers:
    """Random half-precision numbers of spread 1, as many as are asked for."""

    def __init__(self) -> None:
        self._pool = torch.randn(POOL, generator=torch.Generator().manual_seed(0))
        self._at = 0

    def take(self, count: int, spread: float) -> torch.Tensor:
        """The next `count`, times `spread`."""
        index = (self._at + torch.arange(count)) % POOL
        self._at = (self._at + count) % POOL
        return (self._pool[index] * spread).half()


def write_random(path: Path, shapes: Shapes, numbers: Numbers, spread: float | None = None) -> None:
    """A safetensors file, tensor by tensor; without `spread` a weight's is 1 / sqrt(inputs)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        end = at + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            own = spread or 1 / math.prod(shape[1:] or (2500,)) ** 0.5
            file.write(numbers.take(math.prod(shape), own).numpy().data)


def family_of(kind: str, *, tokens: bool) -> Family:
    """The published model without storage."""
    meta = torch.device("meta")
    return (
        build_xl(meta, tokens=tokens) if kind == "sdxl" else build_family(SD21, meta, tokens=tokens)
    )


def write_base(folder: Path, kind: str, numbers: Numbers) -> None:
    """A diffusers folder of that kind."""
    parts = parts_of(family_of(kind, tokens=False))
    configs = CONFIGS / BUNDLED[kind]
    models = {"unet": parts.unet, "vae": parts.vae}
    index: dict[str, object] = {"_class_name": PIPELINES[kind]}
    for number, encoder in enumerate(parts.encoders):
        ending = f"_{number + 1}" if number else ""
        models[f"text_encoder{ending}"] = encoder.text_encoder
        write_tokenizer(folder / f"tokenizer{ending}", clip_tokenizer(END))
        index[f"tokenizer{ending}"] = ["transformers", "CLIPTokenizer"]
    for part, model in models.items():
        text = part.startswith("text")
        shapes = {
            published_name(name) if text else name: tuple(tensor.shape)
            for name, tensor in model.state_dict().items()
            if not name.endswith("position_ids")
        }
        stem = "model" if text else "diffusion_pytorch_model"
        write_random(folder / part / f"{stem}.safetensors", shapes, numbers)
        shutil.copyfile(configs / part / "config.json", folder / part / "config.json")
        index[part] = ["transformers" if text else "diffusers", type(model).__name__]
    (folder / "scheduler").mkdir()
    name = "scheduler_config.json"
    shutil.copyfile(configs / "scheduler" / name, folder / "scheduler" / name)
    write_json(folder / "model_index.json", index | {"scheduler": ["diffusers", "DDIMScheduler"]})


def write_run(run: RunDir, base: Path, kind: str, train: str, numbers: Numbers) -> None:
    """A finished run: its words, and a whole change or a LoRA of `RANK`."""
    family = family_of(kind, tokens=True)
    names = ("teapot", "zorbl")
    entries = tuple(
        ConceptEntry(token=f"<asset{index}>", name=name, initializer="")
        for index, name in enumerate(names)
    )
    rows: dict[str, torch.Tensor] = {"word_ids": torch.tensor([320, 539, 1125])}
    for index, embedding in enumerate(family.text.embeddings()):
        ending = f"_{index + 1}" if index else ""
        width = embedding.placeholder_rows.shape[1]
        for rows_name, count in (("placeholder_rows", len(names)), ("word_rows", 3)):
            rows[f"{rows_name}{ending}"] = numbers.take(count * width, 0.02).view(count, -1).float()

    def write_change(folder: Path) -> None:
        if train == "full":
            shapes = {name: tuple(w.shape) for name, w in family.targets.weights().items()}
            write_random(folder / full.FILE, shapes, numbers, 2e-4)
            return
        shapes = {}
        for name, layer in family.targets.layers("all", text_encoder=True).items():
            weight = tuple(layer.get_parameter("weight").shape)
            shapes[f"{name}.lora_A.weight"] = (RANK, *weight[1:])
            shapes[f"{name}.lora_B.weight"] = (weight[0], RANK, *(1 for _ in weight[2:]))
        write_random(folder / lora.FILE, shapes, numbers, 1e-2)

    save_concepts(
        run.concepts, rows, write_change, concepts=entries, base=str(base), base_hash="", step=800,
        recipe={},
    )  # fmt: skip
    settings = {"phase2.train": "lora", "lora.rank": RANK} if train == "lora" else {}
    write_manifest(
        run,
        Manifest(
            name=run.name, created=time.time(), base=str(base), scene_source="", concepts=entries,
            settings=settings,
        ),
    )  # fmt: skip


def measure(run: RunDir, target: str, out: Path, rank: int | None) -> Cost:
    """One export in a process of its own."""
    order = {
        "do": "export", "run": str(run.path), "targets": [target], "out": str(out), "check": False,
        "rank": rank, "name": "kitchen",
    }  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1",
        "BAS_HOME": str(run.path.parent.parent),
    }  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "exchange"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.close()
    own = 0
    while True:
        own = max(own, anonymous(process.pid))
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(POLL)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the export to {target} failed")
    files = [path for path in (out / f"kitchen-{target}").rglob("*") if path.is_file()]
    return Cost(
        used.ru_utime + used.ru_stime,
        time.monotonic() - started,
        used.ru_maxrss * 1024,
        own,
        sum(path.stat().st_size for path in files),
    )


def anonymous(pid: int) -> int:
    """Resident bytes of a process that belong to no file; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def main(arguments: argparse.Namespace) -> None:
    """Build, export, print."""
    torch.set_num_threads(1)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bas-exports-"))
    base, run = folder / "base", RunDir(folder / "home" / "runs" / "kitchen")
    try:
        if not base.is_dir():
            numbers = Numbers()
            write_base(base, arguments.kind, numbers)
            write_run(run, base, arguments.kind, arguments.train, numbers)
        print(f"{arguments.kind}, {arguments.train}")
        print(f"{'to':12}  CPU s  wall s  peak GB  own GB  size GB")
        for target in arguments.to:
            cost = measure(run, target, folder / "out", arguments.rank)
            print(
                f"{target:12}{cost.seconds:7.1f}{cost.wall:8.1f}{cost.memory / 1e9:9.2f}"
                f"{cost.own / 1e9:8.2f}{cost.size / 1e9:9.3f}",
                flush=True,
            )
            if arguments.keep is None:
                shutil.rmtree(folder / "out")
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=BUNDLED, default="sd21")
    parser.add_argument("--train", choices=("full", "lora"), default="full")
    parser.add_argument("--to", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rank", type=int, help="cut packs, too")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    main(parser.parse_args())
