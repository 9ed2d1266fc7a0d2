"""Flows that are a stack of like layers: normalize, mix the elements, move them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.autoregressive import Autoregressive
from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose, Inverse
from headwater.bijections.coupling import Coupling
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.lu import LULinear
from headwater.bijections.permutation import Permutation
from headwater.bijections.qr import QRLinear
from headwater.bijections.triangular import Triangular
from headwater.bijections.univariate import Univariate
from headwater.errors import ConfigError
from headwater.models.flows.model import FlowConfig, FlowModel

__all__ = [
    "AUTOREGRESSIVE_UP_TO",
    "LARGE_STEPS",
    "LU_UP_TO",
    "Kind",
    "Linear",
    "StackConfig",
    "StackedFlow",
    "UnivariateConfig",
    "UnivariateFlow",
]

Kind = Literal["auto", "coupling", "autoregressive", "inverse-autoregressive"]
Linear = Literal["auto", "lu", "qr", "triangular", "permutation", "none"]

AUTOREGRESSIVE_UP_TO = 32
LU_UP_TO = 128
_LINEAR: Mapping[str, Callable[[int], Bijection]] = {"lu": LULinear, "qr": QRLinear, "triangular": Triangular}


def _defaults(lr: float) -> Mapping[str, Mapping[str, Any]]:
    return {
        "optimizer": {"lr": lr, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }


LARGE_STEPS = _defaults(1e-2)
"""Defaults of layers whose numbers are parameters themselves, not the outputs of a network."""


class StackConfig(FlowConfig):
    """What every stack is asked."""

    transforms: int = Field(5, ge=1, le=64, description="number of layers")
    linear: Linear = Field(
        "auto", description="what mixes the dimensions between layers; auto: LU up to 128 dimensions, else permutations"
    )
    order_seed: int = Field(0, ge=0, lt=2**31, description="seed of the permutations")


class StackedFlow(FlowModel):
    """``x -> [ActNorm -> permutation, linear map -> layer] x transforms -> ActNorm -> z``; leaves say which layer."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = _defaults(2e-3)

    config: StackConfig

    @abstractmethod
    def layer(self, features: int, context: int, number: int) -> Bijection:
        """The layer of this number."""

    def bijection(self, features: int, context: int) -> Bijection:
        layers: list[Bijection] = []
        for number in range(self.config.transforms):
            layers += [ActNorm(features), *self._mixing(features, number), self.layer(features, context, number)]
        return Compose(*layers, ActNorm(features))

    def _mixing(self, features: int, number: int) -> tuple[Bijection, ...]:
        linear = self.config.linear
        if linear == "auto":
            linear = "lu" if features <= LU_UP_TO else "permutation"
        if features == 1 or linear == "none":
            return ()
        permutation = Permutation.random(features, self.config.order_seed + number)
        if linear == "permutation":
            return (permutation,)
        return permutation, _LINEAR[linear](features)


class UnivariateConfig(StackConfig):
    """What every stack of couplings or autoregressive layers is asked."""

    kind: Kind = Field(
        "auto",
        description="what decides how an element moves; auto: autoregressive up to 32 dimensions, coupling beyond;"
        " inverse-autoregressive: the noise before it instead of the data, fast to sample and slow to score",
    )
    width: int = Field(128, ge=4, le=4096, description="hidden width of the networks")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks of a network, or plain layers after its first")
    residual: bool = Field(True, description="residual blocks of two layers each, or plain layers")
    activation: Literal["relu", "silu", "gelu", "elu"] = Field("relu", description="of the networks")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units dropped in training")


class UnivariateFlow(StackedFlow):
    """A stack whose layers move each element by an increasing map; leaves say which.

    A network reads the map's parameters from other elements. One-dimensional events have no
    other elements: their maps depend on the context alone.
    """

    config: UnivariateConfig

    @abstractmethod
    def univariate(self, features: int) -> Univariate:
        """The map of each element, for events of so many."""

    def layer(self, features: int, context: int, number: int) -> Bijection:
        config, map_ = self.config, self.univariate(features)
        sizes: dict[str, Any] = {
            "context": context,
            "width": config.width,
            "blocks": config.blocks,
            "activation": config.activation,
        }
        kind = config.kind
        if kind == "auto":
            kind = "autoregressive" if features <= AUTOREGRESSIVE_UP_TO else "coupling"
        if features == 1:
            return Elementwise(map_, 1, **sizes)
        if config.dropout and kind == "inverse-autoregressive":
            raise ConfigError(
                "model.dropout has no effect on layers that are inverse autoregressive, and is refused.",
                hint="Leave model.dropout at 0, or take model.kind=autoregressive or coupling.",
            )
        sizes |= {"residual": config.residual, "dropout": config.dropout}
        if kind == "coupling":
            return Coupling(map_, features, range(number % 2, features, 2), **sizes)
        layer = Autoregressive(map_, features, **sizes)
        return Inverse(layer) if kind == "inverse-autoregressive" else layer
