"""The straight path from noise to data, as pure functions in the papers' symbols.

``x0`` is standard normal noise at ``t = 0``, ``x1`` a datum at ``t = 1``. Times are one
per event and are broadcast over the event's dimensions here, never by the caller.

References: Flow Matching for Generative Modeling (Lipman, Chen, Ben-Hamu, Nickel & Le, 2023),
https://arxiv.org/abs/2210.02747; Flow Straight and Fast (Liu, Gong & Liu, 2023), https://arxiv.org/abs/2209.03003;
Building Normalizing Flows with Stochastic Interpolants (Albergo & Vanden-Eijnden, 2023),
https://arxiv.org/abs/2209.15571.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers import expand
from headwater.rng import Rng

__all__ = [
    "TIMES",
    "denoised_from_velocity",
    "interpolate",
    "late_time",
    "logit_normal_time",
    "noise_from_velocity",
    "target",
    "uniform_time",
    "velocity_from_denoised",
    "velocity_from_noise",
]


def interpolate(
    x0: Float[Tensor, "batch *event"], x1: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *event"]:
    """``x_t = (1 - t) x0 + t x1``.

    >>> import torch
    >>> interpolate(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.25]))
    tensor([[0.2500, 0.2500]])
    """
    s = expand(t, x1)
    return (1 - s) * x0 + s * x1


def target(x0: Float[Tensor, "batch *event"], x1: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
    """``u_t = dx_t/dt = x1 - x0``, whose mean given ``x_t`` is the velocity to learn."""
    return x1 - x0


def denoised_from_velocity(
    v: Float[Tensor, "batch *event"], x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *event"]:
    """``E[x1 | x_t] = x_t + (1 - t) v``: the datum that is expected at the end of the path."""
    return x + (1 - expand(t, x)) * v


def noise_from_velocity(
    v: Float[Tensor, "batch *event"], x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *event"]:
    """``E[x0 | x_t] = x_t - t v``: the noise that is expected at its beginning."""
    return x - expand(t, x) * v


def velocity_from_denoised(
    denoised: Float[Tensor, "batch *event"], x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *event"]:
    """``v = (E[x1 | x_t] - x_t) / (1 - t)``, for ``t < 1``."""
    return (denoised - x) / (1 - expand(t, x))


def velocity_from_noise(
    noise: Float[Tensor, "batch *event"], x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
) -> Float[Tensor, "batch *event"]:
    """``v = (x_t - E[x0 | x_t]) / t``, for ``t > 0``."""
    return (x - noise) / expand(t, x)


def uniform_time(rng: Rng, dtype: torch.dtype) -> Float[Tensor, " batch"]:
    """``t`` uniform on (0, 1), as in the papers."""
    return rng.uniform("time", dtype=dtype)


def late_time(rng: Rng, dtype: torch.dtype) -> Float[Tensor, " batch"]:
    """``t = 1 - u^2`` with u uniform: density ``1 / (2 sqrt(1 - t))``.

    Structure of width w forms where ``1 - t`` is about w. The likelihood's own weight of the squared error of the
    velocity, ``t / (1 - t)`` (equation 15 of Variational Diffusion Models, Kingma, Salimans, Poole & Ho, 2021,
    https://arxiv.org/abs/2107.00630, with ``SNR = t^2 / (1 - t)^2``), grows there too fast to be sampled from; this
    goes half of the way.
    """
    return 1 - rng.uniform("time", dtype=dtype).square()


def logit_normal_time(rng: Rng, dtype: torch.dtype) -> Float[Tensor, " batch"]:
    """``t`` with a standard normal logit: it favours the middle of the path, as large picture models do.

    Reference: Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Esser et al., 2024),
    https://arxiv.org/abs/2403.03206, section 3.1.
    """
    return torch.sigmoid(rng.normal("time", dtype=dtype))


TIMES: Mapping[str, Callable[[Rng, torch.dtype], Tensor]] = MappingProxyType(
    {"uniform": uniform_time, "late": late_time, "logit-normal": logit_normal_time}
)
"""Densities of the training times, by name; each event's time depends on its own key alone."""
