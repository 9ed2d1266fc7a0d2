"""The posterior of a simulator's parameters, for any observation, in the parameters' own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from headwater.applications.inference.embedding import Observation
from headwater.applications.inference.support import Support
from headwater.errors import UsageError
from headwater.models.base import Batch, Losses
from headwater.models.flows.model import FlowModel
from headwater.rng import Rng

__all__ = ["Posterior", "PosteriorDistribution"]


class Posterior(nn.Module):
    r"""``q(θ | x)``: a flow over parameters whose context is an embedding of the observation.

    Trained on :math:`-\log q(θ | x)` over pairs of the joint distribution, whose minimum is the true posterior for
    every ``x`` at once: amortized neural posterior estimation.

    References: Fast ε-free Inference of Simulation Models with Bayesian Conditional Density Estimation (Papamakarios &
    Murray, 2016), https://arxiv.org/abs/1605.06376; Automatic Posterior Transformation for Likelihood-Free Inference
    (Greenberg, Nonnenmacher & Macke, 2019), https://arxiv.org/abs/1905.07488; BayesFlow (Radev, Mertens, Voss,
    Ardizzone & Koethe, 2020), https://arxiv.org/abs/2003.06281.

    Args:
        flow: Of standardized unbounded parameters, with a context of the embedding's size.
        observation: The embedding.
        support: The parameters' bounds.
        names: Of the parameters.
    """

    def __init__(self, flow: FlowModel, observation: Observation, support: Support, names: Sequence[str]) -> None:
        super().__init__()
        self.flow, self.observation, self.support = flow, observation, support
        self.names = tuple(names)
        self.history: list[tuple[int, float]] = []

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """The mean of ``-log q(u | x)``, in nats per row of standardized unbounded parameters."""
        assert batch.context is not None
        nll = -self.flow.log_prob(batch.x, context=self.observation(batch.context)).value.mean()
        return Losses(nll, {"nll": nll.detach()})

    def distribution(self, observation: Tensor) -> PosteriorDistribution:
        """``q(θ | x)`` of one observation, or of a batch of them, as a ``torch.distributions.Distribution``.

        Args:
            observation: ``(*batch, *shape)``.

        Raises:
            UsageError: its last sizes are not those of the observations trained on.
        """
        return PosteriorDistribution(self, self._flat(observation))

    def log_prob(self, parameters: Float[Tensor, "*batch parameters"], observation: Tensor) -> Float[Tensor, "*batch"]:
        """``log q(θ | x)`` in nats, in the parameters' units; minus infinity outside their bounds."""
        return self.distribution(observation).log_prob(parameters)

    @torch.no_grad()
    def sample(self, observation: Tensor, n: int, *, seed: int = 0) -> Float[Tensor, "*batch n parameters"]:
        """``n`` draws for each observation; draw i of observation j depends on ``(seed, i, j)`` and it alone."""
        flat = self._flat(observation)
        context = self.observation(flat.reshape(-1, flat.shape[-1])).repeat_interleave(n, dim=0)
        rng = Rng.of(seed, len(context) // n).repeat(n)
        u = self.flow.sample(len(context), context=context, rng=rng)
        theta: Tensor = self.support.from_real(u)[0]
        return theta.reshape(*flat.shape[:-1], n, -1)

    def _flat(self, observation: Tensor) -> Tensor:
        shape = self.observation.shape
        own = observation.shape[observation.ndim - len(shape) :]
        if tuple(own) != shape:
            raise UsageError(
                f"Expected observations of shape (..., {', '.join(map(str, shape))}), got {tuple(observation.shape)}."
            )
        batch = observation.shape[: observation.ndim - len(shape)]
        like = next(self.flow.parameters())
        return observation.to(like.dtype).reshape(*batch, math.prod(shape))


class PosteriorDistribution(Distribution):
    """``q(θ | x)`` of given observations; samples are seeded from torch's global generator.

    Args:
        posterior: Of all observations.
        flat: Flattened observations, ``(*batch, elements)``.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, posterior: Posterior, flat: Tensor) -> None:
        self._support = posterior.support
        context = posterior.observation(flat.reshape(-1, flat.shape[-1])).reshape(*flat.shape[:-1], -1)
        self._inner = posterior.flow.distribution(context)
        super().__init__(self._inner.batch_shape, self._inner.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Reals; values outside the parameters' bounds have density zero."""
        return constraints.independent(constraints.real, 1)  # type: ignore[no-untyped-call]

    def log_prob(self, value: Tensor) -> Tensor:
        """``log q(value | x)`` in nats."""
        inside = self._support.inside(value)
        middle, _ = self._support.from_real(torch.zeros_like(value))
        u = self._support.to_real(torch.where(inside[..., None], value, middle))
        log_q = self._inner.log_prob(u) - self._support.from_real(u)[1]
        return torch.where(inside, log_q, -math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples that carry gradients."""
        return self._support.from_real(self._inner.rsample(sample_shape))[0]
