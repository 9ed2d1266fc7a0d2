"""normflows: its layers go from noise to data, so that autoregressive ones are turned to score fast."""

from __future__ import annotations

from typing import Any

import normflows
import torch
from normflows.flows import Permute, Reverse
from normflows.flows.affine.autoregressive import MaskedAffineAutoregressive
from normflows.flows.neural_spline.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressive
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from normflows.utils.masks import create_alternating_binary_mask
from torch import Tensor, nn

from benchmarks.peers.shared import BINS, BOUND, HIDDEN, TASKS, TRANSFORMS
from benchmarks.peers.torch_flow import TorchFlow, forget, graphs, precision, reduces, versions_of

__all__ = ["MODES", "SHARED", "TASKS_OF", "build", "forget", "graphs", "precision", "reduces", "versions"]

MODES = ("eager", "compiled")
TASKS_OF = {"eager": tuple(TASKS), "compiled": tuple(TASKS)}
SHARED = True


def versions() -> dict[str, str]:
    """Of what runs here."""
    return versions_of("normflows", "torch")


class _Net(nn.Module):
    """normflows' MLP as its couplings call a network: with a context; and with the width they scale by."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.hidden_features = HIDDEN[0]
        self.net = normflows.nets.MLP([inputs, *HIDDEN, outputs])

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        return self.net(x)


def _layer(work: str, features: int, number: int) -> list[nn.Module]:
    spline: dict[str, Any] = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}
    masked: dict[str, Any] = {"hidden_features": HIDDEN[0], "num_blocks": len(HIDDEN) - 1, "use_residual_blocks": False}
    if work == "coupling-spline":
        # The public wrapper forces residual blocks and splines of the untouched half; the layer in it does not.
        mask = create_alternating_binary_mask(features, even=number % 2 == 0)
        return [Reverse(PiecewiseRationalQuadraticCoupling(mask, _Net, **spline))]
    if work == "maf":
        return [Reverse(MaskedAffineAutoregressive(features, **masked)), Permute(features)]
    layer = MaskedPiecewiseRationalQuadraticAutoregressive(features=features, **spline, **masked)
    return [Reverse(layer), Permute(features)]


def build(work: str, features: int, mode: str) -> TorchFlow:
    """A list of layers on a fixed standard normal; ``sample`` always gives log-densities too."""
    torch.manual_seed(0)
    layers = [part for number in range(TRANSFORMS) for part in _layer(work, features, number)]
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(features, trainable=False), layers)
    between = "alternating masks" if work == "coupling-spline" else "random permutations"
    return TorchFlow(
        flow,
        features,
        f"plain {list(HIDDEN)} (the layers inside the public wrappers, which force residual blocks); {between}",
        log_prob=flow.log_prob,
        sample=lambda n: flow.sample(n)[0],
        joint=flow.sample,
        mode=mode,
    )
