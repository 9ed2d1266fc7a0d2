"""Where fields and patterns of a pairwise model start: what the first events say of every site on its own."""

from __future__ import annotations

import torch

from headwater.distributions.shared_fields import fit_shared_fields
from headwater.events import ContextSpec
from headwater.models.base import Batch
from headwater.networks.pairwise import PairwiseLogits

__all__ = ["start_from_counts"]


@torch.no_grad()
def start_from_counts(network: PairwiseLogits, batch: Batch, context: ContextSpec) -> None:
    """Set fields, patterns and the number of events in effect from a first batch drawn in proportion to its weights.

    Of a label's fields start what its own events say beyond all of them.
    """
    one_hot = network.one_hot
    rows = batch.rows or float(len(batch.x))
    scale = rows / len(batch.x)
    shared = fit_shared_fields(one_hot.counts(batch.x) * scale, one_hot.allowed)
    network.begin(shared.logits, shared.patterns(network.width), rows)
    if network.given is not None and context.classes and batch.context is not None:
        for label, given in enumerate(network.given):
            counts = one_hot.counts(batch.x, batch.context[:, label]) * scale
            given.copy_(fit_shared_fields(counts, one_hot.allowed).logits - shared.logits)
