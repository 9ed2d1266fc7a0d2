"""Each element made normal: the distribution function of a mixture, then the inverse normal one."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection, DataDependent
from headwater.bijections.normal_tails import logistic_tails, ndtri_exp, normal_tails
from headwater.bijections.parameters import ContextParameters
from headwater.bijections.roots import increasing_inverse

__all__ = ["Gaussianize", "Kernel"]

Kernel = Literal["normal", "logistic"]

_LOG_BOUND = 8.0
_LEAST_SPACING = 1e-2
_LOG_LOGISTIC_STD = math.log(math.pi / math.sqrt(3))


class Gaussianize(Bijection, DataDependent):
    r"""``z_i = Φ^{-1}(F_i(x_i; c))`` with ``F_i`` the distribution function of a mixture of ``K`` kernels.

    .. math:: F(x) = \sum_k π_k F_0\Big(\frac{x - m_k}{e^{s_k}}\Big), \qquad
              \log\frac{dz}{dx} = \log\frac{F'(x)}{F(x)} - \log\frac{φ(z)}{Φ(z)}

    and likewise from above where ``F > 1/2``: tails are summed in logarithms, and no two large numbers are subtracted,
    so that points a thousand scales out have finite ``z`` and the right determinant. Kernels ``F_0`` are normal (tails
    stay normal, and one kernel is an affine map) or logistic. The log-scales are softly clamped to ±8. The inverse lies
    between the quantiles of the kernels and is found by Newton's method.

    :meth:`fit` puts the kernels at quantiles of the data, as wide as their neighbours are apart.

    Gaussianization (Chen & Gopinath, 2000), https://papers.nips.cc/paper/1856-gaussianization; Gaussianization Flows
    (Meng, Song, Song & Ermon, 2020), https://arxiv.org/abs/2003.01941.

    Args:
        features: Number of elements.
        components: ``K``.
        kernel: ``F_0``.
        context: Length of the context vector, whose network shifts all numbers; 0 for none.
    """

    def __init__(
        self, features: int, components: int = 16, *, kernel: Kernel = "normal", context: int = 0, width: int = 64
    ) -> None:
        super().__init__()
        self.features, self.components, self.kernel = features, components, kernel
        at = torch.special.ndtri(_levels(components, torch.zeros(()))).expand(features, -1)
        self.theta = ContextParameters(self._numbers(at), context=context, width=width)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch features"]) -> None:
        # interpolated order statistics: torch.quantile refuses large inputs
        ordered = x.sort(dim=0).values
        place = _levels(self.components, x) * (len(x) - 1)
        low, share = place.floor().long(), (place - place.floor())[:, None]
        at = torch.lerp(ordered[low], ordered[(low + 1).clamp(max=len(x) - 1)], share)
        self.theta.free.copy_(self._numbers(at.T))

    def _numbers(self, at: Float[Tensor, "features components"]) -> Float[Tensor, " numbers"]:
        """Even weights, kernels at these places, and log-scales from the distance to their neighbours."""
        spread = at.std(dim=1, keepdim=True, unbiased=False) if self.components > 1 else torch.ones_like(at)
        spread = spread.clamp(min=1e-3)
        outer = torch.cat([at[:, :1] - spread, at, at[:, -1:] + spread], dim=1)
        scale = torch.maximum(0.5 * (outer[:, 2:] - outer[:, :-2]), _LEAST_SPACING * spread).log()
        if self.kernel == "logistic":
            scale = scale - _LOG_LOGISTIC_STD
        raw = scale / (1 - scale.abs().clamp(max=0.9 * _LOG_BOUND) / _LOG_BOUND)  # undoes the soft clamp
        return torch.stack([torch.zeros_like(at), at, raw], dim=1).reshape(-1)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        z, ladj = self._normal(x, *self._split(x, context))
        return z, ladj.sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        weight, mean, scale = self._split(z, context)
        ends = (mean + scale.exp() * self._quantile(z)[..., None]).detach()
        x, ladj = increasing_inverse(
            lambda x: self._normal(x, weight, mean, scale), z, ends.amin(dim=-1), ends.amax(dim=-1)
        )
        return x, ladj.sum(dim=1)

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        numbers = self.theta(len(x), context).to(x.dtype).view(len(x), self.features, 3, self.components)
        raw = numbers[:, :, 2]
        return torch.log_softmax(numbers[:, :, 0], dim=-1), numbers[:, :, 1], raw / (1 + raw.abs() / _LOG_BOUND)

    def _quantile(self, z: Tensor) -> Tensor:
        """``F_0^{-1}(Φ(z))``."""
        if self.kernel == "normal":
            return z
        tails = normal_tails(z)
        return tails.below - tails.above

    def _normal(self, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        u = (x[..., None] - mean) * torch.exp(-scale)
        tails = normal_tails(u) if self.kernel == "normal" else logistic_tails(u)
        below, above = (torch.logsumexp(weight + part, dim=-1) for part in (tails.below, tails.above))
        left = below < above
        side = left[..., None]
        tail = torch.where(left, below, above)
        # of F' / F: a mean of the kernels' hazards, weighted by their shares of the tail
        shares = weight + torch.where(side, tails.below, tails.above) - tail[..., None]
        hazards = torch.where(side, tails.hazard_below, tails.hazard_above) - scale
        y = ndtri_exp(tail)
        log_slope = torch.logsumexp(shares + hazards, dim=-1) - normal_tails(y).hazard_below
        return torch.where(left, y, -y), log_slope

    def extra_repr(self) -> str:
        return f"{self.features}, components={self.components}, kernel={self.kernel}"


def _levels(components: int, like: Tensor) -> Tensor:
    return (torch.arange(components, dtype=like.dtype, device=like.device) + 0.5) / components
