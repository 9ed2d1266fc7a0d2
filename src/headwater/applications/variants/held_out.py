"""How well a member predicts held-out sequences, in nats per residue."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from headwater.data.alignments.info import GAP
from headwater.data.dataset import Dataset
from headwater.models.base import Batch, Density
from headwater.progress import SilentProgress
from headwater.rng import Rng
from headwater.runs.run import Run
from headwater.scores import Kind

__all__ = ["HeldOut", "held_out_nats"]

_DRAWS = 16


class HeldOut(NamedTuple):
    """Mean log-likelihood per residue, its standard error over sequences, and what kind of likelihood it is."""

    nats: float
    stderr: float
    kind: Kind | Literal["pseudo-likelihood"]


def held_out_nats(run: Run, dataset: Dataset, *, split: str = "test", seed: int = 0) -> HeldOut | None:
    r"""The weighted log-likelihood of a split, :math:`r = \sum_i w_i \ell_i / \sum_i w_i n_i`, nats per residue.

    :math:`n_i` counts the residues of sequence i that are no gaps. A model without a density has its own held-out
    term instead (Potts: the log-pseudo-likelihood), which cannot be compared with a likelihood. None where nothing is
    held out or the model says nothing.
    """
    rows = dataset.splits[split]
    if len(rows) == 0:
        return None
    raw, _ = dataset.rows(rows)
    weights = np.ones(len(rows)) if dataset.weights is None else dataset.weights[rows]
    residues = (raw < GAP).sum(dim=1).double().numpy()
    model = run.model
    if isinstance(model, Density):
        draws = _DRAWS if "draws" in type(model).Scoring.model_fields else None
        score = run.score_raw(raw, None, draws=draws, seed=seed, progress=SilentProgress())
        return _mean(score.value.numpy(), residues, weights, score.kind)
    if model.monitor is None:
        return None
    return _mean(_own_term(run, raw, seed), residues, weights, "pseudo-likelihood")


def _mean(
    value: Float64[np.ndarray, " n"],
    residues: Float64[np.ndarray, " n"],
    weights: Float64[np.ndarray, " n"],
    kind: Kind | Literal["pseudo-likelihood"],
) -> HeldOut:
    total = float(weights @ residues)
    nats = float(weights @ value) / total
    stderr = math.sqrt(float(weights**2 @ (value - nats * residues) ** 2)) / total
    return HeldOut(nats, stderr, kind)


@torch.no_grad()
def _own_term(run: Run, raw: torch.Tensor, seed: int) -> np.ndarray:
    """The model's held-out term of each sequence, as a log-likelihood."""
    model = run.model
    assert model.monitor is not None
    values = []
    device = next(iter([*model.parameters(), *model.buffers()])).device
    for start in range(len(raw)):
        rng = Rng.of(seed, 1, start=start, device=device)
        x, _ = run.codec.encode(raw[start : start + 1].to(device), rng.fold("encode"))
        losses = model.loss(Batch(x), model.players()[0].name, rng.fold("score"))
        values.append(-float(losses.terms[model.monitor]))
    return np.array(values)
