"""zuko: MAF with spline or affine maps; couplings by NICE, which transforms half of the elements only."""

from __future__ import annotations

from functools import partial

import torch
import zuko

from benchmarks.peers.shared import BINS, BOUND, HIDDEN, TASKS, TRANSFORMS
from benchmarks.peers.torch_flow import TorchFlow, forget, graphs, precision, reduces, versions_of

__all__ = ["MODES", "SHARED", "TASKS_OF", "build", "forget", "graphs", "precision", "reduces", "versions"]

MODES = ("eager", "compiled")
TASKS_OF = {"eager": tuple(TASKS), "compiled": tuple(TASKS)}
SHARED = True


def versions() -> dict[str, str]:
    """Of what runs here."""
    return versions_of("zuko", "torch")


def build(work: str, features: int, mode: str) -> TorchFlow:
    """``flow()`` is a distribution; it is made anew in each call, as zuko's users do."""
    torch.manual_seed(0)
    spline = {
        "univariate": partial(zuko.transforms.MonotonicRQSTransform, bound=BOUND),
        "shapes": [(BINS,), (BINS,), (BINS - 1,)],
    }
    sizes = {"transforms": TRANSFORMS, "hidden_features": HIDDEN}
    if work == "coupling-spline":
        flow = zuko.flows.NICE(features, **sizes, **spline)
        network = f"plain {list(HIDDEN)}; alternating masks"
    else:
        flow = zuko.flows.MAF(features, **sizes, **({} if work == "maf" else spline))
        network = f"plain {list(HIDDEN)}; alternating orders"
    return TorchFlow(
        flow,
        features,
        network,
        log_prob=lambda x: flow().log_prob(x),
        sample=lambda n: flow().sample((n,)),
        joint=lambda n: flow().rsample_and_log_prob((n,)),
        mode=mode,
    )
