"""What a picture's file tells of how it was drawn."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import numpy as np

from bas_tui.tui.shell.picture_files import Recipe
from engine.scenes.edit_sources import keep_photo, keep_region
from engine.scenes.mask_ops import mask_digest, picture_digest


def test_a_recipe_is_told_as_a_command() -> None:
    recipe = Recipe(
        prompt="<asset0> in snow", negative="blur", seed=1, steps=20, guidance=3.0, run="tea"
    )
    assert recipe.command() == (
        "bas gen '<asset0> in snow' --run tea --count 1 --seed 1 --steps 20 --guidance 3 "
        "--negative blur"
    )
    assert recipe.read_prompt() == "<asset0> in snow"
    weak = dataclasses.replace(recipe, strength=0.5)
    assert "strength 0.5" in weak.details() and "--strength 0.5 --negative" in weak.command()
    bare = dataclasses.replace(recipe, opening="a photo of")
    assert bare.read_prompt() == "(a photo of) <asset0> in snow"
    assert bare.command() == recipe.command()
    edited = Recipe(prompt="<asset0> | a cat", photo="shelf", score=0.5)
    assert edited.command().startswith("bas edit shelf '<asset0>' 'a cat' --mask REGION --mask")
    assert edited.details() == "presence 0.50"
    told = dataclasses.replace(edited, verdict="1 of 2, tea missing")
    assert told.details() == "1 of 2, tea missing"
    assert "--decoder-steps 75" in dataclasses.replace(edited, decoder_steps=75).command()
    begun = dataclasses.replace(edited, start=0.0)
    assert "--mask REGION --start 0 --count" in begun.command()
    varied = dataclasses.replace(recipe, noise=0.8)
    assert varied.command() == (
        "bas vary tea --prompt '<asset0> in snow' --count 1 --seed 1 --steps 20 --guidance 3 "
        "--strength 0.8 --negative blur  # nearly: or it was bas gen with --place"
    )
    placed = dataclasses.replace(varied, strength=0.5)
    assert "--place NAME=X,Y --loose 0.8 --run tea" in placed.command()
    added = dataclasses.replace(
        bare, loras="ink.safetensors:0.7, b.safetensors:1", embeddings="e=e.st:1", others="r:1"
    )
    assert added.command().endswith(
        "--lora ink.safetensors:0.7 --lora b.safetensors --embedding e=e.st --with r "
        "--negative blur"
    )


def test_an_edits_command_names_what_lies_beside_it(tmp_path: Path) -> None:
    photo, mask = np.full((4, 6, 3), 9, np.uint8), np.eye(4, 6, dtype=bool)
    edited = Recipe(
        prompt="<asset0>", photo="my shelf", photo_digest=picture_digest(photo),
        masks=(mask_digest(mask),), run="tea",
    )  # fmt: skip
    assert "REGION" in edited.command(tmp_path) and "# name its" in edited.command(tmp_path)
    files = [keep_photo(photo, "my shelf", tmp_path), keep_region(mask, tmp_path)]
    words = shlex.split(edited.command(tmp_path))
    assert words[:6] == ["bas", "edit", str(files[0]), "<asset0>", "--mask", str(files[1])]
