"""OT-Flow: a continuous flow down a potential, with straight paths and a closed-form trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.models.base import Paper
from headwater.models.flows.continuous import ContinuousConfig, ContinuousFlow
from headwater.models.ode.solve import SolverOptions
from headwater.networks.potential import Potential

__all__ = ["OTFlow", "OTFlowConfig", "OTFlowScoring"]


class OTFlowConfig(ContinuousConfig):
    """Architecture of OT-Flow; the weights are those of the paper's toys: 100 for a nat, 1, 5."""

    layers: int = Field(2, ge=2, le=64, description="hidden layers of the network")
    rank: int = Field(10, ge=1, le=1024, description="greatest rank of the potential's quadratic part")
    hjb: float = Field(0.05, ge=0, description="weight of the Hamilton-Jacobi-Bellman residual, beside nats")


class OTFlowScoring(SolverOptions):
    """Budget of the likelihood."""

    rtol: float = Field(1e-5, ge=1e-12, le=0.1, description="tolerated relative error of the adaptive solver")
    atol: float = Field(1e-5, ge=1e-12, le=0.1, description="tolerated absolute error of the adaptive solver")


@final
class OTFlow(ContinuousFlow):
    """``dx/dτ = -∇Φ(x, τ; c)`` in the paper's time ``τ = 1 - t``, from data to noise.

    The divergence is minus the potential's Laplacian, exactly and in ``O(width^2 D)``, in any number of dimensions.
    Optimal paths are straight and obey ``∂Φ/∂τ = ½|∇Φ|^2``; the cost is the absolute difference of the two sides.
    """

    Config = OTFlowConfig
    Scoring = OTFlowScoring
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-2, "schedule": "cosine", "clip": 5.0},  # 1e-2 and less learned two moons more slowly
        "training": {"batch_size": 512, "ema": 0.999},
    }
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "onken2021otflow",
            "OT-Flow: Fast and Accurate Continuous Normalizing Flows via Optimal Transport",
            "Derek Onken, Samy Wu Fung, Xingjian Li, Lars Ruthotto",
            2021,
            "https://arxiv.org/abs/2006.00104",
        ),
    )

    config: OTFlowConfig

    def build(self, features: int, context: int) -> None:
        config = self.config
        self.potential = Potential(features, context, width=config.width, layers=config.layers, rank=config.rank)

    def velocity(
        self, t: Float[Tensor, " batch"], x: Float[Tensor, "batch features"], c: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch features"]:
        return self.potential.gradient(x, 1 - t, c)

    def rates(
        self,
        t: Float[Tensor, " batch"],
        x: Float[Tensor, "batch features"],
        c: Float[Tensor, "batch size"] | None,
        probes: Float[Tensor, "draws batch features"] | None,
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch columns"], Float[Tensor, "batch costs"]]:
        slope, change, laplacian = self.potential.derivatives(x, 1 - t, c)  # dx/dt = +∇Φ, since t runs against τ
        residual = (change - 0.5 * slope.square().sum(1)).abs()
        return slope, laplacian[:, None], residual[:, None]

    def costs(self) -> Mapping[str, float]:
        return {"hjb": self.config.hjb}

    def draws(self, options: SolverOptions | None) -> int | None:
        return None
