"""Run folders appear whole or not at all."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bas_tui.client import (
    change_settings,
    check_learned,
    check_prompt,
    create_run,
    resolve_base,
    token_names,
)
from engine.core.errors import UserError
from engine.pocket import MODEL_DIR
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.manifest import read_manifest
from engine.scenes.scene import Scene, open_saved_scene, scene_hash


def test_a_run_holds_what_was_asked_for(home: Path, scene: Scene) -> None:
    run = create_run(
        scene,
        base="pocket",
        stem="My desk",
        settings={"phase1.steps": "20", "data.flip": 0.5, "loss.masked": "no"},
        scene_source="/pictures/desk.jpg",
        initializers={"penguin": "bird"},
    )
    manifest = read_manifest(run)
    assert run.path.parent == home / "runs" and run.name.startswith("my-desk-")
    assert [(c.token, c.name, c.initializer) for c in manifest.concepts] == [
        ("<asset0>", "teapot", ""),
        ("<asset1>", "penguin", "bird"),
    ]
    assert manifest.settings == {"phase1.steps": 20, "loss.masked": False}, "only what differs"
    assert scene_hash(open_saved_scene(run.scene)) == manifest.scene_hash == scene_hash(scene)
    assert manifest.versions and "torch" in manifest.versions
    assert [path.name for path in home.iterdir()] == ["runs"], "no temporary folder stays"
    assert list_runs() == [run]
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def pocket_again(folder: Path) -> Path:
    """A model folder whose parts are links to the embedded model's."""
    folder.mkdir()
    for part in MODEL_DIR.iterdir():
        if part.name != "bas_recipe.toml":
            (folder / part.name).symlink_to(part)
    return folder


def pickled_unet(folder: Path) -> Path:
    pocket_again(folder)
    (folder / "unet").unlink()
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text((MODEL_DIR / "unet" / "config.json").read_text())
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    return folder


def no_unet(folder: Path) -> Path:
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    return folder


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / name).write_bytes(content)
        return folder / name

    return make


BAD_BASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown name": (lambda _: "pokcet", "did you mean pocket"),
    "no such folder": (lambda _: "./nowhere", "check the path"),
    "no such file": (lambda _: "model.safetensors", "check the path"),
    "empty folder": (lambda folder: folder.mkdir() or folder, "model_index.json"),
    "damaged index": (lambda folder: file("model_index.json", b"{")(folder).parent, "model_index"),
    "only pickles": (pickled_unet, "convert them to safetensors"),
    "a transformer": (no_unet, "only Stable Diffusion 1.x or 2.x"),
    "ckpt": (file("model.ckpt", b"x"), "convert it to safetensors"),
    "bin": (file("model.bin", b"x"), "convert it to safetensors"),
    "pt": (file("model.pt", b"x"), "convert it to safetensors"),
    "a picture": (file("model.png", b"x"), ".safetensors"),
    "cut short": (file("model.safetensors", b"\xff\xff\0\0\0\0\0\0{"), "download it again"),
    "hub id, offline": (lambda _: "someone/some-model", "use --base pocket or a local folder"),
    "named, offline": (lambda _: "sd15", "use --base pocket or a local folder"),
}


@pytest.mark.parametrize("kind", BAD_BASES)
def test_a_bad_base_leaves_nothing(kind: str, home: Path, scene: Scene, tmp_path: Path) -> None:
    make, remedy = BAD_BASES[kind]
    with pytest.raises(UserError) as caught:
        create_run(scene, base=str(make(tmp_path / "base")), scene_source="x.png")
    assert remedy in caught.value.remedy + caught.value.message
    assert "\n" not in str(caught.value)
    assert not home.exists()


def test_a_folder_of_a_model_is_taken_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pocket_again(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert resolve_base("./model") == resolve_base("model") == str(folder.resolve())


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"phase1.stepz": 3}},
        {"settings": {"phase1.steps": "many"}},
        {"settings": {"phase1.steps": 0, "phase2.steps": 0}},
        {"name": "../evil"},
        {"initializers": {"cat": "dog"}},
    ],
)
def test_a_wrong_word_leaves_nothing(wrong: dict[str, object], home: Path, scene: Scene) -> None:
    with pytest.raises(UserError):
        create_run(scene, base="pocket", scene_source="x.png", **wrong)  # type: ignore[arg-type]
    assert not home.exists()


def test_a_taken_name_is_refused_and_kept(home: Path, run: RunDir, scene: Scene) -> None:
    with pytest.raises(UserError, match="already"):
        create_run(scene, base="pocket", name="r")
    assert [path.name for path in home.iterdir()] == ["runs"] and list_runs() == [run]


def test_prompts_are_checked_against_the_tokens(run: RunDir) -> None:
    for good in ("<asset0> in snow", "a <teapot> and <asset1>", "a plain cat"):
        check_prompt(run, good)
    with pytest.raises(UserError, match=r"<asset7>.*<asset0> \(<teapot>\)"):
        check_prompt(run, "a photo of <asset7>")
    with pytest.raises(UserError):
        check_prompt(run, "  ")
    with pytest.raises(UserError, match="bas resume r"):
        check_learned(run)
    assert token_names(read_manifest(run).concepts) == [
        "<asset0>", "<asset1>", "<teapot>", "<penguin>",
    ]  # fmt: skip


def test_settings_change_between_two_hosts(home: Path, scene: Scene) -> None:  # noqa: ARG001
    run = create_run(scene, base="pocket", settings={"phase1.steps": "20"})
    before = read_manifest(run)
    for bad in ({"phase1.steps": "many"}, {"seeed": "1"}, {"phase1.steps": 0, "phase2.steps": 0}):
        with pytest.raises(UserError):
            change_settings(run, bad)
    assert read_manifest(run) == before
    change_settings(run, {"phase2.learning_rate": "1e-6", "phase1.steps": "400"})
    after = read_manifest(run)
    assert after.settings == {"phase2.learning_rate": 1e-6}, "only what differs from the defaults"
    assert after.concepts == before.concepts
