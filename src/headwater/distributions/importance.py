"""Importance weights: how far samples of one density stand for another, and the constant between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.errors import DataError

__all__ = ["ImportanceWeights"]


@dataclass(frozen=True, eq=False)
class ImportanceWeights:
    r"""Samples ``x_i ~ q`` with ``w_i = p(x_i) / q(x_i)`` for an unnormalized density ``p``.

    .. math:: \log Z \approx \log \tfrac1n \sum_i w_i, \qquad
              \mathrm{ESS} = \frac{(\sum_i w_i)^2}{\sum_i w_i^2}

    A high effective sample size says that ``q`` covers what it has seen of ``p``; a mode that ``q`` never visits
    leaves no trace in it.

    Args:
        samples: ``x_i``.
        log_weights: ``log w_i`` in nats; minus infinity where ``p`` is zero.

    Raises:
        DataError: a weight is not a number or infinite, or all are zero.

    >>> even = ImportanceWeights(torch.zeros(4, 1), torch.full((4,), 2.0))
    >>> even.log_evidence, even.effective_share
    (2.0, 1.0)
    """

    samples: Float[Tensor, "n *event"]
    log_weights: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        wrong = int((torch.isnan(self.log_weights) | (self.log_weights == math.inf)).sum())
        if wrong or not bool(torch.isfinite(self.log_weights).any()):
            raise DataError(
                f"{wrong} of {len(self.log_weights)} importance weights are not numbers, "
                f"{int(torch.isneginf(self.log_weights).sum())} are zero.",
                hint="The density must give a number, or minus infinity, for every sample.",
            )

    @property
    def log_evidence(self) -> float:
        """``log Z`` in nats: the logarithm of an unbiased estimate of the integral of ``p``."""
        return float(torch.logsumexp(self.log_weights.double(), 0)) - math.log(len(self.log_weights))

    @property
    def log_evidence_stderr(self) -> float:
        """Its standard error by the delta method: the relative error of the mean weight."""
        shares = self._shares
        return math.sqrt(max(0.0, float(shares.square().sum()) - 1 / len(shares)))

    @property
    def effective_share(self) -> float:
        """Effective sample size over the number of samples, between ``1/n`` and 1."""
        return 1.0 / (float(self._shares.square().sum()) * len(self.log_weights))

    @property
    def _shares(self) -> Float[Tensor, " n"]:
        return torch.softmax(self.log_weights.double(), 0)

    def mean(self, values: Float[Tensor, "n *shape"]) -> Float[Tensor, "*shape"]:
        """The mean of a function of the samples under ``p``, self-normalized."""
        return torch.tensordot(self._shares.to(values.dtype), values, dims=1)
