"""Laws of densities."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from headwater.models.base import Density
from headwater.models.flows.joint import Joint
from headwater.rng import Rng
from headwater.testing.cases import Case
from headwater.testing.cells import CELLS
from headwater.testing.laws.scoring import ROUND_OFF, log_prob

__all__ = [
    "a_joint_sample_knows_its_density",
    "a_score_does_not_depend_on_its_batch",
    "density_integrates_to_one",
    "samples_follow_the_density",
]


def a_score_does_not_depend_on_its_batch(case: Case) -> None:
    """One value per event, the same in any order and any batch."""
    if not issubclass(case.cls, Density):
        return
    model, n = case.build(), 6
    batch, rng = case.batch(n), Rng.of(5, n)
    score = log_prob(model, batch.x, batch.context, rng)
    assert score.value.shape == (n,), f"shape {tuple(score.value.shape)}, expected {(n,)}"
    assert score.value.dtype == batch.x.dtype, f"{score.value.dtype} from events in {batch.x.dtype}"
    assert torch.isfinite(score.value).all(), "the score of an event of the data is not finite"
    order = torch.tensor([3, 0, 5])
    context = None if batch.context is None else batch.context[order]
    alone = log_prob(model, batch.x[order], context, rng.rows(order)).value
    assert torch.allclose(score.value[order], alone, atol=ROUND_OFF, rtol=ROUND_OFF), "a score changed with its batch"


def density_integrates_to_one(case: Case) -> None:
    """Quadrature where the support has one or two dimensions, enumeration on a small alphabet; a bound stays below."""
    grid = _grid(case)
    if not issubclass(case.cls, Density) or grid is None:
        return
    (x, cell), model = grid, case.build()
    context = case.contexts(1)
    many = None if context is None else context.expand(x.shape[0], -1)
    score = log_prob(model, x, many, Rng.of(7, x.shape[0]))
    total = (score.value.exp().sum() * cell).item()
    slack = 1e-2 if score.kind == "exact" else 3e-2
    if score.kind == "lower bound" and score.stderr is not None:  # exp of it is unbiased, so the total has its noise
        slack += 4 * cell * (score.value.exp() * score.stderr).norm().item()
    assert total <= 1 + slack, f"{score.kind}: total probability {total:.4f}"
    assert score.kind == "lower bound" or total >= 1 - slack, f"{score.kind}: total probability {total:.4f}"


def _grid(case: Case) -> tuple[Tensor, float] | None:
    if case.name == "line":
        step = 0.01
        return torch.arange(-14, 14, step, dtype=torch.float64)[:, None], step
    if case.name == "plane":
        step = 0.125
        axis = torch.arange(-8, 8, step, dtype=torch.float64)
        return torch.cartesian_prod(axis, axis), step * step
    if case.name in CELLS:
        return CELLS[case.name]()
    if case.event.is_discrete and case.event.size <= 4:
        values = [range(int(s.low or 0), int(s.low or 0) + (s.cardinality or 0)) for _, s in case.event.slices()]
        return torch.tensor(list(itertools.product(*values)), dtype=torch.float64), 1.0
    return None


def samples_follow_the_density(case: Case) -> None:
    """The probability integral transform of samples on a line is uniform; counts fit on an alphabet."""
    grid = _grid(case)
    if not issubclass(case.cls, Density) or grid is None or (case.event.size > 1 and not case.event.is_discrete):
        return
    (x, cell), model = grid, case.build()
    n, context = 4000, case.contexts(1)
    expand = (lambda m: None) if context is None else (lambda m: context.expand(m, -1))
    score = log_prob(model, x, expand(x.shape[0]), Rng.of(7, x.shape[0]))
    if score.kind == "lower bound":
        return
    mass = score.value.exp() * cell
    with torch.no_grad():
        samples = model.sample(n, context=expand(n), rng=Rng.of(11, n))
    if case.event.is_discrete:
        counts = (samples[:, None] == x[None]).all(-1).sum(0).to(mass.dtype)
        chi_square = ((counts - n * mass) ** 2 / (n * mass).clamp(min=0.5)).sum().item()
        limit = len(mass) + 6 * (2 * len(mass)) ** 0.5
        assert chi_square < limit, f"chi-square {chi_square:.1f} over {len(mass)} cells, limit {limit:.1f}"
        return
    cdf = mass.cumsum(0) / mass.sum()
    levels = cdf[torch.searchsorted(x[:, 0].contiguous(), samples[:, 0].contiguous()).clamp(max=len(cdf) - 1)].sort()[0]
    gap = (levels - (torch.arange(n, dtype=levels.dtype) + 0.5) / n).abs().max().item()
    assert gap < 2.2 / n**0.5, f"Kolmogorov-Smirnov distance {gap:.4f} between samples and density"


def a_joint_sample_knows_its_density(case: Case) -> None:
    """An event drawn with its log-density has that log-density when it is scored."""
    if not issubclass(case.cls, Joint):
        return
    model, n = case.build(), 6
    assert isinstance(model, Joint)
    context, rng = case.contexts(n), Rng.of(5, n)
    if model.log_prob(case.batch(n).x, context=context, rng=rng).kind == "lower bound":
        return
    with torch.no_grad():
        x, log_p = model.sample_and_log_prob(rng, context=context)
        score = model.log_prob(x, context=context, rng=rng)
    assert x.shape == (n, *case.event.shape), f"shape {tuple(x.shape)}, expected {(n, *case.event.shape)}"
    slack = 1e-5 if score.kind == "exact" else 1e-2
    gap = (log_p - score.value).abs().max().item()
    assert gap <= slack * (1 + score.value.abs().max().item()), f"off by {gap:.2g} nats"
