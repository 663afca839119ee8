"""Which screens there are, and the keys of all of them."""

from __future__ import annotations

from bas_tui.tui.batch.keys import KEYS as BATCH
from bas_tui.tui.compose.keys import KEYS as COMPOSE
from bas_tui.tui.edit.keys import KEYS as EDIT
from bas_tui.tui.runs.keys import KEYS as RUNS
from bas_tui.tui.scene.keys import KEYS as SCENE
from bas_tui.tui.shell.bindings import Registry
from bas_tui.tui.shell.keys import KEYS
from bas_tui.tui.train.keys import KEYS as TRAIN

SCREEN_CLASSES = {
    "runs": ("bas_tui.tui.runs.screen", "RunsScreen"),
    "scene": ("bas_tui.tui.scene.screen", "SceneScreen"),
    "train": ("bas_tui.tui.train.screen", "TrainScreen"),
    "compose": ("bas_tui.tui.compose.screen", "ComposeScreen"),
    "edit": ("bas_tui.tui.edit.screen", "EditScreen"),
    "batch": ("bas_tui.tui.batch.screen", "BatchScreen"),
}
"""Imported when they are first opened: a start pays only for the screen it shows."""
REGISTRY = Registry((*KEYS, *RUNS, *SCENE, *TRAIN, *COMPOSE, *EDIT, *BATCH))
