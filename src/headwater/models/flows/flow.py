"""A density as the image of a simple one under a bijection."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.estimated import estimates, surrogate
from headwater.distributions.base import Base, Estimated
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Flow"]


class Flow(nn.Module):
    """``log p(x | c) = log p_base(f(x; c)) + log|det df/dx|`` with a density of vectors as the base.

    Normalizing Flows for Probabilistic Modeling and Inference (Papamakarios, Nalisnick,
    Rezende, Mohamed & Lakshminarayanan, 2021), https://arxiv.org/abs/1912.02762.

    Args:
        bijection: ``f``, from data to noise.
        base: Density of the noise.
    """

    def __init__(self, bijection: Bijection, base: Base) -> None:
        super().__init__()
        self.bijection = bijection
        self.base = base

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        """``log p(x | context)`` in nats; given ``rng``, in the form to train by.

        Layers that prefer to be trained by an estimate use one, and the base its own form, see :class:`Base`.
        """
        z, ladj = self.bijection(x, context) if rng is None else surrogate(self.bijection, x, context, rng)
        return self.base.log_prob(z, context, rng) + ladj

    def score(self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None) -> Score:
        """``log p(x | context)`` with its kind: an estimate where the base's constant is one."""
        z, ladj = self.bijection(x, context)
        value = self.base.log_prob(z, context) + ladj
        if not isinstance(self.base, Estimated):
            return Score(value, "exact")
        return Score(value, "estimate", self.base.standard_error(z), {"constant_draws": self.base.draws})

    def estimate(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None, rng: Rng, draws: int
    ) -> Score:
        """The mean of unbiased estimates of ``log p(x | context)``, where log-determinants are costly."""
        z, ladj = estimates(self.bijection, x, context, rng, draws)
        value = self.base.log_prob(z, context) + ladj.mean(dim=0)
        variance = ladj.var(dim=0) / draws
        if isinstance(self.base, Estimated):
            variance = variance + self.base.standard_error(z).square()
        return Score(value, "estimate", variance.sqrt(), {"log-determinant": "roulette", "draws": draws})

    def sample_and_log_prob(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """An event per row of ``rng`` and its log-density, in one pass; differentiable in the parameters.

        The log-density is the one at temperature one.
        """
        z = self.base.sample(rng, context, temperature=temperature, dtype=dtype)
        x, ladj = self.bijection.inverse(z, context)
        return x, self.base.log_prob(z, context) - ladj
