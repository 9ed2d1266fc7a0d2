"""Settings of flow matching: of the network, of sampling, of the likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.models.base import ModelConfig
from headwater.models.ode.solve import LikelihoodOptions, SolverOptions

__all__ = ["FlowMatchingConfig", "Sampling", "Scoring"]


class FlowMatchingConfig(ModelConfig):
    """Sizes of the network; rows and small pictures use the first group, larger pictures the second."""

    network: Literal["auto", "mlp", "unet"] = Field(
        "auto", description="pictures: auto is an mlp for at most 256 numbers, a unet beyond"
    )
    width: int | None = Field(
        None, ge=8, le=8192, description="mlp: hidden width; None: 128 for at most 8 elements, 256 beyond"
    )
    blocks: int = Field(3, ge=1, le=64, description="mlp: residual blocks")
    features: int = Field(3, ge=0, le=16, description="mlp: Fourier frequencies per element")
    patch: int | None = Field(
        None, ge=1, le=16, description="unet: side of the squares seen as one position; None: 2 from 24 pixels on"
    )
    channels: int | None = Field(
        None, ge=8, le=1024, multiple_of=8, description="unet: channels at first; None: 32, 48 with patches"
    )
    levels: int = Field(3, ge=1, le=8, description="unet: resolutions, each half the one before")
    layers: int = Field(1, ge=1, le=16, description="unet: residual blocks per resolution")
    attention: int = Field(64, ge=0, le=4096, description="unet: attention where at most so many positions")
    embedding: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="length of the embedding of time and context; None: 64 for at most 8 elements, 128",
    )
    time: Literal["uniform", "late", "logit-normal"] | None = Field(
        None,
        description="density of the training times: late favours the end of the path, where detail forms; uniform"
        " gives the outline more; None: late for rows, uniform for pictures",
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


class Scoring(LikelihoodOptions):
    """Budget of the likelihood."""

    solver: Literal["euler", "midpoint", "heun", "rk4", "adaptive"] = Field(
        "rk4", description="on a grid: euler, midpoint, heun, rk4; adaptive: Dormand-Prince, steps per event"
    )
    steps: int = Field(24, ge=2, le=10_000, description="steps of a solver on a grid")
