"""nflows: plain layers are there for masked networks; couplings take its plain MLP."""

from __future__ import annotations

from typing import Any

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets import MLP
from nflows.transforms.autoregressive import (
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
)
from nflows.transforms.base import CompositeTransform, Transform
from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform
from nflows.transforms.permutations import ReversePermutation
from nflows.utils.torchutils import create_alternating_binary_mask
from torch import Tensor, nn

from benchmarks.peers.shared import BINS, BOUND, HIDDEN, TASKS, TRANSFORMS
from benchmarks.peers.torch_flow import TorchFlow, forget, graphs, precision, reduces, versions_of

__all__ = ["MODES", "SHARED", "TASKS_OF", "build", "forget", "graphs", "precision", "reduces", "versions"]

MODES = ("eager", "compiled")
TASKS_OF = {"eager": tuple(TASKS), "compiled": tuple(TASKS)}
SHARED = True


def versions() -> dict[str, str]:
    """Of what runs here."""
    return versions_of("nflows", "torch")


class _Net(nn.Module):
    """nflows' MLP as its couplings call a network: with a context; and with the width they scale by."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.hidden_features = HIDDEN[0]
        self.net = MLP([inputs], [outputs], list(HIDDEN))

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        return self.net(x)


def _layer(work: str, features: int, number: int) -> list[Transform]:
    spline: dict[str, Any] = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}
    masked: dict[str, Any] = {"hidden_features": HIDDEN[0], "num_blocks": len(HIDDEN) - 1, "use_residual_blocks": False}
    if work == "coupling-spline":
        mask = create_alternating_binary_mask(features, even=number % 2 == 0)
        return [PiecewiseRationalQuadraticCouplingTransform(mask, _Net, **spline)]
    if work == "maf":
        return [ReversePermutation(features), MaskedAffineAutoregressiveTransform(features, **masked)]
    layer = MaskedPiecewiseRationalQuadraticAutoregressiveTransform(features=features, **spline, **masked)
    return [ReversePermutation(features), layer]


def build(work: str, features: int, mode: str) -> TorchFlow:
    """A composite of layers under a standard normal."""
    torch.manual_seed(0)
    layers = [part for number in range(TRANSFORMS) for part in _layer(work, features, number)]
    flow = Flow(CompositeTransform(layers), StandardNormal([features]))
    between = "alternating masks" if work == "coupling-spline" else "reversed orders"
    return TorchFlow(
        flow,
        features,
        f"plain {list(HIDDEN)}; {between}",
        log_prob=flow.log_prob,
        sample=flow.sample,
        joint=flow.sample_and_log_prob,
        mode=mode,
    )
