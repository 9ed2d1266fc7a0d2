r"""Estimates of ``\log\det(I + J)`` for a Jacobian with ``\|J\| \le L < 1`` from products with vectors.

.. math:: \log\det(I + J) = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} \operatorname{tr} J^k, \qquad
          \operatorname{tr} J^k = E_v[v^T J^k v] \text{ for } E[v v^T] = I

The k-th term is at most ``D L^k / k`` in size. Where the number of terms must be fixed beforehand (static shapes), all
of them are computed anyway: leaving some out at random would add noise and leave the bias as it is, so
:func:`truncated` keeps them. Where it may vary, :func:`roulette` is unbiased.

Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen, 2019),
https://arxiv.org/abs/1906.02735, sections 3.1 and 3.2; the trace: A stochastic estimator of the trace of the influence
matrix (Hutchinson, 1989), https://doi.org/10.1080/03610918908812806.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.networks.lipschitz import Evaluated
from headwater.rng import Rng

__all__ = ["bias_bound", "roulette", "truncated"]

_EXACT_TERMS = 2


def bias_bound(features: int, lipschitz: float, terms: int) -> float:
    """``D L^(n+1) / ((n+1)(1 - L))``: how far the sum of the first n terms can be from all of them, in nats.

    >>> round(bias_bound(10, 0.5, 9), 4)
    0.002
    """
    return features * lipschitz ** (terms + 1) / ((terms + 1) * (1 - lipschitz))


def signs(rng: Rng, draws: int, like: Float[Tensor, "batch features"]) -> Float[Tensor, "draws batch features"]:
    """Probes ``v``: random signs, the same for all precisions."""
    half = rng.uniform("probes", draws, like.shape[1])
    return torch.where(half < 0.5, -1.0, 1.0).to(like.dtype).movedim(1, 0)


def truncated(g: Evaluated, rng: Rng, terms: int) -> Float[Tensor, " batch"]:
    r"""The first ``n`` terms for one probe; its gradient is that of as many terms of a Neumann series.

    .. math:: \nabla \log\det(I + J) = E_v\Big[\sum_{k \ge 0} v^T (-J)^k \, (\nabla J) \, v\Big]

    The powers carry no gradients, so that memory does not grow with ``n``. The bias of the value is at most
    :func:`bias_bound`.
    """
    v = signs(rng, 1, g.value)[0]
    with torch.no_grad():
        u, series, value = v, v, torch.zeros_like(g.value[:, 0])
        for k in range(1, terms + 1):
            u = -g.pull(u)
            value = value - (u * v).sum(dim=1) / k
            series = series + u if k < terms else series
    change = (series * g.push(v)).sum(dim=1)
    return value + change - change.detach()


@torch.no_grad()
def roulette(g: Evaluated, rng: Rng, draws: int, lipschitz: float) -> Float[Tensor, "draws batch"]:
    r"""Unbiased estimates: two terms always, and each one more with probability ``L``, then weighted by its inverse.

    .. math:: \sum_{k=1}^{2 + N} \frac{(-1)^{k+1}}{k} \frac{v^T J^k v}{P(2 + N \ge k)}, \qquad P(N \ge j) = L^j

    No weighted term exceeds ``|v|^2 / k``, so that the variance is finite. ``N`` is drawn per event; the loop ends with
    the longest. (A uniform number has 53 bits at most, which ends it after ``53 ln 2 / -ln L`` terms, the rest being
    below round-off.)
    """
    v = signs(rng, draws, g.value)
    u01 = rng.uniform("terms", draws, dtype=torch.float64).T
    more = torch.floor(torch.log(u01) / math.log(lipschitz))
    u, value = v, v.new_zeros(v.shape[:2])
    longest = _EXACT_TERMS + int(more.max()) if more.numel() else 0
    for k in range(1, longest + 1):
        u = -g.pull(u)
        j = max(0, k - _EXACT_TERMS)
        weight = (more >= j).to(u.dtype) * lipschitz**-j
        value = value - weight * (u * v).sum(dim=-1) / k
    return value
