"""FFJORD: a free-form continuous flow trained by maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.models.base import Paper
from headwater.models.flows.continuous import ContinuousConfig, ContinuousFlow
from headwater.models.ode.solve import LikelihoodOptions, SolverOptions
from headwater.networks.tangents import TangentMLP
from headwater.networks.time import fourier

__all__ = ["FFJORD", "FFJORDConfig", "FFJORDScoring"]

_EXACT_UP_TO = 8  # dimensions: each costs as much as a probe, and takes the probe's noise from the gradient
_REACH = 0.5  # of a step, times the Jacobian: the method is then right to about a hundredth of a nat
_CLOCK = 4  # frequencies of time


class FFJORDConfig(ContinuousConfig):
    """Architecture of FFJORD."""

    features: int = Field(0, ge=0, le=16, description="Fourier frequencies per element")
    jacobian: float = Field(0.001, ge=0, description="weight of the squared norm of the field's Jacobian, beside nats")
    stiffness: float = Field(1.0, ge=0, description="weight of what exceeds the reach of the training steps")


class FFJORDScoring(LikelihoodOptions):
    """Budget of the likelihood."""

    rtol: float = Field(1e-5, ge=1e-12, le=0.1, description="tolerated relative error of the adaptive solver")
    atol: float = Field(1e-5, ge=1e-12, le=0.1, description="tolerated absolute error of the adaptive solver")


@final
class FFJORD(ContinuousFlow):
    """The field is any network of x, t and c; its divergence is exact up to 8 dimensions, else by a random probe.

    The costs are the squared Frobenius norm of ``dv/dx``, which with the kinetic energy makes paths straight and steps
    few (RNODE), and stiffness. The probe e stays the same along a path: ``e^T (dv/dx) e`` is unbiased for the
    divergence and ``|(dv/dx) e|^2`` for the squared norm.

    Stiffness, ``∫ max(0, 4 |dv/dx|^2 / n - n D) dt``, is zero while the singular values of ``h dv/dx`` are at most a
    half, root mean square, at steps of length ``h = 1/n``. Beyond that a step can claim more nats than the equation
    gives; a field left free finds this out, and its training loss falls without bound.
    """

    Config = FFJORDConfig
    Scoring = FFJORDScoring
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "grathwohl2019ffjord",
            "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models",
            "Will Grathwohl, Ricky T. Q. Chen, Jesse Bettencourt, Ilya Sutskever, David Duvenaud",
            2019,
            "https://arxiv.org/abs/1810.01367",
        ),
        Paper(
            "chen2018neural",
            "Neural Ordinary Differential Equations",
            "Ricky T. Q. Chen, Yulia Rubanova, Jesse Bettencourt, David Duvenaud",
            2018,
            "https://arxiv.org/abs/1806.07366",
        ),
        Paper(
            "finlay2020train",
            "How to Train Your Neural ODE: the World of Jacobian and Kinetic Regularization",
            "Chris Finlay, Joern-Henrik Jacobsen, Levon Nurbekyan, Adam M. Oberman",
            2020,
            "https://arxiv.org/abs/2002.02798",
        ),
    )

    config: FFJORDConfig
    clock: Tensor

    def build(self, features: int, context: int) -> None:
        config = self.config
        self.register_buffer("clock", torch.pi / 2 * 2.0 ** torch.arange(_CLOCK), persistent=False)
        condition = 1 + 2 * _CLOCK + context
        self.field = TangentMLP(features, condition, width=config.width, layers=config.layers, waves=config.features)

    def velocity(
        self, t: Float[Tensor, " batch"], x: Float[Tensor, "batch features"], c: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch features"]:
        v: Tensor = self.field(x, self._condition(t, c))
        return v

    def rates(
        self,
        t: Float[Tensor, " batch"],
        x: Float[Tensor, "batch features"],
        c: Float[Tensor, "batch size"] | None,
        probes: Float[Tensor, "draws batch features"] | None,
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch columns"], Float[Tensor, "batch costs"]]:
        basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None].expand(-1, *x.shape)
        directions = basis if probes is None else probes
        v, along = self.field.derive(x, self._condition(t, c), directions)
        products, squares = (along * directions).sum(2).T, along.square().sum(2)
        n, norm = self.config.steps, squares.sum(0) if probes is None else squares.mean(0)
        stiffness = (norm / (n * _REACH**2) - n * x.shape[1]).clamp(min=0)
        div = products.sum(1, keepdim=True) if probes is None else products
        return v, div, torch.stack([norm, stiffness], dim=1)

    def costs(self) -> Mapping[str, float]:
        return {"jacobian": self.config.jacobian, "stiffness": self.config.stiffness}

    def draws(self, options: SolverOptions | None) -> int | None:
        if isinstance(options, FFJORDScoring):
            return None if options.exact(self.event) else options.draws
        return None if self.event.size <= _EXACT_UP_TO else 1

    def _condition(self, t: Tensor, c: Tensor | None) -> Tensor:
        return torch.cat([t[:, None], fourier(t, self.clock), *([] if c is None else [c])], dim=1)
