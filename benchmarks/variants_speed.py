"""What EVE's task costs: a training step at EVE's own sizes, sequence weights, scores of all single substitutions.

    python -m benchmarks.variants_speed [--steps 6] [--only steps,weights,scores] [--compile]

The step is one of the house's (loss, gradients, their norm, the finite check, fused Adam; batches made beforehand) of
``bayesian-vae`` with EVE's own encoder 2000-1000-300, 50 latents, decoder 300-1000-2000, convolution 40, dropout .1
and batch 256, on random sequences as long as the modelled columns of EVE's alignments of PTEN and P53. Beside it
stands what a step of the public EVE code took on two cores of such a machine. Weights are of random sequences: their
time does not depend on what they are. Scores are of an untrained model of the default sizes, as many draws as training
has shown to be enough. The median of the steps is reported; nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from headwater.data.alignments.info import GAP
from headwater.data.alignments.weights import neighbour_counts
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.vaes.bayesian import BayesianVAE
from headwater.models.vaes.bayesian_options import BayesianVAEConfig
from headwater.rng import Rng
from headwater.settings import OptimizerSettings, RunSettings
from headwater.training.distributed import Ranks
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.update import update

EVE: dict[str, Any] = {"encoder": (2000, 1000, 300), "latent": 50, "decoder": (300, 1000, 2000)}
REFERENCE = {"PTEN_HUMAN": (387, 2.45), "P53_HUMAN": (329, 2.15)}
"""Columns, and seconds a step of the public EVE code took on two cores."""

_SITES, _SEQUENCES = 253, 8355
_SCORE_DRAWS = 64


def residues(n: int, sites: int) -> torch.Tensor:
    """Random sequences, a tenth of them gaps."""
    codes = torch.randint(GAP, (n, sites), generator=torch.Generator().manual_seed(0)).float()
    return codes.masked_fill(torch.rand(n, sites, generator=torch.Generator().manual_seed(1)) < 0.1, GAP)


def model_of(sites: int, **settings: Any) -> BayesianVAE:
    """Of sequences of that length."""
    torch.manual_seed(0)
    segment = Segment(support=Support.CATEGORICAL, size=sites, classes=GAP + 1, missing=True)
    return BayesianVAE(BayesianVAEConfig(**settings), EventSpec(shape=(sites,), segments=(segment,)), ContextSpec())


def step_seconds(sites: int, steps: int, *, compiled: bool, batch_size: int = 256) -> dict[str, Any]:
    """The median step, after two that warm up."""
    model = model_of(sites, **EVE).train()
    x = residues(batch_size, sites)
    with torch.no_grad():
        model.initialize(Batch(x, rows=1000.0), Rng.of(0, batch_size))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = PlayerOptimizer(model.players()[0], OptimizerSettings(lr=1e-4), names)
    loss = torch.compile(model.loss, dynamic=False) if compiled else model.loss
    ranks, taken = Ranks(RunSettings()), []
    for step in range(steps + 2):
        began = time.perf_counter()
        rng = Rng.of(step, batch_size)
        update([optimizer], loss, Batch(x), rng, factor=1.0, clip=None, ranks=ranks, precision="reduced")
        taken.append(time.perf_counter() - began)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": round(statistics.median(taken[2:]), 4),
        "fastest": round(min(taken[2:]), 4),
        "compiled": compiled,
    }


def weights_seconds() -> float:
    """All pairs of 8,355 sequences of 253 columns, as BLAT_ECOLX has."""
    codes = residues(_SEQUENCES, _SITES).numpy().astype(np.uint8)
    began = time.perf_counter()
    neighbour_counts(codes, 0.2, "eve")
    return time.perf_counter() - began


def score_seconds() -> float:
    """All 19 x 253 single substitutions, each draw shared with the wild type."""
    model, wild_type = model_of(_SITES).eval(), residues(1, _SITES)[0].clamp(max=GAP - 1)
    other = torch.cartesian_prod(torch.arange(_SITES), torch.arange(1, GAP))
    x = wild_type.repeat(len(other), 1)
    x[torch.arange(len(other)), other[:, 0]] = ((wild_type[other[:, 0]] + other[:, 1]) % GAP).float()
    began = time.perf_counter()
    model.log_ratio(x, wild_type, rng=Rng.of(0, 1), draws=_SCORE_DRAWS)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", default="steps,weights,scores")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--dry", action="store_true", help="do not write the results")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {}
    for protein, (sites, reference) in REFERENCE.items():
        if "steps" in chosen.only:
            found = step_seconds(sites, chosen.steps, compiled=chosen.compile)
            figures[f"step {protein}"] = {
                **found,
                "columns": sites,
                "reference_seconds": reference,
                "times_faster": round(reference / found["seconds"], 2),
            }
            print(protein, figures[f"step {protein}"], flush=True)
    if "weights" in chosen.only:
        figures["weights"] = {"sequences": _SEQUENCES, "columns": _SITES, "seconds": round(weights_seconds(), 2)}
    if "scores" in chosen.only:
        figures["scores"] = {"variants": 19 * _SITES, "draws": _SCORE_DRAWS, "seconds": round(score_seconds(), 1)}
    print({key: value for key, value in figures.items() if "step" not in key})
    if not chosen.dry:
        write("variants-speed", "python -m benchmarks.variants_speed", figures)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
