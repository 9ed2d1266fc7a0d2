"""Fitting a flow to a density that can be evaluated but not sampled."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.importance import ImportanceWeights
from headwater.distributions.transitions import LogDensity
from headwater.models.base import Batch, Losses
from headwater.models.flows.flow import Flow
from headwater.models.flows.model import AbstractFlow
from headwater.progress import Progress
from headwater.rng import Rng
from headwater.settings import OptimizerSettings
from headwater.training.descend import descend

__all__ = ["LogDensity", "ReverseKL", "fit_to_density", "weigh"]


class _LogProb(nn.Module):
    """``log q`` as a module, so that it can be called with other parameters."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch size"] | None) -> Tensor:
        return self.flow.log_prob(x, context)


class ReverseKL:
    r"""The loss ``KL(q || p) - log Z = E_q[log q(x) - log p(x)]`` of an unnormalized density ``p``.

    Samples carry the gradient. With ``path_gradient`` the explicit dependence of ``log q`` on its parameters, whose
    expectation is zero, is left out: the gradient's noise then vanishes as q approaches p. It costs one
    evaluation of ``log q`` more.

    Reverse KL seeks modes: it may leave some out, and nothing here can notice.

    Sticking the Landing (Roeder, Wu & Duvenaud, 2017), https://arxiv.org/abs/1703.09194; Gradients should stay on
    path (Vaitl, Nicoli, Nakajima & Kessel, 2022), https://arxiv.org/abs/2207.08219.

    Args:
        model: The flow ``q``; one whose inverse is one pass (couplings, ``iaf``) is fastest.
        log_density: ``log p`` of events ``(n, *event)``, in nats, differentiable.
        path_gradient: See above.
    """

    def __init__(self, model: AbstractFlow, log_density: LogDensity, *, path_gradient: bool = True) -> None:
        self.model, self.log_density, self.path_gradient = model, log_density, path_gradient
        self._log_prob = _LogProb(model.flow)

    def __call__(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """The mean over one sample per key of ``rng``; of the batch only the context is used."""
        x, log_q = self.model.sample_and_log_prob(rng, context=batch.context)
        if self.path_gradient:
            fixed = {name: value.detach() for name, value in self._log_prob.named_parameters()}
            given = self.model.given(batch.context, x)
            log_q = torch.func.functional_call(self._log_prob, fixed, (x.flatten(1), given))
        loss = (log_q - self.log_density(x)).mean()
        return Losses(loss, {"reverse_kl": loss.detach()})


def fit_to_density(
    model: AbstractFlow,
    log_density: LogDensity,
    *,
    steps: int = 2_000,
    batch_size: int = 256,
    optimizer: OptimizerSettings | None = None,
    path_gradient: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Fit a flow to an unnormalized density by :class:`ReverseKL`; the loss of every step.

    A step whose loss or gradient is not finite is left out.

    Raises:
        DivergenceError: twenty steps in a row were left out.
    """
    loss = ReverseKL(model, log_density, path_gradient=path_gradient)
    like = next(model.parameters())
    batch = Batch(like.new_zeros(batch_size, *model.event.shape))

    def batches(step: int) -> tuple[Batch, Rng]:
        return batch, Rng.of(seed, batch_size, device=like.device).fold("reverse-kl").fold(step)

    return descend(
        model,
        model.players(),
        loss,
        batches,
        steps=steps,
        optimizer=optimizer or OptimizerSettings(lr=2e-3),
        title="Fitting to a density",
        hint="See that the density is finite where the flow starts, or lower the learning rate.",
        progress=progress,
    )


@torch.no_grad()
def weigh(model: AbstractFlow, log_density: LogDensity, n: int, *, seed: int = 0) -> ImportanceWeights:
    """``n`` samples of a flow with their importance weights for a density."""
    like = next(model.parameters())
    x, log_q = model.sample_and_log_prob(Rng.of(seed, n, device=like.device).fold("weigh"))
    return ImportanceWeights(x, log_density(x) - log_q)
