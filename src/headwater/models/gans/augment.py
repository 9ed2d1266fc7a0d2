"""Differentiable augmentation of pictures, against a discriminator that learns few pictures by heart.

Both reals and fakes pass it, with probability ``p`` per picture, so that the generator
is judged only by what survives it and does not learn it.

Differentiable Augmentation for Data-Efficient GAN Training (Zhao et al., 2020),
https://arxiv.org/abs/2006.10738; its probability is adapted as in Training Generative
Adversarial Networks with Limited Data (Karras et al., 2020), https://arxiv.org/abs/2006.06676.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.rng import Rng

__all__ = ["adapted_probability", "augment"]


def augment(
    x: Float[Tensor, "batch channels height width"], p: Float[Tensor, ""], rng: Rng
) -> Float[Tensor, "batch channels height width"]:
    """Brightness, contrast, translation by up to an eighth, and a cut-out quarter, each with probability ``p``.

    Pictures are expected in [-1, 1]; what leaves the frame is filled with its edge.
    """
    x = _blend(x, x + 0.5 * _signed(rng, "brightness", x), p, rng.fold("brightness?"))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = _blend(x, mean + (x - mean) * (1 + 0.5 * _signed(rng, "contrast", x)), p, rng.fold("contrast?"))
    x = _blend(x, _translate(x, rng), p, rng.fold("translate?"))
    return _blend(x, _cut_out(x, rng), p, rng.fold("cut?"))


def _signed(rng: Rng, name: str, x: Tensor) -> Float[Tensor, "batch 1 1 1"]:
    return rng.uniform(name, 1, 1, 1, dtype=x.dtype) * 2 - 1


def _blend(plain: Tensor, changed: Tensor, p: Tensor, rng: Rng) -> Tensor:
    chosen = rng.uniform("chosen", 1, 1, 1, dtype=plain.dtype) < p
    return torch.where(chosen, changed, plain)


def _translate(x: Tensor, rng: Rng) -> Tensor:
    height, width = x.shape[-2:]
    reach = (max(height // 8, 1), max(width // 8, 1))
    rows = _shifted(rng, "dy", height, reach[0], x)
    columns = _shifted(rng, "dx", width, reach[1], x)
    x = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, width))
    return x.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], height, -1))


def _shifted(rng: Rng, name: str, size: int, reach: int, x: Tensor) -> Tensor:
    offset = (rng.uniform(name, 1) * (2 * reach + 1)).floor().long() - reach
    return (torch.arange(size, device=x.device) + offset).clamp(0, size - 1)


def _cut_out(x: Tensor, rng: Rng) -> Tensor:
    height, width = x.shape[-2:]
    inside = []
    for name, size in (("cy", height), ("cx", width)):
        centre = rng.uniform(name, 1, dtype=x.dtype) * size
        inside.append((torch.arange(size, device=x.device) + 0.5 - centre).abs() < size / 4)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(hole, torch.zeros_like(x), x)


def adapted_probability(
    p: Float[Tensor, ""], overfit: Float[Tensor, ""], *, target: float, rate: float, most: float
) -> Float[Tensor, ""]:
    """Raise ``p`` by ``rate`` while the measure of overfitting is above its target, else lower it.

    ``overfit`` is the mean sign of ``D(x) - D(G(z))``: 0 for a discriminator that
    cannot tell, 1 for one that is never wrong on the training pictures.
    """
    return (p + rate * torch.sign(overfit - target)).clamp(0.0, most)
