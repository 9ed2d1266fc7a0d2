"""The distribution function of a mixture of logistics as a map of the line."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from headwater.bijections.roots import increasing_inverse, tilted
from headwater.bijections.side_by_side import side_by_side
from headwater.bijections.univariate import Univariate

__all__ = ["MixtureCDF"]

_LOG_BOUND = 6.0
_SCALE = 0.4


class MixtureCDF(Univariate):
    r"""``y = e^a logit F(x) + b`` with ``F`` the distribution function of a mixture of ``K`` logistics.

    .. math:: F(x) = \sum_k π_k σ((x - m_k) e^{-s_k}), \qquad
              \log dy/dx = a + \log F'(x) - \log F(x) - \log(1 - F(x))

    ``F`` and ``1 - F`` are summed apart, in logarithms, so that neither tail rounds to zero or one. The whole is
    tilted by a thousandth of the identity, so that nothing is flat. The inverse lies between the ``m_k + e^{s_k} t``
    of the components and ``t = (y - b) e^{-a}``, and is found by Newton's method. The log-scales ``a`` and ``s_k``
    are softly clamped to ±6.

    Without the outer affine map this is the sigmoidal flow of Neural Autoregressive Flows.

    Flow++ (Ho, Chen, Srinivas, Duan & Abbeel, 2019), https://arxiv.org/abs/1902.00275, section 3.2;
    Neural Autoregressive Flows (Huang, Krueger, Lacoste & Courville, 2018), https://arxiv.org/abs/1804.00779.

    Args:
        components: ``K``.
        apart: Whether training starts from components side by side, rather than alike and the identity.

    Parameters per element: ``K`` logits, ``K`` means, ``K`` log-scales, and ``a, b``.
    """

    def __init__(self, components: int = 8, *, apart: bool = True) -> None:
        super().__init__()
        self.components, self.apart, self.size = components, apart, 3 * components + 2

    def start(self) -> Float[Tensor, " size"]:
        k, start = self.components, torch.zeros(self.size)
        if not self.apart:
            return start
        means, scale = side_by_side(k, _SCALE)
        start[k : 2 * k], start[2 * k : 3 * k] = means, scale / (1 - abs(scale) / _LOG_BOUND)
        return start

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        weight, mean, scale, a, b = self._split(x, parameters)
        t, ladj = _logit_cdf(x, weight, mean, scale)
        return t * torch.exp(a) + b, ladj + a

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        weight, mean, scale, a, b = self._split(y, parameters)
        t = (y - b) * torch.exp(-a)
        ends = torch.cat([mean + scale.exp() * t[..., None], t[..., None]], dim=-1).detach()
        x, ladj = increasing_inverse(
            lambda x: _logit_cdf(x, weight, mean, scale), t, ends.amin(dim=-1), ends.amax(dim=-1)
        )
        return x, ladj - a

    def _split(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        k = self.components
        parameters = parameters.to(x.dtype)
        weight = torch.log_softmax(parameters[..., :k], dim=-1)
        a, b = parameters[..., 3 * k :].unbind(dim=-1)
        return weight, parameters[..., k : 2 * k], _soft_clamp(parameters[..., 2 * k : 3 * k]), _soft_clamp(a), b

    def extra_repr(self) -> str:
        return f"components={self.components}"


def _soft_clamp(a: Tensor) -> Tensor:
    return a / (1 + a.abs() / _LOG_BOUND)


def _logit_cdf(x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    u = (x[..., None] - mean) * torch.exp(-scale)
    below, above = logsigmoid(u), logsigmoid(-u)
    log_cdf, log_rest = torch.logsumexp(weight + below, dim=-1), torch.logsumexp(weight + above, dim=-1)
    log_density = torch.logsumexp(weight + below + above - scale, dim=-1)
    return tilted(x, log_cdf - log_rest, log_density - log_cdf - log_rest)
