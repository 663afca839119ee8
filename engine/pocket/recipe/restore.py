"""Makes a working folder of the build from an exported model, to train it further.

The export holds the averaged weights only: the optimiser starts afresh, with a new warm-up.
"""

import json
from pathlib import Path

import torch

from engine.families.stable_diffusion import load_folder
from engine.pocket.recipe.base_training import Trainer
from engine.pocket.recipe.export import TRAINING


@torch.no_grad()
def restore(model: Path, workdir: Path, trainer: Trainer) -> None:
    """Write autoencoder, tokenizer and the base model's state of ``model`` into ``workdir``.

    Args:
        trainer: an untrained trainer of the model's shape and tokenizer.

    Raises UserError when a part of the model does not load.
    """
    family = load_folder(model, device=torch.device("cpu"))
    trainer.unet.load_state_dict(family.unet.state_dict())
    trainer.text.load_state_dict(family.text.encoder.state_dict())
    for value, weight in zip(trainer.average.values, trainer.weights, strict=True):
        value.copy_(weight)
    trainer.seen = json.loads((model / TRAINING).read_text())["samples"]
    trainer.save(workdir / "base" / "state")
    family.codec.vae.save_pretrained(workdir / "vae-final" / "vae")
