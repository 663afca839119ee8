"""What the commands print, where, and with which exit code; hosts without a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import Result

from bas_tui.cli.options import complete_prompt, complete_run
from engine.core.config import TrainConfig
from engine.core.settings import build_config, setting_keys
from engine.pocket import MODEL_DIR
from engine.runs.events import from_line
from engine.runs.library import find_run, list_runs
from engine.runs.manifest import read_manifest
from tests.models.test_check_base import SD1, write_header

Bas = Callable[..., Result]
Fake = Callable[..., None]
Shell = Callable[..., subprocess.CompletedProcess[str]]


def test_train_talks_on_stderr_and_names_the_run_on_stdout(
    bas: Bas, fake: Fake, desk: Path
) -> None:
    fake(steps=5)
    words = ("--init", "teapot=pot", "--init", "auto")
    result = bas("train", str(desk), "--name", "r", "--base", "pocket", *words)
    assert result.exit_code == 0, result.output
    assert result.stdout == "r\n"
    for words in ("base model pocket", "<asset1> (<teapot>)", "finished", 'bas gen "a photo of'):
        assert words in result.stderr
    manifest = read_manifest(find_run("r"))
    assert {c.name: c.initializer for c in manifest.concepts} == {"penguin": "", "teapot": "pot"}
    assert manifest.settings["initializer_search"] is True


def test_the_default_base_is_said(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=2)
    result = bas("train", str(desk), "--name", "r")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("base model")]
    assert "the default" in line


def test_json_gives_every_event_and_nothing_else(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=4)
    result = bas("train", str(desk), "--name", "r", "--json")
    events = [from_line(line) for line in result.stdout.splitlines()]
    assert [event.seq for event in events if event] == list(range(7))
    watched = bas("watch", "--json")
    assert watched.exit_code == 0 and watched.stdout == result.stdout


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("fail", 1, "error: the loss is not a number - lower the learning rate"),
        ("die", 1, "gone since step 4 - go on from the last checkpoint: bas resume r"),
        ("crash", 1, "ImportError: the library is broken"),
    ],
)
def test_a_run_that_fails_says_why_and_exits_with_1(
    mode: str, code: int, words: str, bas: Bas, fake: Fake, desk: Path
) -> None:
    fake(steps=10, mode=mode)
    result = bas("train", str(desk), "--name", "r")
    assert result.exit_code == code and words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_life_of_a_detached_run(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=3000, delay=0.01)
    result = bas("train", str(desk), "--name", "r", "--detach")
    assert (result.exit_code, result.stdout) == (0, "r\n")
    assert bas("resume").exit_code == 2, "it is training already"
    assert bas("rm", "r", "--yes").exit_code == 2, "a live run is not removed"
    assert bas("pause", "r").exit_code == 0
    assert bas("resume", "r", "--detach").exit_code == 0
    result = bas("stop")
    assert result.exit_code == 0 and "r stopped at step" in result.stderr
    assert bas("stop").exit_code == 2
    row = json.loads(bas("runs", "--json").stdout)
    assert (row["run"], row["state"]) == ("r", "stopped")
    # The fake's plan is as long as it is told: three more steps end it.
    fake(steps=row["step"] + 3)
    result = bas("resume")
    assert result.exit_code == 0 and f"going on from step {row['step']}" in result.stderr
    result = bas("resume")
    assert result.exit_code == 2 and "finished" in result.stderr and "bas gen" in result.stderr
    result = bas("rm", "r")
    assert result.exit_code == 2 and "--yes" in result.stderr, "nobody to ask"
    assert bas("rm", "r", "--yes").exit_code == 0 and list_runs() == []


def test_settings_come_in_layers(
    bas: Bas, fake: Fake, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults < the base's recipe < the method < the file < --set."""
    fake(steps=1)
    model = tmp_path / "model"
    model.mkdir()
    for part in MODEL_DIR.iterdir():
        if part.name != "bas_recipe.toml":
            (model / part.name).symlink_to(part)
    (model / "bas_recipe.toml").write_text("seed = 1\n[phase1]\nsteps = 11\nlearning_rate = 0.01\n")
    (tmp_path / "s.toml").write_text("[phase1]\nsteps = 12\n[phase2]\nsteps = 12\n")
    monkeypatch.chdir(tmp_path)
    result = bas(
        "train", str(desk), "--base", "./model", "--settings", "s.toml", "--set", "phase2.steps=13",
        "--method", "no-masked-loss",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    manifest = read_manifest(find_run(None))
    config = build_config(manifest.settings)
    assert (config.seed, config.phase1.learning_rate) == (1, 0.01)
    assert (config.phase1.steps, config.phase2.steps) == (12, 13)
    assert config.loss.masked is False and manifest.method == "no-masked-loss"
    assert manifest.base == str(model.resolve())


def test_show_tells_what_is_in_a_run(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=3, mode="fail")
    bas("train", str(desk), "--name", "r", "--set", "seed=5")
    result = bas("show")
    for words in ("<asset0>", "<teapot>", "seed=5", "failed", str(desk)):
        assert words in result.stdout
    assert "bas resume r" in result.stderr and "bas gen" not in result.stderr
    shown = json.loads(bas("show", "r", "--json").stdout)
    assert shown["settings"]["seed"] == 5 and shown["state"] == "failed"


def test_gen_checks_the_prompt_before_anything_else(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=2)
    bas("train", str(desk), "--name", "r")
    result = bas("gen", "a <teapto>")
    assert result.exit_code == 2 and "<asset1> (<teapot>)" in result.stderr
    result = bas("gen", "a <teapot>")
    assert result.exit_code == 2 and "no concepts" in result.stderr, "the fake host learns nothing"


def test_gen_prints_paths_or_events(bas: Bas, fake: Fake, desk: Path, tmp_path: Path) -> None:
    fake(steps=2)
    bas("train", str(desk), "--name", "r")
    concepts = find_run("r").concepts
    concepts.mkdir()
    (concepts / "concepts.json").write_text("{}")
    result = bas("gen", "<teapot> in snow", "-n", "2", "-o", str(tmp_path / "out"))
    assert (result.exit_code, result.stdout) == (0, "/p/0.png\n/p/1.png\n"), result.output
    # The newest run to draw from is the newest one that has learned something.
    newer = concepts.parent.parent / "s"
    shutil.copytree(concepts.parent, newer, ignore=shutil.ignore_patterns("concepts"))
    result = bas("gen", "<asset0>", "-n", "1", "--json")
    assert "from r: s, the newest, has no concepts yet" in result.stderr
    shutil.rmtree(newer)
    kinds = [json.loads(line)["kind"] for line in result.stdout.splitlines()]
    assert kinds[0] == "progress" and kinds[-1] == "generation_ended"
    box = (str(desk / "img.png"), "--mask", "10,10,50,50")
    result = bas("edit", *box[:1], "<teapot>", *box[1:], "-n", "1")
    assert (result.exit_code, result.stdout) == (0, "/p/0.png\n"), result.output
    result = bas("vary", "r", "-n", "1")
    assert (result.exit_code, result.stdout) == (0, "/p/0.png\n"), result.output
    for words in (("gen",), ("edit", *box), ("vary", "--prompt")):
        result = bas(*words, "die")
        assert result.exit_code == 1 and "out of memory" in result.stderr
    taken = tmp_path / "file"
    taken.write_text("")
    result = bas("gen", "<teapot>", "-o", str(taken))
    assert result.exit_code == 2 and "is a file" in result.stderr
    word = tmp_path / "teapot.safetensors"
    save_file({"emb_params": np.zeros((1, 8), np.float32)}, word)
    for command in (("gen", "<teapot>"), ("edit", *box[:1], "<teapot>", *box[1:])):
        result = bas(*command, "--embedding", str(word))
        assert result.exit_code == 2 and "there is a <teapot> already" in result.stderr
        result = bas(*command, "--negative", "an <owl>")
        assert result.exit_code == 2 and "unknown token <owl>" in result.stderr
    result = bas("gen", "a photo of snow", "--place", "teapot=10,10")
    assert "not in the prompt: <teapot> - name it or leave its --place out" in result.stderr
    (find_run("r").scene / "image.png").unlink()
    for command in (("vary", "r"), ("gen", "<teapot>", "--place", "teapot=10,10")):
        result = bas(*command)
        assert result.exit_code == 2 and "r has no photo" in result.stderr
    assert bas("vary", "r", "--strength", "1", "-n", "1").exit_code == 0


def test_the_demo_trains_and_draws_each_thing_alone_and_both_together(bas: Bas, fake: Fake) -> None:
    fake(steps=3)
    result = bas("demo", "--scene", "rocket_cactus", "--set", "phase1.steps=3")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("/p/0.png\n") == 3
    (run,) = list_runs()
    manifest = read_manifest(run)
    assert run.name.startswith("rocket-cactus-") and manifest.base == "pocket"
    assert manifest.settings["phase1.steps"] == 3
    for words in (
        "a photo of <rocket> on",
        "<cactus> and <rocket> on",
        str(run.pictures),
        "now try",
    ):
        assert words in result.stderr
    assert bas("demo", "--list").stdout.splitlines()[0] == "teapot_penguin"


def test_every_setting_is_listed_with_its_default(bas: Bas) -> None:
    rows = [json.loads(line) for line in bas("settings", "--json").stdout.splitlines()]
    assert [row["key"] for row in rows] == list(setting_keys())
    table = {row["key"]: row for row in rows}
    assert table["phase1.steps"]["default"] == TrainConfig().phase1.steps
    assert table["phase1.steps"]["help"].startswith("Optimiser steps")
    assert "TI" not in table["seed"]["help"] and "bf16" in table["precision"]["takes"]


def test_models_say_where_they_are(bas: Bas) -> None:
    rows = {
        row["name"]: row for row in map(json.loads, bas("models", "--json").stdout.split("\n")[:-1])
    }
    assert rows["pocket"]["where"] == "embedded" and rows["sd21"]["where"] == "download"
    assert sum(row["default"] for row in rows.values()) == 1
    assert all(row["licence"] for row in rows.values())


def test_without_a_terminal_the_application_becomes_text(bas: Bas, desk: Path) -> None:
    result = bas()
    assert result.exit_code == 0 and "no runs yet" in result.stderr
    result = bas("open", str(desk))
    assert result.exit_code == 0 and "2 things: penguin, teapot" in result.stderr
    assert bas("attach").exit_code == 2
    # Said before any window opens.
    result = bas("open", str(desk), "--base", "nonsense")
    assert result.exit_code == 2 and "there is no base model 'nonsense'" in result.stderr


def test_a_base_model_may_lack_the_autoencoder_that_the_settings_name(
    bas: Bas, desk: Path, tmp_path: Path
) -> None:
    shapes = {name: shape for name, shape in SD1.items() if "first_stage" not in name}
    base = str(write_header(tmp_path / "no_vae.safetensors", shapes))
    result = bas("plan", str(desk), "--base", base)
    assert result.exit_code == 2 and "VAE" in result.stderr
    assert bas("plan", str(desk), "--base", base, "--set", "base.vae=vae").exit_code == 0
    file = tmp_path / "settings.toml"
    file.write_text('seed = 3\nbase.vae = "vae"\n')
    result = bas("train", str(desk), "--base", base, "--settings", str(file), "--set", "x=1")
    assert "there is no setting 'x'" in result.stderr, "what was wrong is the setting, not the base"


def test_the_shell_completes_runs_and_tokens(bas: Bas, fake: Fake, desk: Path) -> None:
    assert complete_run("") == [] and complete_prompt("a <") == []
    fake(steps=1)
    bas("train", str(desk), "--name", "r")
    assert complete_run("") == ["r"] and complete_run("x") == []
    assert [word for word, _ in complete_prompt("a <te")] == ["a <teapot>"]
    assert len(complete_prompt("a ")) == 4


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["runs"], ["train", "--help"]])
def test_help_loads_nothing_heavy(words: list[str], home: Path) -> None:
    """The promise of a quick `bas --help`, by what is loaded instead of a clock."""
    del home
    code = (
        "import sys\nfrom bas_tui.cli.main import main\n"
        f"sys.argv = ['bas', *{words!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(result.stderr.splitlines()[-1].split())
    heavy = {
        "torch", "diffusers", "transformers", "accelerate", "numpy", "PIL", "cv2", "textual",
        "term_image", "huggingface_hub", "asyncio",
    }  # fmt: skip
    assert "typer" in loaded and not loaded & heavy


def test_watching_loads_no_torch(bas: Bas, fake: Fake, desk: Path) -> None:
    fake(steps=2)
    bas("train", str(desk), "--name", "r")
    code = (
        "import sys\nfrom bas_tui.cli.main import main\nsys.argv = ['bas', 'watch']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "finished" in result.stderr and result.stdout == "False\n"


@pytest.mark.parametrize("command", ["watch", "gen", "train", "demo", "open", "settings", "models"])
def test_every_help_teaches_by_an_example(command: str, bas: Bas) -> None:
    result = bas(command, "--help")
    assert result.exit_code == 0 and "Example:  bas " in result.stdout


def test_a_reader_who_leaves_is_no_error(bas: Bas, fake: Fake, desk: Path, home: Path) -> None:
    del home
    fake(steps=300, delay=0)
    bas("train", str(desk), "--name", "r")
    command = f"{sys.executable} -m bas_tui watch --json | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.stdout.count("\n") == 1 and result.stderr == ""
