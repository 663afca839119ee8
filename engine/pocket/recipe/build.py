"""Builds the pocket model stage by stage: ``python -m engine.pocket.recipe.build --stage NAME``.

Every stage may be stopped at any time and goes on exactly where it was when it is called again.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from engine.core.errors import UserError

DRAWN = 400
"""Scenes that the base model draws anew for the decoder's training."""

STAGES = ("data", "tokenizer", "vae", "latents", "base", "decoder", "export", "eval")


def parser() -> argparse.ArgumentParser:
    """The command line of the build."""
    words = argparse.ArgumentParser(
        prog="python -m engine.pocket.recipe.build", description=__doc__
    )
    words.add_argument("--stage", choices=(*STAGES, "all", "restore"), required=True)
    words.add_argument("--minutes", type=float, default=9.0, help="time for a training stage")
    words.add_argument("--workdir", type=Path, default=Path("pocket-build"))
    words.add_argument("--device", default="cpu", help="cpu or cuda")
    words.add_argument("--workers", type=int, help="training processes (cpu: 2, cuda: 1)")
    words.add_argument("--decay-steps", type=int, default=0, help="base: start the decay now")
    words.add_argument("--rate", type=float, help="base: learning rate before the decay")
    words.add_argument("--shards", type=int, default=80, help="latents: files of 512 scenes")
    words.add_argument("--seed", type=int, default=23, help="latents: another one, other scenes")
    words.add_argument(
        "--batch", type=int, help="samples a step and process (vae, decoder 4, base 24)"
    )
    words.add_argument("--steps", type=int, help="vae, decoder: steps in all")
    words.add_argument("--output", type=Path, help="export: the model's folder")
    words.add_argument("--model", type=Path, help="restore: the model to go on from (the shipped)")
    return words


def make_composer(seed: int = 0, variants: int = 48):
    """A composer of the training objects."""
    from engine.pocket.recipe import composer, objects

    sprites = objects.load_sprites(
        objects.fetch(objects.data_dir()), objects.catalogue().training()
    )
    return composer.Composer(sprites, seed, variants)


def run_stage(stage: str, options: argparse.Namespace) -> bool:
    """Run one stage in this process; return whether it is finished."""
    import torch

    from engine.pocket.recipe import distributed, objects

    if options.device == "cpu":
        torch.set_num_threads(1)
    team = distributed.join()
    if stage == "data":
        print("pictures in", objects.fetch(objects.data_dir()))
        return True
    finished = STAGE_FUNCTIONS[stage](options, team)
    team.part()
    return finished


def tokenizer_stage(options: argparse.Namespace, _team) -> bool:
    """Train the tokenizer (seconds)."""
    from engine.pocket.recipe import objects, tokenizer

    made = tokenizer.train(tokenizer.corpus(objects.catalogue().training()))
    made.save_pretrained(options.workdir / "tokenizer")
    print(f"tokenizer: {len(made)} tokens")
    return True


def vae_stage(options: argparse.Namespace, team) -> bool:
    """Train the autoencoder; when it is finished, settle the scale of its latents."""
    import numpy as np

    from engine.pocket.recipe import latent_scale, vae_training

    folder, final = options.workdir / "vae", options.workdir / "vae-final"
    composer = make_composer()
    config = vae_training.VaeConfig()
    config = replace(
        config, batch=options.batch or config.batch, steps=options.steps or config.steps
    )
    heldout = vae_training.heldout_scenes()
    done = vae_training.train(
        composer, heldout, folder, config, team, options.minutes, options.device
    )
    if done and team.leader and not (final / "vae").exists():
        vae = vae_training.load(folder)
        images = vae_training.batch(composer, np.random.default_rng(779), 64)
        latent_scale.rescale(vae, images)
        vae.save_pretrained(final / "vae")
        print(f"vae: held-out PSNR {vae_training.psnr(vae, heldout):.2f} dB after scaling")
    return done


def latents_stage(options: argparse.Namespace, team) -> bool:
    """Compose and encode the training scenes, shards split over the team."""
    from engine.pocket.recipe import latents, tokenizer, vae_training
    from engine.pocket.recipe.composer import Mixture

    latents.make(
        options.workdir / "latents",
        range(team.rank, options.shards, team.world),
        make_composer(),
        tokenizer.load(options.workdir / "tokenizer"),
        vae_training.load(options.workdir / "vae-final").to(options.device),
        Mixture(),
        options.seed,
        options.device,
    )
    return True


def make_trainer(options: argparse.Namespace):
    """The base model's trainer, untrained."""
    from engine.pocket.recipe import base_model, base_training, tokenizer

    config = base_training.BaseConfig()
    config = replace(config, batch=options.batch or config.batch, rate=options.rate or config.rate)
    words = tokenizer.load(options.workdir / "tokenizer")
    return base_training.Trainer(config, base_model.BaseShape(), words, 1.0, options.device)


def base_stage(options: argparse.Namespace, team) -> bool:
    """Train text encoder and UNet."""
    from engine.pocket.recipe import base_training, latents

    folder = options.workdir / "latents"
    scenes = latents.load(folder, min(options.shards, latents.available(folder)))
    return base_training.train(
        make_trainer(options),
        scenes,
        options.workdir / "base",
        team,
        options.minutes,
        options.decay_steps,
    )


def averaged_pipeline(options: argparse.Namespace):
    """The base model's averaged weights as a pipeline, and how many samples it has seen."""
    from engine.pocket.recipe import base_model, export, tokenizer, vae_training
    from engine.pocket.recipe.base_training import Trainer

    trainer: Trainer = make_trainer(options)
    trainer.resume(options.workdir / "base" / "state")
    trainer.average.swap()
    for part in (trainer.unet, trainer.text):
        part.eval()
    words = tokenizer.load(options.workdir / "tokenizer")
    finer = options.workdir / "decoder-final"
    vae = vae_training.load(finer if finer.exists() else options.workdir / "vae-final")
    parts = (trainer.unet, trainer.text, words, vae, base_model.build_scheduler())
    return export.pipeline(*parts), trainer.seen


def decoder_stage(options: argparse.Namespace, team) -> bool:
    """Train the decoder further; latents stay what they are."""
    from safetensors.torch import load_file, save_file

    from engine.pocket.recipe import decoder_training, vae_training

    folder, final = options.workdir / "decoder", options.workdir / "decoder-final"
    composer = make_composer(seed=1, variants=16)
    drawn = folder / "drawn.safetensors"
    if team.leader and not drawn.exists():
        pipe, _ = averaged_pipeline(options)
        made = decoder_training.redraw(pipe.to(options.device), composer, DRAWN, options.seed)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(made._asdict(), drawn.with_suffix(".new"))
        drawn.with_suffix(".new").replace(drawn)
    team.agree(0)
    config = decoder_training.DecoderConfig()
    config = replace(
        config, batch=options.batch or config.batch, steps=options.steps or config.steps
    )
    vae = vae_training.load(options.workdir / "vae-final")
    done = decoder_training.train(
        vae,
        composer,
        decoder_training.Features(options.device),
        decoder_training.Drawn(**load_file(drawn)),
        vae_training.heldout_scenes(),
        folder,
        config,
        team,
        options.minutes,
        options.device,
    )
    if done and team.leader:
        vae_training.load(folder).save_pretrained(final / "vae")
    return done


def export_stage(options: argparse.Namespace, _team) -> bool:
    """Write the averaged weights as a diffusers folder."""
    from engine.pocket.recipe import export

    pipe, seen = averaged_pipeline(options)
    folder = options.output or options.workdir / "model"
    export.export(pipe, folder, seen)
    print(f"export: {export.size_mb(folder):.1f} MB, {seen} samples seen, in {folder}")
    return True


def restore_stage(options: argparse.Namespace, _team) -> bool:
    """Make the working folder from an exported model, to train it further."""
    from engine.pocket import MODEL_DIR
    from engine.pocket.recipe import checkpoint, restore, tokenizer

    if checkpoint.exists(options.workdir / "base" / "state"):
        raise UserError(f"{options.workdir} holds a training already", "name another --workdir")
    model = options.model or MODEL_DIR
    tokenizer.load(model / "tokenizer").save_pretrained(options.workdir / "tokenizer")
    trainer = make_trainer(options)
    restore.restore(model, options.workdir, trainer)
    print(f"restored {trainer.seen} samples of training into {options.workdir}")
    return True


def eval_stage(options: argparse.Namespace, _team) -> bool:
    """Measure the exported model."""
    from engine.pocket.recipe import evaluate

    folder = options.output or options.workdir / "model"
    return evaluate.main(["--model", str(folder), "--out", str(options.workdir / "eval")]) == 0


STAGE_FUNCTIONS = {
    "tokenizer": tokenizer_stage,
    "vae": vae_stage,
    "latents": latents_stage,
    "base": base_stage,
    "decoder": decoder_stage,
    "export": export_stage,
    "restore": restore_stage,
    "eval": eval_stage,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the build; exit code 0: finished, 3: the minutes are over and there is more to do."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(given)
    if options.stage == "all":
        for stage in STAGES:
            code = main([*given, "--stage", stage])
            if code:
                return code
        return 0
    options.workdir.mkdir(parents=True, exist_ok=True)
    from engine.pocket.recipe import distributed

    workers = options.workers or (2 if options.device == "cpu" else 1)
    teamwork = options.stage in ("vae", "latents", "base", "decoder")
    if teamwork and workers > 1 and not distributed.is_worker():
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        return distributed.launch(given, workers, options.workdir)
    try:
        return 0 if run_stage(options.stage, options) else 3
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
