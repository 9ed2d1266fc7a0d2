"""A perceptron that cannot stretch: every weight is kept below a norm, and its derivative is at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LIPSCHITZ_ACTIVATIONS", "Evaluated", "LipSine", "LipSwish", "LipschitzMLP", "spectral_bound"]

_SQUARINGS = 9  # p = 2^9
_RESCALE_EVERY = 3  # a trace of one leaves an eigenvalue of at least 1/n, whose 8th power float32 holds
_HIGHEST = 8.0
_SWISH = 1.1  # the steepest slope of x sigmoid(x) is 1.0998


def spectral_bound(weight: Float[Tensor, "rows columns"]) -> Float[Tensor, ""]:
    r"""An upper bound of the largest singular value, differentiable, from a fixed number of products.

    .. math:: σ(W)^2 = λ(G) \le b^2 = (\operatorname{tr} G^p)^{1/p}, \qquad G = W W^T \text{ or } W^T W, \quad p = 512

    It is too large by a factor of at most ``n^(1 / 2p)`` with ``n`` the shorter side: 1.005 for 128. Unlike power
    iteration it errs upwards only and keeps no state. The gradient is ``db/dW = b W G^(p-1) / tr G^p``.

    Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration (Delattre, Barthélemy, Araujo &
    Allauzen, 2023), https://arxiv.org/abs/2305.16173.

    >>> round(float(spectral_bound(torch.diag(torch.tensor([3.0, 1.0])))), 4)
    3.0
    """
    tiny = torch.finfo(weight.dtype).tiny
    size = weight.detach().abs().amax().clamp(min=tiny)  # so that no square overflows
    w = weight / size
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    with torch.no_grad():
        power, before, log_trace = gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device), 0.0
        for k in range(_SQUARINGS):
            if k % _RESCALE_EVERY == 0:
                trace = power.trace().clamp(min=tiny)
                power, before = power / trace, before / before.trace().clamp(min=tiny)
                log_trace = log_trace + torch.log(trace) / 2**k
            power, before = power @ power, before @ power  # G^(2p) and G^(2p - 1) up to scale
        bound = torch.exp(0.5 * (log_trace + torch.log(power.trace().clamp(min=tiny)) / 2**_SQUARINGS))
    slope = (before * gram).sum()
    return size * bound * (1 + 0.5 * (slope - slope.detach()) / slope.detach().clamp(min=tiny))


class LipSwish(nn.Module):
    """``h σ(βh) / 1.1`` with a learned ``β > 0`` per unit, and its slope: at most one in size, and never stuck at zero.

    Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen, 2019),
    https://arxiv.org/abs/1906.02735, section 3.3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.log_beta = nn.Parameter(torch.linspace(0.0, math.log(_HIGHEST), width))

    def forward(
        self, h: Float[Tensor, "*shape width"]
    ) -> tuple[Float[Tensor, "*shape width"], Float[Tensor, "*shape width"]]:
        beta = torch.exp(self.log_beta)
        gate = torch.sigmoid(beta * h)
        return h * gate / _SWISH, gate * (1 + beta * h * (1 - gate)) / _SWISH


class LipSine(nn.Module):
    """``sin(ωh) / ω`` with a learned ``ω > 0`` per unit, and its slope ``cos(ωh)``.

    Frequencies start between 1 and 8: weights are bounded, so that fine structure must come from here.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.log_omega = nn.Parameter(torch.linspace(0.0, math.log(_HIGHEST), width))

    def forward(
        self, h: Float[Tensor, "*shape width"]
    ) -> tuple[Float[Tensor, "*shape width"], Float[Tensor, "*shape width"]]:
        omega = torch.exp(self.log_omega)
        return torch.sin(omega * h) / omega, torch.cos(omega * h)


LIPSCHITZ_ACTIVATIONS: dict[str, type[nn.Module]] = {"lipswish": LipSwish, "sine": LipSine}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """``g(x)`` and its Jacobian ``J = W_m diag(s_{m-1}) W_{m-1} ... diag(s_1) W_1`` in factors.

    Args:
        value: ``g(x)``.
        weights: ``W_1 ... W_m`` as they are used.
        slopes: ``s_1 ... s_{m-1}``, of the activations at x.
    """

    value: Float[Tensor, "batch features"]
    weights: Sequence[Float[Tensor, "_out _in"]]
    slopes: Sequence[Float[Tensor, "batch width"]]

    def push(self, v: Float[Tensor, "*more batch features"]) -> Float[Tensor, "*more batch features"]:
        """``J v`` per event."""
        for weight, slope in zip(self.weights, self.slopes, strict=False):
            v = (v @ weight.T) * slope
        return v @ self.weights[-1].T

    def pull(self, u: Float[Tensor, "*more batch features"]) -> Float[Tensor, "*more batch features"]:
        """``J' u`` per event."""
        u = u @ self.weights[-1]
        for weight, slope in zip(reversed(self.weights[:-1]), reversed(self.slopes), strict=True):
            u = (u * slope) @ weight
        return u

    def inner(self, first: Float[Tensor, "width directions"]) -> Float[Tensor, "batch directions width"]:
        """``(diag(s_{m-1}) W_{m-1} ... diag(s_1) first)'``: the Jacobian without its last factor, transposed."""
        t = first.T * self.slopes[0][:, None, :]
        for weight, slope in zip(self.weights[1:-1], self.slopes[1:], strict=True):
            t = (t @ weight.T) * slope[:, None, :]
        return t


class LipschitzMLP(nn.Module):
    r"""``g(x) = W_m φ(... φ(W_1 x + b_1) ...) + b_m`` with ``|g(x) - g(y)| \le L |x - y|``, whatever its parameters.

    A weight ``W`` is used as ``W min(1, L^{1/m} / σ(W))`` with an upper bound of ``σ``, and ``φ`` has slopes of at
    most one. The biases come from outside, since they may depend on an event's context without limits.

    Invertible Residual Networks (Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019),
    https://arxiv.org/abs/1811.00995, section 2.1.

    Args:
        features: Length of ``x`` and of ``g(x)``.
        width: Hidden width.
        hidden: Hidden layers ``m - 1``, at least one.
        lipschitz: ``L``.
        activation: A key of :data:`LIPSCHITZ_ACTIVATIONS`.
    """

    def __init__(
        self, features: int, *, width: int = 64, hidden: int = 2, lipschitz: float = 0.97, activation: str = "sine"
    ) -> None:
        super().__init__()
        assert hidden >= 1
        self.sizes = [features, *([width] * hidden), features]
        self.lipschitz = lipschitz
        self.raw = nn.ParameterList(torch.empty(out, size) for size, out in pairwise(self.sizes))
        for weight in self.raw:
            nn.init.orthogonal_(weight)
        self.activations = nn.ModuleList(LIPSCHITZ_ACTIVATIONS[activation](width) for _ in range(hidden))

    def start_biases(self) -> Float[Tensor, " biases"]:
        """Biases to begin with: spread in the hidden layers, zero in the last."""
        return torch.cat([torch.randn(sum(self.sizes[1:-1])), torch.zeros(self.sizes[-1])])

    def weights(self) -> tuple[Float[Tensor, "_out _in"], ...]:
        """``W_1 ... W_m`` as they are used."""
        most = self.lipschitz ** (1 / len(self.raw))
        return tuple(weight * (most / spectral_bound(weight)).clamp(max=1.0) for weight in self.raw)

    def forward(
        self,
        x: Float[Tensor, "batch features"],
        biases: Float[Tensor, "batch biases"],
        weights: Sequence[Float[Tensor, "_out _in"]] | None = None,
    ) -> Evaluated:
        """``g(x)`` with its Jacobian; ``weights`` where they are known already."""
        weights = self.weights() if weights is None else weights
        parts = torch.split(biases, self.sizes[1:], dim=1)
        h, slopes = x, []
        for weight, bias, activation in zip(weights, parts, self.activations, strict=False):
            h, slope = activation(h @ weight.T + bias)
            slopes.append(slope)
        return Evaluated(h @ weights[-1].T + parts[-1], weights, slopes)

    def extra_repr(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, lipschitz={self.lipschitz:g}"
