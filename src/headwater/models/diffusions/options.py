"""Settings of flow matching: of the network, of sampling, of the likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.models.base import ModelConfig
from headwater.models.diffusions.ode import SolverOptions

__all__ = ["FlowMatchingConfig", "Sampling", "Scoring"]


class FlowMatchingConfig(ModelConfig):
    """Sizes of the network; rows use the first group, pictures the second."""

    width: int = Field(256, ge=8, le=8192, description="rows: hidden width")
    blocks: int = Field(4, ge=1, le=64, description="rows: residual blocks")
    features: int = Field(3, ge=0, le=16, description="rows: Fourier frequencies per element")
    channels: int = Field(32, ge=8, le=1024, multiple_of=8, description="pictures: channels at full resolution")
    levels: int = Field(3, ge=1, le=8, description="pictures: resolutions, each half the one before")
    layers: int = Field(1, ge=1, le=16, description="pictures: residual blocks per resolution")
    attention: int = Field(64, ge=0, le=4096, description="pictures: attention where at most so many positions")
    embedding: int = Field(128, ge=8, le=4096, description="length of the embedding of time and context")
    time: Literal["uniform", "late", "logit-normal"] = Field(
        "late", description="density of the training times: late favours the end of the path, where detail forms"
    )


class Sampling(SolverOptions):
    """Options of sampling: the solver, and how strongly the context is enforced."""

    solver: Literal["euler", "midpoint", "heun", "rk4", "adaptive"] = Field(
        "heun", description="on a grid: euler, midpoint, heun, rk4; adaptive: Dormand-Prince, steps per event"
    )
    steps: int = Field(24, ge=1, le=10_000, description="steps of a solver on a grid")
    guidance: float = Field(
        1.0, ge=0, le=100, description="1: as trained; above: more typical of the context; 0: context ignored"
    )


class Scoring(SolverOptions):
    """Budget of the likelihood."""

    steps: int = Field(64, ge=2, le=10_000, description="steps of a solver on a grid")
    draws: int = Field(8, ge=2, le=4096, description="random probes of the trace, where it is not computed exactly")
