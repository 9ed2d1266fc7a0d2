"""Laws of samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headwater.events import Segment, Support
from headwater.rng import Rng
from headwater.testing.cases import Case
from headwater.testing.laws.scoring import ROUND_OFF

__all__ = ["a_sample_does_not_depend_on_its_batch", "samples_are_events"]


def samples_are_events(case: Case) -> None:
    """Samples have the event's shape, are finite and lie in their supports."""
    model, n = case.build(), 9
    with torch.no_grad():
        x = model.sample(n, context=case.contexts(n), rng=Rng.of(5, n))
    assert x.shape == (n, *case.event.shape), f"shape {tuple(x.shape)}, expected {(n, *case.event.shape)}"
    assert torch.isfinite(x).all(), "samples are not finite"
    for place, segment in case.event.slices():
        values = x.reshape(n, -1)[:, place]
        _check_continuous(values, segment)
        if segment.support.discrete:
            low = segment.low or 0.0
            high = low + (segment.cardinality or 0) - 1
            assert (values == values.round()).all(), f"{segment.name or place}: samples are not whole numbers"
            assert (values >= low).all(), f"{segment.name or place}: below {low}"
            assert (values <= high).all(), f"{segment.name or place}: above {high}"


def _check_continuous(values: Tensor, segment: Segment) -> None:
    name = segment.name or segment.support.value
    if segment.support is Support.POSITIVE:
        assert (values > 0).all(), f"{name}: samples are not positive"
    if segment.support in (Support.INTERVAL, Support.CIRCLE):
        low, high = segment.low or 0.0, 2 * math.pi if segment.high is None else segment.high
        assert ((values >= low) & (values <= high)).all(), f"{name}: samples beyond {low:g} .. {high:g}"
    if segment.support is Support.SPHERE:
        assert ((values.norm(dim=1) - 1).abs() < ROUND_OFF).all(), f"{name}: samples are not unit vectors"
    if segment.support is Support.SIMPLEX:
        assert (values >= 0).all(), f"{name}: samples have negative parts"
        assert ((values.sum(dim=1) - 1).abs() < ROUND_OFF).all(), f"{name}: parts do not sum to one"


def a_sample_does_not_depend_on_its_batch(case: Case) -> None:
    """Row i is the same at any batch size, and equal keys give equal samples."""
    model, n = case.build(), 7
    rng, context = Rng.of(5, n), case.contexts(n)
    part = slice(2, 4)
    with torch.no_grad():
        whole = model.sample(n, context=context, rng=rng)
        again = model.sample(n, context=context, rng=rng)
        alone = model.sample(2, context=None if context is None else context[part], rng=rng.rows(part))
    assert torch.equal(whole, again), "the same keys gave other samples"
    assert torch.allclose(whole[part], alone, atol=1e-5, rtol=1e-5), "a row changed with its batch"
    assert not torch.equal(whole[0], whole[3]) or case.event.is_discrete, "different keys gave the same sample"
