"""A scalar potential of position, context and time with its gradient and Laplacian in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

__all__ = ["Derivatives", "Potential"]

_CURVATURE = 0.1  # spread of A's entries at the start: some bend, else the gradient of A is zero


class Derivatives(NamedTuple):
    """What a flow along a potential needs: gradient in x, derivative in time, trace of the Hessian in x."""

    gradient: Float[Tensor, "batch features"]
    time: Float[Tensor, " batch"]
    laplacian: Float[Tensor, " batch"]


class Potential(nn.Module):
    r"""``Φ(s) = w^T N(s) + ½ s^T A^T A s + b^T s`` of ``s = (x, τ, c)``, a residual network and a quadratic.

    ``N(s) = u_M`` with ``u_0 = σ(K_0 s + b_0)``, ``u_i = u_{i-1} + h σ(K_i u_{i-1} + b_i)`` and
    ``σ(a) = log(e^a + e^-a)``, the antiderivative of tanh. The paper's additive constant is left out: nothing depends
    on it. Gradient and Laplacian cost ``O(width^2 features)`` an event; no random probes, no automatic differentiation.

    Args:
        features: Length of x.
        context: Length of c.
        width: Width of the network (m in the paper).
        layers: Layers of the network, at least two (M + 1).
        rank: Rows of A.

    Reference: OT-Flow: Fast and Accurate Continuous Normalizing Flows via Optimal Transport (Onken, Wu Fung, Li &
    Ruthotto, 2021), https://arxiv.org/abs/2006.00104, eq. 8 to 14.

    >>> found = Potential(3, width=8).derivatives(torch.zeros(5, 3), torch.zeros(5))
    >>> found.gradient.shape, found.laplacian.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, features: int, context: int = 0, *, width: int = 64, layers: int = 2, rank: int = 10) -> None:
        super().__init__()
        self.features = features
        size = features + 1 + context
        self.entry = nn.Linear(size, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.h = 1 / (layers - 1)
        self.w = nn.Parameter(torch.zeros(width))
        self.A = nn.Parameter(_CURVATURE * torch.randn(min(rank, features), size))
        self.b = nn.Parameter(torch.zeros(features + 1))  # c needs none: nothing is differentiated in it

    def forward(
        self,
        x: Float[Tensor, "batch features"],
        tau: Float[Tensor, " batch"],
        context: Float[Tensor, "batch context"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """The potential itself: what :meth:`derivatives` differentiates."""
        s = self._inputs(x, tau, context)
        u = _sigma(self.entry(s))
        for layer in self.hidden:
            u = u + self.h * _sigma(layer(u))
        return u @ self.w + 0.5 * linear(s, self.A).square().sum(1) + s[:, : self.features + 1] @ self.b

    def gradient(
        self,
        x: Float[Tensor, "batch features"],
        tau: Float[Tensor, " batch"],
        context: Float[Tensor, "batch context"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """``∇_x Φ`` alone, at the price of two passes of the network."""
        s = self._inputs(x, tau, context)
        a = self.entry(s)
        u, slopes = _sigma(a), [torch.tanh(a)]
        for layer in self.hidden:
            a = layer(u)
            u = u + self.h * _sigma(a)
            slopes.append(torch.tanh(a))
        z: Tensor = self.w
        for layer, slope in zip(reversed(self._linears()), reversed(slopes[1:]), strict=True):
            z = z + self.h * (slope * z) @ layer.weight
        return (slopes[0] * z) @ self.entry.weight[:, : self.features] + self._bent(s, self.features)

    def derivatives(
        self,
        x: Float[Tensor, "batch features"],
        tau: Float[Tensor, " batch"],
        context: Float[Tensor, "batch context"] | None = None,
    ) -> Derivatives:
        """``∇_x Φ``, ``∂Φ/∂τ`` and ``ΔΦ = tr ∇_x^2 Φ`` in one pass forwards and one backwards."""
        s = self._inputs(x, tau, context)
        z, laplacian = self._backwards(self._layers(s))
        gradient = z + self._bent(s, self.features + 1)
        laplacian = laplacian + self.A[:, : self.features].square().sum()
        return Derivatives(gradient[:, : self.features], gradient[:, self.features], laplacian)

    def _inputs(self, x: Tensor, tau: Tensor, context: Tensor | None) -> Tensor:
        return torch.cat([x, tau[:, None], *([] if context is None else [context])], dim=1)

    def _linears(self) -> list[nn.Linear]:
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    def _bent(self, s: Tensor, count: int) -> Tensor:
        """The gradient of the quadratic and linear parts in the first elements of s."""
        return linear(linear(s, self.A), self.A[:, :count].T) + self.b[:count]

    def _layers(self, s: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of every layer ``σ'(a)`` and ``|∇_x a|^2``, which the Laplacian weighs with ``σ''(a)``."""
        a = self.entry(s)
        u, slope = _sigma(a), torch.tanh(a)
        columns = self.entry.weight[:, : self.features].T
        found = [(slope, columns.square().sum(0))]
        jacobian = slope * columns[:, None]  # du/dx, (features, batch, width)
        for number, layer in enumerate(self._linears(), 1):
            a, along = layer(u), linear(jacobian, layer.weight)
            slope = torch.tanh(a)
            found.append((slope, along.square().sum(0)))
            if number < len(self.hidden):
                u, jacobian = u + self.h * _sigma(a), jacobian + self.h * slope * along
        return found

    def _backwards(self, layers: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """``∇ w^T N`` in x and τ, and its Laplacian in x."""
        z: Tensor = self.w
        laplacian = torch.zeros_like(layers[0][0][:, 0])
        for layer, (slope, squares) in zip(reversed(self._linears()), reversed(layers[1:]), strict=True):
            laplacian = laplacian + self.h * ((1 - slope.square()) * z * squares).sum(1)
            z = z + self.h * (slope * z) @ layer.weight
        slope, squares = layers[0]
        laplacian = laplacian + ((1 - slope.square()) * z * squares).sum(1)
        return (slope * z) @ self.entry.weight[:, : self.features + 1], laplacian


def _sigma(a: Tensor) -> Tensor:
    """``log(e^a + e^-a)`` without overflow."""
    return a.abs() + softplus(-2 * a.abs())
