"""Pairs of parameters and what a simulator made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headwater.errors import DataError
from headwater.progress import Progress, SilentProgress
from headwater.rng import Rng

__all__ = ["Prior", "Simulations", "Simulator", "simulate"]

Prior = Callable[[Rng], Tensor]
"""One draw of the parameters, ``(n, parameters)``, for each of the ``n`` keys."""
Simulator = Callable[[Tensor, Rng], Tensor]
"""One observation, ``(n, *observation)``, for each row of parameters, with noise from its key."""


@dataclass(frozen=True, eq=False)
class Simulations:
    """Draws ``θ ~ p(θ)`` and ``x ~ p(x | θ)`` of the joint distribution.

    Args:
        parameters: ``θ``, a row each.
        observations: ``x``, of any one shape.

    Raises:
        DataError: their numbers differ.
    """

    parameters: Float[Tensor, "n parameters"]
    observations: Float[Tensor, "m *observation"]

    def __post_init__(self) -> None:
        if len(self.parameters) != len(self.observations):
            raise DataError(
                f"Expected an observation per row of parameters, got {len(self.observations)} "
                f"for {len(self.parameters)}."
            )

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def finite(self) -> Bool[Tensor, " n"]:
        """Which pairs hold numbers only."""
        both = (self.parameters, self.observations.flatten(1))
        return torch.stack([torch.isfinite(part).all(dim=1) for part in both]).all(dim=0)

    def chosen(self, which: Tensor) -> Simulations:
        """Some of the pairs, by mask or numbers.

        Leaving out failed simulations changes the prior to the one among simulations that succeed.
        """
        return Simulations(self.parameters[which], self.observations[which])


@torch.no_grad()
def simulate(
    prior: Prior,
    simulator: Simulator,
    n: int,
    *,
    seed: int = 0,
    batch_size: int = 1_000,
    progress: Progress | None = None,
) -> Simulations:
    """``n`` draws of parameters and observations; pair i depends on ``(seed, i)`` alone if prior and simulator say so.

    Args:
        prior: Draws parameters; takes one key per draw.
        simulator: Makes observations of parameters; takes the same keys, folded.
        n: How many.
        seed: Another seed, other pairs.
        batch_size: Pairs at a time.
        progress: Advances by pairs.

    Raises:
        DataError: prior or simulator return another number of rows, or parameters that are not rows.

    >>> pairs = simulate(lambda rng: rng.normal("θ", 1), lambda θ, rng: θ + rng.normal("x", 1), 100)
    >>> pairs.observations.shape
    torch.Size([100, 1])
    """
    found: list[tuple[Tensor, Tensor]] = []
    with (progress or SilentProgress()).phase("Simulating", total=n, unit="pairs") as phase:
        for start in range(0, n, batch_size):
            rng = Rng.of(seed, min(batch_size, n - start), start=start)
            theta = prior(rng.fold("prior"))
            _check("The prior", theta, rng.n)
            if theta.ndim != 2:
                raise DataError(f"Expected parameters as rows, (n, parameters), got {tuple(theta.shape)}.")
            x = simulator(theta, rng.fold("simulator"))
            _check("The simulator", x, rng.n)
            found.append((theta, x))
            phase.advance(rng.n)
    return Simulations(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _check(who: str, value: Tensor, n: int) -> None:
    if value.ndim < 1 or len(value) != n or not value.is_floating_point():
        raise DataError(f"{who} was asked for {n} rows of floats and gave {tuple(value.shape)} of {value.dtype}.")
