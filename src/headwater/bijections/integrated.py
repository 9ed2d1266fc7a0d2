"""An increasing map as the integral of a positive network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.quadrature import IntegralFromZero
from headwater.bijections.univariate import Searched

__all__ = ["Integrated"]

_LEAST_SLOPE = 1e-2


class Integrated(Searched):
    r"""``y = c + ∫_0^x g(u; θ) du`` with ``g = ε + (1 - ε)(1 + \mathrm{ELU}(N(u, θ)))`` and a network ``N``.

    Beyond ``bound`` the slope stays what it is there. ``log dy/dx = log g(x; θ)``. The network is shared by all
    elements, which differ by their ``θ``; it starts at ``g = 1``. The integral is Gauss and Legendre's with ``nodes``
    points; its gradient by ``x`` is ``g`` itself.
    The inverse is found by Newton's method.

    Unconstrained Monotonic Neural Networks (Wehenkel & Louppe, 2019), https://arxiv.org/abs/1908.05164.

    Args:
        embedding: Length of ``θ`` without ``c``.
        width: Hidden width of ``N``, which has two hidden layers.
        nodes: Points of the integral.
        bound: Where the linear tails begin.

    Parameters per element: ``θ``, of length ``embedding``, and ``c``.
    """

    def __init__(self, embedding: int = 12, width: int = 32, nodes: int = 24, bound: float = 8.0) -> None:
        super().__init__()
        self.size, self.bound = embedding + 1, bound
        self.by_point, self.by_embedding = nn.Linear(1, width), nn.Linear(embedding, width, bias=False)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.exit = nn.Linear(width, 1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)
        self.integral = IntegralFromZero(nodes)

    def value(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        embedded = torch.as_tensor(self.by_embedding(parameters[..., :-1]))
        inside = x.clamp(-self.bound, self.bound)
        slope, end = self._slope(inside[..., None], embedded)[..., 0], inside.detach()
        y = self.integral(lambda u: self._slope(u, embedded), end)
        # the tails; inside the box the product is zero, with the gradient of the integral by its end
        return y + slope * (x - end) + parameters[..., -1], torch.log(slope)

    def _slope(self, u: Float[Tensor, "*shape points"], embedded: Float[Tensor, "*shape width"]) -> Tensor:
        h = self.rest(self.by_point(u[..., None]) + embedded[..., None, :])
        return _LEAST_SLOPE + (1 - _LEAST_SLOPE) * (1 + nn.functional.elu(self.exit(h)[..., 0]))
