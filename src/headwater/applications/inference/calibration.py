"""Whether posteriors are as wide as they should be: simulation-based calibration and expected coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.applications.inference.simulations import Simulations
from headwater.errors import UsageError
from headwater.evaluation.text import figure, grid
from headwater.progress import Progress, SilentProgress

__all__ = ["JOINT", "Calibration", "RankTest", "Sampler", "calibrate", "rank_test"]

JOINT = "joint density"
_LEVEL = 0.01
_AT_ONCE = 4_096


@runtime_checkable
class Sampler(Protocol):
    """What is calibrated: draws for each of a batch of observations, ``(batch, n, parameters)``."""

    def sample(self, observation: Tensor, n: int, *, seed: int = 0) -> Tensor:
        """Draws for each observation."""


class RankTest(NamedTuple):
    """What the ranks of one quantity say.

    Args:
        name: Of the quantity.
        p_uniform: Of the chi-square test of uniformity.
        shift: z-score of the mean rank; positive where truths lie above the draws.
        spread: z-score of the ranks' spread; positive where posteriors are too narrow.
        p: The least of the three tests' p-values, times three.
        complaint: What is wrong, where something is: ``too narrow``, ``too wide``, ``shifted`` or ``not uniform``.
    """

    name: str
    p_uniform: float
    shift: float
    spread: float
    p: float
    complaint: str


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true parameters among posterior draws, over many simulated observations.

    Args:
        names: Of the parameters, and ``joint density`` where the posterior has one.
        ranks: How many of the draws lie below the truth, 0 .. draws.
        draws: Per observation.
        bins: Of the chi-square test.
        tests: Per quantity.
    """

    names: tuple[str, ...]
    ranks: Int64[Tensor, "observations quantities"]
    draws: int
    bins: int
    tests: tuple[RankTest, ...]

    @property
    def complaints(self) -> tuple[str, ...]:
        """Quantities whose ranks are not uniform at the 1 % level, corrected for their number."""
        return tuple(f"{test.name}: {test.complaint}" for test in self.tests if test.complaint)

    @property
    def verdict(self) -> str:
        """``no miscalibration found``, or ``warning`` with what is wrong."""
        if not self.complaints:
            return f"no miscalibration found in {len(self.ranks)} observations"
        return "warning: not calibrated (" + "; ".join(self.complaints) + ")"

    def coverage(self, levels: Float[Tensor, " levels"]) -> Float[Tensor, "levels quantities"]:
        """How often the truth lies in the central interval of a level, or in the region of highest density.

        Equal to the level where the posterior is calibrated; below it, posteriors are too narrow.
        """
        u = (self.ranks.double() + 0.5) / (self.draws + 1)
        central = 2 * (u - 0.5).abs()
        highest = torch.tensor([name == JOINT for name in self.names])
        outside = torch.where(highest, 1 - u, central)
        return (outside[None] <= levels.double()[:, None, None]).double().mean(dim=1).to(levels.dtype)

    def __str__(self) -> str:
        rows = [["quantity", "p (uniform)", "shift (z)", "spread (z)", "90 % covers", ""]]
        covered = self.coverage(torch.tensor([0.9], dtype=torch.float64))[0]
        for test, share in zip(self.tests, covered.tolist(), strict=True):
            cells = [figure(test.p_uniform), figure(test.shift, 1), figure(test.spread, 1), f"{share:.1%}"]
            rows.append([test.name, *cells, test.complaint])
        head = f"{len(self.ranks)} observations, {self.draws} draws each, {self.bins} bins"
        return "\n".join([head, grid(rows, right=(1, 2, 3, 4)), self.verdict])


@torch.no_grad()
def calibrate(
    posterior: Sampler,
    simulations: Simulations,
    *,
    draws: int = 127,
    names: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    r"""Simulation-based calibration of a posterior on simulations that it has not seen.

    If ``(θ, x)`` follows the joint distribution and :math:`θ_l \sim p(θ | x)`, the rank of ``θ`` among the
    :math:`θ_l` is uniform, parameter by parameter; so is the rank of :math:`q(θ|x)` among the :math:`q(θ_l|x)`, which
    sees what single parameters do not. Passing is necessary, not sufficient: a posterior that ignores the
    observation and returns the prior passes, but for the joint density of a better one.

    References: Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts, Betancourt, Simpson,
    Vehtari & Gelman, 2018), https://arxiv.org/abs/1804.06788; A Trust Crisis In Simulation-Based Inference? Your
    Posterior Approximations Can Be Unfaithful (Hermans et al., 2022), https://arxiv.org/abs/2110.06581.

    Args:
        posterior: Anything that samples; a ``log_prob`` of its own, of parameters ``(n, batch, parameters)``
            and observations ``(batch, *observation)``, adds the joint density.
        simulations: Fresh pairs: several hundred.
        draws: Of the posterior for each.
        names: Of the parameters; by default the posterior's own.
        seed: Of the draws.
        progress: Advances by observations.

    Raises:
        UsageError: fewer than forty simulations, or fewer than seven draws.
    """
    if len(simulations) < 40 or draws < 7:
        raise UsageError(
            f"Expected at least 40 simulations and 7 draws, got {len(simulations)} and {draws}.",
            hint="A few hundred simulations with 127 draws each tell much more.",
        )
    size = simulations.parameters.shape[1]
    known = tuple(names or getattr(posterior, "names", None) or (f"parameter {i}" for i in range(size)))
    density = getattr(posterior, "log_prob", None)
    parts = torch.split(torch.arange(len(simulations)), max(1, _AT_ONCE // draws))
    found: list[Tensor] = []
    with (progress or SilentProgress()).phase("Calibrating", total=len(simulations), unit="observations") as phase:
        for number, rows in enumerate(parts):
            theta, x = simulations.parameters[rows], simulations.observations[rows]
            own = posterior.sample(x, draws, seed=(seed << 20) + number)
            ranks = (own < theta[:, None]).sum(dim=1)
            if density is not None:
                below = density(own.transpose(0, 1), x) < density(theta, x)
                ranks = torch.cat([ranks, below.sum(dim=0)[:, None]], dim=1)
            found.append(ranks)
            phase.advance(len(rows))
    ranks = torch.cat(found)
    quantities = known if density is None else (*known, JOINT)
    bins = _bins(draws + 1, len(ranks))
    tests = tuple(
        rank_test(name, ranks[:, i], draws, bins, quantities=len(quantities)) for i, name in enumerate(quantities)
    )
    return Calibration(quantities, ranks, draws, bins, tests)


def rank_test(name: str, ranks: Int64[Tensor, " n"], draws: int, bins: int, *, quantities: int = 1) -> RankTest:
    r"""Three tests of uniformity on ``0 .. L``: chi-square over bins, mean and spread.

    With ``u = (rank + 1/2) / (L + 1)``: :math:`E u = 1/2`, :math:`E (u - 1/2)^2 = (1 - (L+1)^{-2}) / 12`.

    >>> rank_test("even", torch.arange(128).repeat(4), draws=127, bins=16).complaint
    ''
    >>> rank_test("ends", torch.tensor([0, 127]).repeat(200), draws=127, bins=16).complaint
    'too narrow'
    """
    n, u = len(ranks), (ranks.double() + 0.5) / (draws + 1)
    counts = torch.bincount(ranks * bins // (draws + 1), minlength=bins).double()
    chi_square = float((counts - n / bins).square().sum() / (n / bins))
    p_uniform = float(torch.special.gammaincc(torch.tensor((bins - 1) / 2), torch.tensor(chi_square / 2)))
    variance = (1 - (draws + 1) ** -2) / 12
    shift = (float(u.mean()) - 0.5) * math.sqrt(n / variance)
    spread = (float((u - 0.5).square().mean()) - variance) * math.sqrt(n * 180)
    narrow, wide = "too narrow", "too wide"
    if name == JOINT:  # of a density the mean rank tells the width
        ways = {wide if shift > 0 else narrow: _p(shift), "not uniform": min(p_uniform, _p(spread))}
    else:
        ways = {"shifted": _p(shift), narrow if spread > 0 else wide: _p(spread), "not uniform": p_uniform}
    p = min(1.0, 3 * min(ways.values()))
    seen = [way for way in sorted(ways, key=ways.__getitem__) if 3 * ways[way] * quantities < _LEVEL]
    named = [way for way in seen if way != "not uniform"] or seen  # what is wrong says more than that something is
    return RankTest(name, p_uniform, shift, spread, p, named[0] if named else "")


def _p(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def _bins(values: int, n: int) -> int:
    """The most bins of equal size that hold twenty observations each on average, at least two of them."""
    most = max(2, n // 20)
    return max((b for b in range(2, values + 1) if values % b == 0 and b <= most), default=values)
