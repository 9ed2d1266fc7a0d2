"""Rational-quadratic splines with their own backward pass: what training and sampling run on.

Autograd through the plain formulas keeps a dozen tensors of the size of the parameters. Here nothing but
``x`` and the parameters is kept, and the backward pass finds the bin again. With ``g`` and ``l`` the
gradients by ``y`` and by ``ladj = log dy/dx``, the symbols of
:mod:`headwater.bijections.rational_quadratic`, ``N = ξ (s ξ + d0 η)`` and ``M = d1 ξ² + 2 s ξ η + d0 η²``
(so ``v = N / D`` and ``ladj = log(s² M / D²)``):

    by N   = g h / D                         by D  = -(g h v + 2 l) / D          by M = l / M
    by s   = 2 l / s + ξ² by N + (ξ² + η²) by D + 2 ξ η by M
    by ξ   = (2 s ξ + d0 (η - ξ)) by N + (η - ξ)(d0 + d1 - 2 s) by D + 2 (d1 ξ + s (η - ξ) - d0 η) by M
    by d0  = ξ η (by N + by D) + η² by M     by d1 = ξ η by D + ξ² by M
    by h   = g v + by s / w                  by w  = -(s by s + ξ by ξ) / w

The inverse ``x = f^-1(y)`` with ``log dx/dy = -ladj(x)`` has its gradients by the implicit function theorem: with
``G`` and ``L`` those by ``x`` and ``log dx/dy``, ``by y = (G - L dladj/dx) / f'(x)``, and the parameters get what
``f`` would give them for ``g = -by y`` and ``l = -L``.

The backward passes are differentiable themselves, since they start from the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.located_bin import (
    MAX_SLOPE,
    Axis,
    EndGradients,
    Located,
    gather_bin,
    gather_gradients,
    unroll_bin,
    unroll_gradients,
)

__all__ = ["GATHERED", "UNROLLED", "Bins", "evaluate", "evaluate_gradients", "invert", "invert_gradients"]

_LOG_MAX = math.log(MAX_SLOPE)


class Bins(NamedTuple):
    """One of the two ways to find a bin and to send gradients back to it."""

    find: Callable[[Tensor, Tensor, int, float, Axis], Located]
    spread: Callable[[EndGradients, Tensor, Tensor, int, float], Tensor]


GATHERED = Bins(gather_bin, gather_gradients)
UNROLLED = Bins(unroll_bin, unroll_gradients)


def _slope(raw: Tensor) -> Tensor:
    return torch.exp(raw / (1 + raw.abs() / _LOG_MAX))


def _slope_gradient(raw: Tensor, slope: Tensor) -> Tensor:
    return slope / (1 + raw.abs() / _LOG_MAX).square()


class _Terms:
    """The symbols of the formulas at a place inside a bin."""

    def __init__(self, xi: Tensor, eta: Tensor, at: Located) -> None:
        self.xi, self.eta = xi, eta
        self.width, self.height = at.x1 - at.x0, at.y1 - at.y0
        self.s, self.d0, self.d1 = self.height / self.width, _slope(at.a0), _slope(at.a1)
        self.xi2, self.eta2, self.cross = self.xi.square(), self.eta.square(), self.xi * self.eta
        self.D = self.s * (self.xi2 + self.eta2) + (self.d0 + self.d1) * self.cross
        self.v = self.xi * (self.s * self.xi + self.d0 * self.eta) / self.D
        self.M = self.d1 * self.xi2 + 2 * self.s * self.cross + self.d0 * self.eta2

    def ladj(self) -> Tensor:
        return torch.log((self.s / self.D).square() * self.M)


def _from_value(y: Tensor, at: Located) -> _Terms:
    """The place in the bin where the spline is ``y``; see the plain inverse for why nothing cancels."""
    height, width = at.y1 - at.y0, at.x1 - at.x0
    s, d0, d1 = height / width, _slope(at.a0), _slope(at.a1)
    v, u = (y - at.y0) / height, (at.y1 - y) / height
    q, product = d0 * u - d1 * v, 4 * s.square() * u * v
    larger = torch.where(q >= 0, q, -q) + torch.sqrt(q.square() + product)
    t = torch.where(q >= 0, larger, product / larger)
    total = 2 * s * v + t
    return _Terms(2 * s * v / total, t / total, at)


def _from_place(x: Tensor, at: Located) -> _Terms:
    width = at.x1 - at.x0
    return _Terms((x - at.x0) / width, (at.x1 - x) / width, at)


def _differentiate(g: Tensor, by_ladj: Tensor, terms: _Terms, at: Located) -> tuple[Tensor, EndGradients]:
    """Gradients by ``x`` and by the bin, from those by ``y`` and ``ladj``."""
    s, xi, eta, d0, d1, width = terms.s, terms.xi, terms.eta, terms.d0, terms.d1, terms.width
    diff = eta - xi
    by_v = g * terms.height
    by_N, by_D, by_M = by_v / terms.D, -(by_v * terms.v + 2 * by_ladj) / terms.D, by_ladj / terms.M
    by_s = 2 * by_ladj / s + by_N * terms.xi2 + by_D * (terms.xi2 + terms.eta2) + 2 * by_M * terms.cross
    by_xi = (
        by_N * (2 * s * xi + d0 * diff) + by_D * diff * (d0 + d1 - 2 * s) + 2 * by_M * (d1 * xi + s * diff - d0 * eta)
    )
    by_d0 = (by_N + by_D) * terms.cross + by_M * terms.eta2
    by_d1 = by_D * terms.cross + by_M * terms.xi2
    by_x = by_xi / width
    return by_x, EndGradients(
        x0=-by_x,
        width=-(by_s * s + by_xi * xi) / width,
        y0=g,
        height=g * terms.v + by_s / width,
        a0=by_d0 * _slope_gradient(at.a0, d0),
        a1=by_d1 * _slope_gradient(at.a1, d1),
    )


def evaluate(
    x: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float, how: Bins = GATHERED
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``y`` and ``log dy/dx``; parameters first: ``bins`` log-widths, ``bins`` log-heights, ``bins - 1`` log-slopes."""
    inside, within = x.abs() < bound, x.clamp(-bound, bound)
    at = how.find(within, rows, bins, bound, 0)
    terms = _from_place(within, at)
    ladj = terms.ladj()
    return torch.where(inside, at.y0 + terms.height * terms.v, x), torch.where(inside, ladj, torch.zeros_like(ladj))


def evaluate_gradients(
    x: Float[Tensor, "*shape"],
    rows: Float[Tensor, "rows *shape"],
    by_y: Float[Tensor, "*shape"],
    by_ladj: Float[Tensor, "*shape"],
    bins: int,
    bound: float,
    how: Bins = GATHERED,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "rows *shape"]]:
    """Gradients of :func:`evaluate` by ``x`` and by the rows."""
    inside, within = x.abs() < bound, x.clamp(-bound, bound)
    at = how.find(within, rows, bins, bound, 0)
    nothing = torch.zeros_like(x)
    g, into_ladj = torch.where(inside, by_y, nothing), torch.where(inside, by_ladj, nothing)
    by_x, ends = _differentiate(g, into_ladj, _from_place(within, at), at)
    return torch.where(inside, by_x, by_y), how.spread(ends, rows, at.number, bins, bound)


def invert(
    y: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float, how: Bins = GATHERED
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``x = f^-1(y)`` and ``log dx/dy`` of :func:`evaluate`."""
    inside, within = y.abs() < bound, y.clamp(-bound, bound)
    at = how.find(within, rows, bins, bound, 1)
    terms = _from_value(within, at)
    x, ladj = at.x0 + terms.width * terms.xi, -terms.ladj()
    return torch.where(inside, x, y), torch.where(inside, ladj, torch.zeros_like(ladj))


def invert_gradients(
    y: Float[Tensor, "*shape"],
    rows: Float[Tensor, "rows *shape"],
    by_x: Float[Tensor, "*shape"],
    by_ladj: Float[Tensor, "*shape"],
    bins: int,
    bound: float,
    how: Bins = GATHERED,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "rows *shape"]]:
    """Gradients of :func:`invert` by ``y`` and by the rows."""
    inside, within = y.abs() < bound, y.clamp(-bound, bound)
    at = how.find(within, rows, bins, bound, 1)
    terms = _from_value(within, at)
    nothing = torch.zeros_like(y)
    G, L = torch.where(inside, by_x, nothing), torch.where(inside, by_ladj, nothing)
    bend, _ = _differentiate(nothing, torch.ones_like(y), terms, at)
    by_y = (G - L * bend) * torch.exp(-terms.ladj())
    _, ends = _differentiate(-by_y, -L, terms, at)
    return torch.where(inside, by_y, by_x), how.spread(ends, rows, at.number, bins, bound)
