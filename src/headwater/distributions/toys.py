"""Two-dimensional densities that are known exactly: samplers, log-densities and entropies.

A model that reached the truth has a mean held-out log-likelihood of minus the
entropy; the distance to it is the Kullback-Leibler divergence in nats.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headwater.rng import Rng

__all__ = ["TOYS", "Checkerboard", "EightGaussians", "Moons", "Rings", "Toy"]


class Toy(ABC):
    """A density on the plane.

    Attributes:
        name: Its key in :data:`TOYS`.
        box: ``(left, right, bottom, top)``, beyond which less than 1e-9 of the mass lies.
    """

    name: str
    box: tuple[float, float, float, float]

    @abstractmethod
    def sample(self, n: int, rng: Rng, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n 2"]:
        """``n`` independent points; point i depends on ``rng.keys[i]`` alone."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        """``log p(x)`` in nats."""

    @property
    @abstractmethod
    def entropy(self) -> float:
        """``-E[log p(x)]`` in nats."""


@functools.cache
def _entropy_by_quadrature(toy: Toy, step: float) -> float:
    """``-∫ p log p`` by the trapezoid rule, exact to float64 for a density that is smooth on the scale of a step."""
    left, right, bottom, top = toy.box
    xs = torch.arange(left, right + step, step, dtype=torch.float64)
    ys = torch.arange(bottom, top + step, step, dtype=torch.float64)
    total = 0.0
    for rows in torch.split(torch.cartesian_prod(xs, ys), 1 << 14):
        log_p = toy.log_prob(rows)
        total -= float((log_p.exp() * log_p).sum()) * step**2
    return total


@functools.cache
def _legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return nodes, weights


def _normal_2d(square: Tensor, sigma: float) -> Tensor:
    """``log N(x; m, sigma^2 I)`` from the squared distance ``|x - m|^2``."""
    return -square / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)


class Moons(Toy):
    """Two interleaved half circles of radius one with Gaussian noise of standard deviation 0.1.

    ``p(x) = 1/2 sum_a 1/pi ∫_0^pi N(x; m_a(t), 0.01 I) dt`` with ``m_0 = (cos t, sin t)``
    and ``m_1 = (1 - cos t, 1/2 - sin t)``, by Gauss-Legendre quadrature to float64's precision.
    """

    name = "moons"
    sigma = 0.1
    box = (-1.75, 2.75, -1.25, 1.75)

    def sample(self, n: int, rng: Rng, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n 2"]:
        t = math.pi * rng.uniform("angle", dtype=dtype)
        upper = (rng.uniform("arm", dtype=dtype) < 0.5)[:, None]
        arms = torch.where(upper, *_arms(t))
        return arms + self.sigma * rng.normal("noise", 2, dtype=dtype)

    def log_prob(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        nodes, weights = _legendre(80)
        t = torch.as_tensor((nodes + 1) * math.pi / 2, dtype=x.dtype, device=x.device)
        arms = torch.cat(_arms(t))
        log_w = torch.as_tensor(np.log(weights / 4), dtype=x.dtype, device=x.device).repeat(2)
        square = (x[:, None, :] - arms).square().sum(-1)
        return torch.logsumexp(_normal_2d(square, self.sigma) + log_w, dim=1)

    @property
    def entropy(self) -> float:
        return _entropy_by_quadrature(self, 0.02)


def _arms(t: Tensor) -> tuple[Tensor, Tensor]:
    upper = torch.stack([t.cos(), t.sin()], dim=-1)
    return upper, torch.stack([1 - t.cos(), 0.5 - t.sin()], dim=-1)


class Rings(Toy):
    """Four circles of radius 0.75, 1.5, 2.25 and 3 in equal shares, with Gaussian noise of standard deviation 0.08.

    ``p(x) = mean_k exp(-(|x| - R_k)^2 / 2s^2) I0e(|x| R_k / s^2) / (2 pi s^2)``, where
    ``I0e`` is the exponentially scaled modified Bessel function of order zero.
    """

    name = "rings"
    radii = (0.75, 1.5, 2.25, 3.0)
    sigma = 0.08
    box = (-3.6, 3.6, -3.6, 3.6)

    def sample(self, n: int, rng: Rng, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n 2"]:
        t = 2 * math.pi * rng.uniform("angle", dtype=dtype)
        radii = torch.tensor(self.radii, dtype=dtype, device=t.device)
        radius = radii[(rng.uniform("ring", dtype=dtype) * len(radii)).long()]
        circle = radius[:, None] * torch.stack([t.cos(), t.sin()], dim=-1)
        return circle + self.sigma * rng.normal("noise", 2, dtype=dtype)

    def log_prob(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        radii = torch.tensor(self.radii, dtype=x.dtype, device=x.device)
        r = x.norm(dim=1, keepdim=True)
        bessel = torch.special.i0e(r * radii / self.sigma**2)
        log_p = _normal_2d((r - radii).square(), self.sigma) + bessel.log()
        return torch.logsumexp(log_p, dim=1) - math.log(len(radii))

    @property
    def entropy(self) -> float:
        return _entropy_by_quadrature(self, 0.025)


class EightGaussians(Toy):
    """Eight Gaussians of standard deviation 0.5 on a circle of radius 4, in equal shares."""

    name = "eight-gaussians"
    radius = 4.0
    sigma = 0.5
    box = (-7.5, 7.5, -7.5, 7.5)

    def _centres(self, like: Tensor) -> Tensor:
        t = torch.arange(8, dtype=like.dtype, device=like.device) * (math.pi / 4)
        return self.radius * torch.stack([t.cos(), t.sin()], dim=-1)

    def sample(self, n: int, rng: Rng, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n 2"]:
        noise = self.sigma * rng.normal("noise", 2, dtype=dtype)
        return self._centres(noise)[(rng.uniform("component", dtype=dtype) * 8).long()] + noise

    def log_prob(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        square = (x[:, None, :] - self._centres(x)).square().sum(-1)
        return torch.logsumexp(_normal_2d(square, self.sigma), dim=1) - math.log(8)

    @property
    def entropy(self) -> float:
        return _entropy_by_quadrature(self, 0.1)


class Checkerboard(Toy):
    """Uniform on the eight dark squares, of side two, of a board from -4 to 4; the entropy is ``ln 32``."""

    name = "checkerboard"
    box = (-4.0, 4.0, -4.0, 4.0)

    def sample(self, n: int, rng: Rng, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n 2"]:
        square = (rng.uniform("square", dtype=dtype) * 8).floor()
        row = (square / 2).floor()
        column = 2 * (square - 2 * row) + row % 2
        return 2 * (torch.stack([column, row], dim=1) + rng.uniform("place", 2, dtype=dtype)) - 4

    def log_prob(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        cell = torch.floor((x + 4) / 2)
        dark = (cell.sum(dim=1) % 2 == 0) & ((cell >= 0) & (cell <= 3)).all(dim=1)
        return torch.where(dark, x.new_full((), -math.log(32)), x.new_full((), -math.inf))

    @property
    def entropy(self) -> float:
        return math.log(32)


TOYS: dict[str, Toy] = {toy.name: toy for toy in (Moons(), Rings(), EightGaussians(), Checkerboard())}
"""The densities by name."""
