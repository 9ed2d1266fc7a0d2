"""Held-out log-likelihood as it is reported: mean, standard error, kind, unit and what it was conditioned on."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from pydantic import Field

from headwater.config import Config
from headwater.errors import DataError
from headwater.scores import Kind

__all__ = ["Likelihood", "bits_per_dim", "summarize"]


class Likelihood(Config):
    """Log-likelihood of held-out events in the data's own units.

    ``mean`` is None where an event has probability zero: then the mean is minus
    infinity, and ``impossible`` says how many such events there are.
    """

    mean: float | None = Field(description="mean over events, nats")
    stderr: float | None = Field(description="standard error of the mean over events, nats")
    kind: Kind = Field(description="exact, lower bound, or estimate")
    estimator_stderr: float | None = Field(None, description="part of it due to the estimator's own draws, nats")
    bits_per_dim: float | None = Field(description="-mean / (dims ln 2)")
    bits_per_dim_stderr: float | None = Field(description="its standard error")
    dims: int = Field(ge=1, description="raw elements of an event")
    n: int = Field(ge=1, description="events scored")
    impossible: int = Field(0, ge=0, description="events of probability zero")
    split: str = Field(description="which part of the data")
    conditional: bool = Field(description="log p(x | label) rather than log p(x)")
    discrete: bool = Field(False, description="probabilities (at most 0 nats) rather than densities")
    protocol: dict[str, str | int | float] = Field({}, description="draws, solver, tolerance")


def bits_per_dim(nats: float, dims: int, *, spacing: float = 1.0) -> float:
    r"""Bits per dimension of a log-likelihood in nats.

    .. math:: b = -\frac{\log p(y)}{D \ln 2} - \log_2 s

    A density of values divided by some unit is a density *per that unit*. Where
    ``y = s x`` was modelled for the whole-numbered ``x`` (pixels 0..255 scaled to
    [0, 1) have ``s = 1/256``), the density of x is ``s^D`` that of y: give ``spacing = s``.
    Scores of runs are in the data's own units already, with ``spacing = 1``.

    Args:
        nats: Log-likelihood of an event.
        dims: Its elements D.
        spacing: Distance in model units between neighbouring whole numbers.

    >>> bits_per_dim(0.0, 784, spacing=1 / 256)  # uniform on [0, 1): 8 bits for every 8-bit pixel
    8.0
    """
    return -nats / (dims * math.log(2.0)) - math.log2(spacing)


def summarize(
    log_prob: Float[np.ndarray, " n"],
    *,
    kind: Kind,
    dims: int,
    split: str,
    conditional: bool,
    discrete: bool = False,
    stderr: Float[np.ndarray, " n"] | None = None,
    protocol: dict[str, str | int | float] | None = None,
) -> Likelihood:
    r"""Mean of the log-likelihoods of n events and its standard error.

    .. math:: \bar\ell = \tfrac1n \sum_i \ell_i, \qquad
              \mathrm{se} = \sqrt{\tfrac{1}{n(n-1)} \sum_i (\ell_i - \bar\ell)^2}

    The spread over events already holds the estimator's own noise; the part that is
    due to it is :math:`\tfrac1n \sqrt{\sum_i \mathrm{se}_i^2}`, given apart.

    Raises:
        DataError: no events, or a log-likelihood that is not a number or is plus infinity.
    """
    values = np.asarray(log_prob, dtype=np.float64)
    wrong = int((np.isnan(values) | (values == np.inf)).sum())
    if len(values) == 0 or wrong:
        raise DataError(
            f"Expected log-likelihoods of at least one event, got {len(values)}, {wrong} of them not numbers.",
            hint="Score in float64 (training.precision='float64') or train again with a lower optimizer.lr.",
        )
    impossible = int(np.isneginf(values).sum())
    mean = None if impossible else float(values.mean())
    error = None if impossible or len(values) < 2 else float(values.std(ddof=1) / math.sqrt(len(values)))
    own = None if stderr is None else float(math.sqrt(float((np.asarray(stderr) ** 2).sum())) / len(values))
    return Likelihood(
        mean=mean,
        stderr=error,
        kind=kind,
        estimator_stderr=own,
        bits_per_dim=None if mean is None else bits_per_dim(mean, dims),
        bits_per_dim_stderr=None if error is None else error / (dims * math.log(2.0)),
        dims=dims,
        n=len(values),
        impossible=impossible,
        split=split,
        conditional=conditional,
        discrete=discrete,
        protocol=protocol or {},
    )
