"""Student's t distribution per dimension: a base with heavy tails, as heavy as the data asks for."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.base import Base
from headwater.rng import Rng

__all__ = ["StudentT", "student_t_log_prob", "student_t_sample"]

_MIDDLE, _REACH = math.log(10.0), math.log(20.0)


def student_t_log_prob(z: Float[Tensor, "*#shape"], nu: Float[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
    """``log Γ((ν+1)/2) - log Γ(ν/2) - log(νπ)/2 - (ν+1)/2 log(1 + z²/ν)``, in nats.

    >>> cauchy = student_t_log_prob(torch.zeros(1), torch.ones(1))
    >>> round(cauchy.exp().item() * math.pi, 5)
    1.0
    """
    constant = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * torch.log(nu * math.pi)
    return constant - (nu + 1) / 2 * torch.log1p(z.square() / nu)


def student_t_sample(
    u: Float[Tensor, "*#shape"], v: Float[Tensor, "*#shape"], nu: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """``sqrt(ν (u^(-2/ν) - 1)) cos(2πv)``: t-distributed for uniform ``u``, ``v``, and smooth in ``ν``.

    Two draws whatever ``ν`` is, where rejection samplers need a varying number; as ``ν`` grows it becomes
    Box and Muller's formula for the normal distribution.

    Polar Generation of Random Variates with the t-Distribution (Bailey, 1994),
    https://doi.org/10.1090/S0025-5718-1994-1219702-8.
    """
    return torch.sqrt(nu * torch.expm1(-2 / nu * torch.log(u))) * torch.cos(2 * math.pi * v)


class StudentT(Base):
    """Independent t-distributed elements; tails fall like ``|z|^-(ν+1)``.

    Sampling at temperature ``T`` multiplies draws by ``T``.

    Tails of Lipschitz Triangular Flows (Jaini, Kobyzev, Yu & Brubaker, 2020), https://arxiv.org/abs/1907.04481:
    a flow of bounded slopes has the tails of its base.

    Args:
        features: Number of elements.
        degrees: ``ν``, the same for all elements; None: one for each element, learned between 0.5 and 200
            and 10 to begin with.

    >>> StudentT(2, degrees=3.0).nu
    tensor([3., 3.])
    """

    def __init__(self, features: int, *, degrees: float | None = None) -> None:
        super().__init__()
        self.features = features
        self.degrees = degrees
        self.raw = nn.Parameter(torch.zeros(features)) if degrees is None else None
        self.register_buffer("fixed", torch.full((features,), degrees or 0.0), persistent=False)
        self.fixed: Tensor

    @property
    def nu(self) -> Float[Tensor, " features"]:
        """``ν``, the degrees of freedom of each element."""
        return self.fixed if self.raw is None else torch.exp(_MIDDLE + _REACH * torch.tanh(self.raw / _REACH))

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        return student_t_log_prob(z, self.nu.to(z.dtype)).sum(dim=1)

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        u, v = (rng.uniform(f"base {name}", self.features, dtype=dtype) for name in ("radius", "angle"))
        return temperature * student_t_sample(u, v, self.nu.to(dtype))

    def extra_repr(self) -> str:
        return f"{self.features}, degrees={'learned' if self.degrees is None else f'{self.degrees:g}'}"
