"""Spheres in cylindrical coordinates of equal area: heights and one angle, with a constant log-determinant."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.charts.chart import Chart, Coordinate
from headwater.bijections.circular import wrap
from headwater.bijections.roots import increasing_inverse

__all__ = ["Sphere", "height_share", "log_sphere_area"]

_LOG_LEAST_SLOPE = math.log(1e-3)


def log_sphere_area(dimension: int) -> float:
    """``log(2 π^((d+1)/2) / Γ((d+1)/2))``: the surface of the unit sphere ``S^d`` in ``R^(d+1)``.

    >>> round(math.exp(log_sphere_area(2)) / math.pi, 6)
    4.0
    """
    half = (dimension + 1) / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)


def height_share(r: Float[Tensor, "*shape"], m: int) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    r"""``I_m(r) / I_m(1)`` with ``I_m(r) = ∫_0^r (1 - t²)^(m/2) dt``, and the logarithm of its slope.

    By ``(m + 1) I_m = r (1 - r²)^(m/2) + m I_(m-2)`` from ``I_0 = r`` or ``I_(-1) = arcsin r``; all terms
    have the sign of ``r``, so nothing cancels.
    """
    square = ((1 - r) * (1 + r)).clamp(min=0)
    start, value, whole = (0, r, 1.0) if m % 2 == 0 else (-1, torch.asin(r), math.pi / 2)
    for k in range(start + 2, m + 1, 2):
        value = (r * square.clamp(min=torch.finfo(r.dtype).tiny) ** (k / 2) + k * value) / (k + 1)
        whole = k * whole / (k + 1)
    return value / whole, 0.5 * m * torch.log(square.clamp(min=torch.finfo(r.dtype).tiny)) - math.log(whole)


class Sphere(Chart):
    r"""Unit vectors of ``R^(d+1)``: ``S^d`` is peeled to ``S^(d-1) × [-1, 1]`` down to the circle.

    With ``r_k = x_k / |x_1 .. x_k|`` for ``k = d+1, ..., 3`` and the angle of ``(x_1, x_2)``, the surface
    measure is ``dθ ∏ (1 - r_k²)^((k-3)/2) dr_k``. The coordinates are ``θ`` and ``u_k = I(r_k)``, the integral of
    that factor scaled to ``[-1, 1]`` (:func:`height_share`), so equal boxes have equal areas and

    .. math:: \log|du/dx| = \log(2π) + (d - 1) \log 2 - \log|S^d|

    everywhere: a flow that is the identity is uniform on the sphere. Coordinates do not exist on the set of
    measure zero where ``x_1 = x_2 = 0``, and a density of them need not be continuous there.

    Precision: equal areas make a small cap at a pole of the last axes a tiny piece of the box; angles nearer to
    such a pole than ``ε^(1/d)`` are not told apart (3e-4 on ``S^2`` in float32, 0.02 on ``S^4``).

    Densities are with respect to the surface measure; a ``d`` of 1 is the circle as unit vectors.

    Normalizing Flows on Tori and Spheres (Rezende, Papamakarios, Racanière et al., 2020),
    https://arxiv.org/abs/2002.02428, section 2.3; equal areas are our choice.

    Args:
        size: ``d + 1``, at least two.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        assert size >= 2, "a unit vector has at least two elements"
        self.size = size
        self.coordinates = (Coordinate.CIRCLE, *(Coordinate.BOX,) * (size - 2))
        self.log_scale = math.log(2 * math.pi) + (size - 2) * math.log(2) - log_sphere_area(size - 1)

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        parts = [wrap(torch.atan2(x[:, 1], x[:, 0]))]
        for k in range(2, self.size):
            length = x[:, : k + 1].square().sum(dim=1).clamp(min=torch.finfo(x.dtype).tiny).sqrt()
            parts.append(height_share((x[:, k] / length).clamp(-1, 1), k - 2)[0].clamp(-1, 1))
        return torch.stack(parts, dim=1), x.new_full((x.shape[0],), self.log_scale)

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        x = torch.stack([torch.cos(u[:, 0]), torch.sin(u[:, 0])], dim=1)
        for k in range(2, self.size):
            r = _height(u[:, k - 1].clamp(-1, 1), k - 2)
            x = torch.cat([x * ((1 - r) * (1 + r)).clamp(min=0).sqrt()[:, None], r[:, None]], dim=1)
        return x / x.norm(dim=1, keepdim=True)

    def extra_repr(self) -> str:
        return f"{self.size}"


def _height(u: Tensor, m: int) -> Tensor:
    """The ``r`` whose share is ``u``."""
    if m == 0:
        return u

    def share(r: Tensor) -> tuple[Tensor, Tensor]:
        value, log_slope = height_share(r.clamp(-1, 1), m)
        return value, log_slope.clamp(min=_LOG_LEAST_SLOPE)  # it vanishes at the poles; a short step is a safe one

    ends = torch.ones_like(u)
    return increasing_inverse(share, u, -ends, ends)[0].clamp(-1, 1)
