"""Fitting a flow with Markov layers to a density: the Kullback-Leibler divergence of whole ways."""

from __future__ import annotations

from headwater.distributions.stochastic_flow import StochasticFlow
from headwater.models.base import Batch, Losses, Player
from headwater.progress import Progress
from headwater.rng import Rng
from headwater.settings import OptimizerSettings
from headwater.training.descend import descend

__all__ = ["PathKL", "fit_stochastic"]


class PathKL:
    """The loss ``E[-log w]``, an upper bound on ``-log Z``: the divergence of ways there from ways back.

    Reference: Stochastic Normalizing Flows (Wu, Koehler & Noe, 2020), https://arxiv.org/abs/2002.06707, section 3.

    Args:
        flow: Whose bijections are trained.
    """

    def __init__(self, flow: StochasticFlow) -> None:
        self.flow = flow

    def __call__(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """The mean over one way per key of ``rng``."""
        loss = -self.flow(rng, dtype=batch.x.dtype)[1].mean()
        return Losses(loss, {"path_kl": loss.detach()})


def fit_stochastic(
    flow: StochasticFlow,
    *,
    steps: int = 1_000,
    batch_size: int = 256,
    optimizer: OptimizerSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Fit the bijections of a stochastic flow to its target by :class:`PathKL`; the loss of every step.

    Raises:
        DivergenceError: more than twenty steps in a row gave what is not finite.
    """
    like = next(flow.parameters())
    batch = Batch(like.new_zeros(batch_size, 1))

    def batches(step: int) -> tuple[Batch, Rng]:
        return batch, Rng.of(seed, batch_size, device=like.device).fold("path-kl").fold(step)

    return descend(
        flow,
        [Player("model", tuple(flow.parameters()))],
        PathKL(flow),
        batches,
        steps=steps,
        optimizer=optimizer or OptimizerSettings(lr=2e-3),
        title="Fitting ways to a density",
        hint="See that the density is finite where the base is, or lower the learning rate or the steps of the moves.",
        progress=progress,
    )
