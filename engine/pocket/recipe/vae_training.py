"""Trains the autoencoder: 128 px pictures to latents of 8 x 16 x 16.

Shapes: B batch, C channels, H and W picture sides, h and w latent sides.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from engine.families.devices import mixed_precision
from engine.pocket.recipe import checkpoint, objects, optim
from engine.pocket.recipe.composer import FIRST, SIDE, Composer, Mixture
from engine.pocket.recipe.distributed import Team


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """Architecture and training of the autoencoder."""

    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Width at each resolution; narrow at full size, so that a CPU decodes quickly."""

    latent_channels: int = 8
    groups: int = 8
    steps: int = 2400
    """What two shared CPU cores had time for; 6000 and more on a GPU, in larger batches."""

    crop_steps: int = 1500
    """The first steps see 64 px crops, twice as many as pictures later."""

    batch: int = 4
    """Pictures a step in each process."""

    rate: float = 1e-3
    warmup: int = 100
    decay_share: float = 0.4
    """Share of the steps, at the end, over which the learning rate falls."""

    horizon: float = 0.998
    kl_weight: float = 1e-3
    half_share: float = 0.25
    """Share of steps that also decode half-size latents to half-size pictures: latents that scale
    like pictures are easier for the diffusion model (Kouzelis et al. 2025, arXiv 2502.09509)."""

    seed: int = 11


MIXTURE = Mixture(counts=(0.4, 0.4, 0.2), focus=0.15, plain=0.25, styled=0.05, flip=0.5)
"""Scenes for the autoencoder: every object equally often, mirrored as often as not."""


def build(config: VaeConfig) -> AutoencoderKL:
    """An untrained autoencoder (weights from torch's global generator).

    It starts as a nearly linear, well-scaled path: residual branches at zero, orthogonal taps in
    the convolutions between them. From the library's default weights, which shrink the signal at
    each of some ten convolutions in a row, colours take thousands of steps to come through.
    """
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(config.channels),
        up_block_types=("UpDecoderBlock2D",) * len(config.channels),
        block_out_channels=config.channels,
        layers_per_block=1,
        latent_channels=config.latent_channels,
        norm_num_groups=config.groups,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )
    for name, module in vae.named_modules():
        if not isinstance(module, torch.nn.Conv2d) or name.endswith("conv1"):
            continue
        outputs, inputs = module.weight.shape[:2]
        taps = torch.nn.init.orthogonal_(torch.empty(outputs, inputs))
        taps = taps * max(1.0, outputs / inputs) ** 0.5
        with torch.no_grad():
            assert module.bias is not None
            module.bias.zero_()
            if name.endswith("conv2"):
                module.weight.zero_()
            elif "downsamplers" in name:
                module.weight.copy_(taps[..., None, None].expand_as(module.weight) / 9)
            else:
                middle = module.kernel_size[0] // 2
                module.weight.mul_(0.1)[..., middle, middle] = taps
    return vae


class Losses(NamedTuple):
    """Terms of the autoencoder's loss, one value per sample, shape (B,)."""

    pixels: torch.Tensor
    """Mean absolute error plus mean squared error."""

    low: torch.Tensor
    """Mean absolute error of 4 x 4 means: colours of areas."""

    chroma: torch.Tensor
    """Mean absolute error of colour differences, to which the pixel term is nearly blind."""

    edges: torch.Tensor
    """Mean absolute error of differences between neighbouring pixels."""

    def total(self) -> torch.Tensor:
        """Weighted sum, shape (B,)."""
        return self.pixels + self.low + 0.5 * self.chroma + 0.5 * self.edges


def reconstruction(made_BCHW: torch.Tensor, true_BCHW: torch.Tensor) -> Losses:
    """Compare pictures in -1..1."""
    error = made_BCHW - true_BCHW
    chroma = error - error.mean(1, keepdim=True)
    across = (error[..., 1:] - error[..., :-1]).abs().mean((1, 2, 3))
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean((1, 2, 3))
    return Losses(
        pixels=error.abs().mean((1, 2, 3)) + 2 * error.square().mean((1, 2, 3)),
        low=F.avg_pool2d(error, 4).abs().mean((1, 2, 3)),
        chroma=F.avg_pool2d(chroma, 2).abs().mean((1, 2, 3)),
        edges=across + down,
    )


def kl_divergence(mean_BChw: torch.Tensor, logvar_BChw: torch.Tensor) -> torch.Tensor:
    """KL divergence to the unit normal in nats, mean over latent elements, shape (B,)."""
    return 0.5 * (mean_BChw.square() + logvar_BChw.exp() - 1 - logvar_BChw).mean((1, 2, 3))


def to_tensor(images: Iterable[np.ndarray]) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in -1..1."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).float() / 127.5 - 1


def batch(composer: Composer, rng: np.random.Generator, count: int) -> torch.Tensor:
    """Scenes for the autoencoder, (count, 3, SIDE, SIDE), at any phase of its grid."""
    images = []
    for _ in range(count):
        image = composer.draw(rng, MIXTURE).image
        image = np.roll(image, rng.integers(0, 8, 2), (0, 1))
        # Colours beyond the training objects' own: unseen objects bring unseen combinations.
        if rng.random() < 0.25:
            image = image[..., rng.permutation(3)]
        images.append(image)
    return to_tensor(images)


def heldout_scenes(count: int = 64) -> torch.Tensor:
    """Composites of held-out objects with a fixed seed: float32 (count, 3, SIDE, SIDE)."""
    assets = objects.fetch(objects.data_dir())
    maker = Composer(objects.load_sprites(assets, objects.catalogue().heldout), 777, 4)
    rng = np.random.default_rng(778)
    # The measure must not move when the training's mixture does.
    return to_tensor([maker.draw(rng, FIRST).image for _ in range(count)])


@torch.no_grad()
def psnr(vae: AutoencoderKL, images_BCHW: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of encode and decode (posterior mean), over all pixels."""
    error = 0.0
    for part in images_BCHW.to(vae.device).split(16):
        made = vae.decode(vae.encode(part).latent_dist.mode()).sample.clamp(-1, 1)
        error += ((made - part) / 2).square().mean((1, 2, 3)).sum().item()
    return -10 * math.log10(error / len(images_BCHW))


def train(
    composer: Composer,
    heldout_BCHW: torch.Tensor,
    folder: Path,
    config: VaeConfig,
    team: Team,
    minutes: float,
    device: str = "cpu",
) -> bool:
    """Train for some minutes, from the state in ``folder`` if there is one.

    Args:
        heldout_BCHW: composites of held-out objects that PSNR is reported on.

    Returns:
        Whether the training is finished.
    """
    torch.manual_seed(config.seed)
    vae = build(config).to(device)
    names = [name for name, _ in vae.named_parameters()]
    weights = list(vae.parameters())
    optimiser = torch.optim.AdamW(weights, config.rate, (0.9, 0.99), weight_decay=1e-4, fused=True)
    average = optim.Average(weights, config.horizon)
    step = 0
    state = folder / "state"
    if checkpoint.exists(state):
        tensors, facts = checkpoint.load(state)
        optim.unpack(tensors, names, weights, optimiser.state, average)
        step = facts["step"]
    decay_steps = int(config.steps * config.decay_share)
    clock, shown = optim.Deadline(minutes), None
    saved = clock.seconds()

    def save() -> None:
        if not team.leader:
            return
        checkpoint.save(state, optim.pack(names, weights, optimiser.state, average), {"step": step})
        average.swap()
        vae.save_pretrained(folder / "vae")
        value = psnr(vae, heldout_BCHW)
        average.swap()
        print(f"vae {step}: held-out PSNR {value:.2f} dB", flush=True)

    while step < config.steps:
        if team.agree(clock.passed()):
            save()
            return False
        for group in optimiser.param_groups:
            group["lr"] = optim.schedule(
                step,
                rate=config.rate,
                warmup=config.warmup,
                decay_from=config.steps - decay_steps,
                decay_steps=decay_steps,
            )
        rng = np.random.default_rng([config.seed, step, team.rank])
        noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        if step < config.crop_steps:
            y, x = rng.integers(0, SIDE // 2 + 1, 2)
            true = batch(composer, rng, 2 * config.batch)
            true = true[..., y : y + SIDE // 2, x : x + SIDE // 2].contiguous().to(device)
        else:
            true = batch(composer, rng, config.batch).to(device)
        half = np.random.default_rng([config.seed, step]).random() < config.half_share
        with mixed_precision(device):
            posterior = vae.encode(true).latent_dist
            latents = posterior.sample(noise)
            if rng.random() < 0.5:
                # Mirrored latents decode to the mirrored picture: cached latents can be flipped.
                latents, target = latents.flip(3), true.flip(3)
            else:
                target = true
            made = vae.decode(latents).sample
            small = vae.decode(F.avg_pool2d(latents, 2)).sample if half else None
        terms = reconstruction(made.float(), target)
        loss = terms.total()
        if small is not None:
            loss = loss + 0.5 * reconstruction(small.float(), F.avg_pool2d(target, 2)).total()
        divergence = kl_divergence(posterior.mean.float(), posterior.logvar.float())
        optimiser.zero_grad()
        (loss + config.kl_weight * divergence).mean().backward()
        team.average(weights)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        average.update(step)
        step += 1
        now = torch.stack([*(term.mean() for term in terms), divergence.mean()]).detach()
        shown = now if shown is None else shown.lerp(now, 0.05)
        if team.leader and step % 50 == 0:
            words = " ".join(f"{value:.4f}" for value in shown.tolist())
            print(
                f"vae {step} {clock.seconds():.0f}s pixels low chroma edges kl {words}", flush=True
            )
        if team.agree(clock.seconds() - saved) > 150:
            saved = clock.seconds()
            save()
    save()
    return True


def load(folder: Path) -> AutoencoderKL:
    """The trained autoencoder (averaged weights) in evaluation mode."""
    return AutoencoderKL.from_pretrained(folder / "vae").eval().requires_grad_(False)
