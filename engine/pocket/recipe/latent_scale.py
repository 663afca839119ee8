"""Turns the autoencoder's latents so that distance in them is distance in the picture.

A KL autoencoder leaves each latent channel at whatever scale it met. Here the channels are mixed
and scaled by the square root of the decoder's mean pull-back metric, so that an error of the
diffusion model weighs as much as it shows, and cells are centred. The change is folded into the two
1 x 1 convolutions around the latents: encode-decode stays the same function.
"""

from typing import Any

import torch
from diffusers import AutoencoderKL


@torch.no_grad()
def pullback_metric(vae: Any, images_BCHW: torch.Tensor) -> torch.Tensor:
    """Mean of J^T J over latent cells, J the decoder's derivative, (C, C), trace C.

    By finite differences: one noise field, put on each latent channel in turn.
    """
    latents = vae.encode(images_BCHW).latent_dist.mode()
    noise = torch.randn(latents[:, :1].shape, generator=torch.Generator().manual_seed(0))
    size = 0.1 * latents.std()
    base = vae.decode(latents).sample
    moves = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel : channel + 1] += size * noise
        moves.append((vae.decode(moved).sample - base).flatten())
    rows = torch.stack(moves)
    metric = rows @ rows.T
    return metric * len(metric) / metric.trace()


@torch.no_grad()
def rescale(vae: Any, images_BCHW: torch.Tensor) -> AutoencoderKL:
    """Change the latents of ``vae`` in place as the module says; sets the scaling factor to 1.

    Afterwards latents have mean 0 a channel and standard deviation 1 over all.
    """
    metric = pullback_metric(vae, images_BCHW)
    values, vectors = torch.linalg.eigh(metric)
    turn = vectors @ torch.diag(values.clamp_min(1e-3).sqrt()) @ vectors.T
    posterior = vae.encode(images_BCHW).latent_dist
    centre = posterior.mode().mean((0, 2, 3))
    turned = torch.einsum("dc,bchw->bdhw", turn, posterior.mode() - centre[:, None, None])
    turn = turn / turned.std()
    variance = (turn.square() @ posterior.var.mean((0, 2, 3))).mean()

    count = len(turn)
    into, out = vae.quant_conv, vae.post_quant_conv
    into.weight[:count] = torch.einsum("dc,cikl->dikl", turn, into.weight[:count].clone())
    into.bias[:count] = turn @ (into.bias[:count] - centre)
    # The posterior's width turns with the latents and is no longer one number a channel; its mean
    # stands for it.
    into.weight[count:] = 0
    into.bias[count:] = variance.log()
    out.bias += out.weight[..., 0, 0] @ centre
    out.weight.copy_(torch.einsum("ockl,cd->odkl", out.weight.clone(), torch.linalg.inv(turn)))
    vae.register_to_config(scaling_factor=1.0)
    return vae
