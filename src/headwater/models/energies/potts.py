"""Potts model: a field per site and a coupling per pair of sites, learned by pseudo-likelihood."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.models.base import ModelConfig, Options, Paper
from headwater.models.energies.coupled import Coupled, CoupledConfig
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Potts", "PottsConfig", "PottsSampling"]


class PottsConfig(CoupledConfig):
    """Settings of :class:`Potts`."""


class PottsSampling(Options):
    """Options of :meth:`Potts.sample`."""

    sweeps: int = Field(50, ge=1, le=100_000, description="times that every site is drawn anew")
    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")


@final
class Potts(Coupled):
    r"""``p(x) = exp(-E(x)) / Z`` over categorical sites, whose ``Z`` nobody knows.

    .. math:: E(x) = -\sum_i f_i(x_i) - \sum_{i<j} J_{ij}(x_i, x_j), \qquad
              \mathrm{npll} = -\sum_i \log p(x_i \mid x_{\setminus i})

    Trained by the negative pseudo-log-likelihood ``npll`` under normal priors, see
    :class:`headwater.models.energies.coupled.Coupled`. A missing value has no energy. A context adds fields. Samples
    are drawn by Gibbs sweeps over the sites, from a start without couplings: in the limit of many sweeps they follow
    the model.

    Raises:
        UnsupportedEventError: an element that is not categorical, binary or an integer of few values.
    """

    Config: ClassVar[type[ModelConfig]] = PottsConfig
    Sampling: ClassVar[type[Options]] = PottsSampling
    monitor: ClassVar[str | None] = "npll"
    symmetric: ClassVar[bool] = True
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Ekeberg2013",
            "Improved contact prediction in proteins: Using pseudolikelihoods to infer Potts models",
            "Ekeberg, Lövkvist, Lan, Weigt & Aurell",
            2013,
            "https://doi.org/10.1103/PhysRevE.87.012707",
        ),
        Paper(
            "Hopf2017",
            "Mutation effects predicted from sequence co-variation",
            "Hopf, Ingraham, Poelwijk, Schärfe, Springer, Sander & Marks",
            2017,
            "https://doi.org/10.1038/nbt.3769",
        ),
    )
    config: PottsConfig

    def energy(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, " batch"]:
        """``E(x)`` of each event, in nats, up to a constant."""
        h = self.network.features(x).flatten(1)
        alone = (self.one_hot.features(x) * self.network.alone(context)).flatten(1).sum(dim=1)
        return -alone - (h * self.network.couplings(h)).sum(dim=1) / 2

    def log_ratio(
        self,
        x: Float[Tensor, "batch *event"],
        reference: Float[Tensor, "*event"],
        *,
        rng: Rng | None = None,
        draws: int = 1,
    ) -> Score:
        return Score(self.energy(reference[None]) - self.energy(x), "exact")

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = PottsSampling.parse(options, where="potts")
        one_hot, network, width = self.one_hot, self.network, self.network.width
        alone = network.alone(context).expand(n, -1, -1)
        x = one_hot.sample(alone, rng.fold("start"))
        drawn = (x - one_hot.low.to(x.dtype)).long()
        matrix, basis = network.couplings.dense(), network.basis
        inputs = network.features(x).flatten(1) @ matrix
        for sweep in range(chosen.sweeps):
            noise = rng.fold("sweep").fold(sweep).gumbel("class", one_hot.sites, one_hot.classes, dtype=alone.dtype)
            for site in range(one_hot.sites):
                part = slice(site * width, (site + 1) * width)
                logits = (alone[:, site] + inputs[:, part] @ basis.T) / chosen.temperature + noise[:, site]
                new = logits.masked_fill(~one_hot.allowed[site], -torch.inf).argmax(dim=1)
                inputs.addmm_(basis[new] - basis[drawn[:, site]], matrix[part])
                drawn[:, site] = new
        codes = drawn.to(alone.dtype) + one_hot.low.to(alone.dtype)
        return codes.reshape(n, *self.event.shape)
