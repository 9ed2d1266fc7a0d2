"""Fitting Gaussian mixtures: expectation-maximization by scikit-learn, then covariances shrunk towards their mean."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headwater.errors import MissingExtraError
from headwater.models.baselines.mixture import Covariance, factor, log_components

__all__ = ["Fitted", "Shrinkage", "fit_classes", "shrink"]

_LEAST_VARIANCE = 1e-6
_MOST_STEPS = 60
_JUDGED = 500_000_000  # held-out rows x elements^2 of each class that judge a shrinkage
_WORK = 4e10  # rows x elements^2 x components x steps of one fit; bounds its time


class Shrinkage(NamedTuple):
    """How far covariances are drawn together.

    ``S_k <- (n_k S_k + nu P) / (n_k + nu)`` with ``P`` the mean covariance within
    components, itself ``P <- (1 - rho) P + rho diag P``; ``nu`` = ``strength`` x elements.
    """

    strength: float
    rho: float


class Fitted(NamedTuple):
    """A mixture of one class, before shrinkage; ``rows`` is the share of each component times all rows."""

    rows: Float[Tensor, " components"]
    mean: Float[Tensor, "components elements"]
    covariance: Float[Tensor, "components *elements"]


def fit_classes(
    classes: list[Tensor], everything: Tensor, kind: Covariance, components: int, seed: int
) -> list[Fitted]:
    """A mixture for every class; a class of fewer than two rows per component gets fewer components."""
    fitted = []
    for rows in classes:
        enough = rows if len(rows) >= 2 else everything
        fitted.append(_fit(enough, kind, max(1, min(components, len(enough) // 2)), seed))
    return fitted


def _fit(x: Float[Tensor, "rows elements"], kind: Covariance, components: int, seed: int) -> Fitted:
    if components == 1:
        return _single(x.double(), kind)
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise MissingExtraError("scikit-learn", "table", "The Gaussian mixture") from None
    work = len(x) * components * x.shape[1] ** (1 if kind == "diagonal" else 2)
    solver = GaussianMixture(
        components,
        covariance_type={"full": "full", "tied": "tied", "diagonal": "diag"}[kind],
        reg_covar=1e-4,
        max_iter=int(min(_MOST_STEPS, max(1, _WORK / work))),
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(x.double().numpy())
    covariance = torch.from_numpy(np.asarray(solver.covariances_, dtype=np.float64))
    count = torch.from_numpy(solver.weights_) * len(x)
    return Fitted(count, torch.from_numpy(solver.means_), covariance[None] if kind == "tied" else covariance)


def _single(x: Float[Tensor, "rows elements"], kind: Covariance) -> Fitted:
    mean = x.mean(dim=0)
    centred = x - mean
    covariance = centred.square().mean(dim=0) if kind == "diagonal" else centred.T @ centred / len(x)
    return Fitted(torch.tensor([float(len(x))], dtype=torch.float64), mean[None], covariance[None])


def shrink(fitted: list[Fitted], kind: Covariance, how: Shrinkage) -> list[Float[Tensor, "slots *elements"]]:
    """Whitening factors of every class's components after shrinkage."""
    counts = torch.cat([f.rows if len(f.covariance) == len(f.rows) else f.rows.sum()[None] for f in fitted])
    covariances = torch.cat([f.covariance for f in fitted])
    pooled = torch.tensordot(counts / counts.sum(), covariances, dims=1)
    if kind == "diagonal":
        nu = how.strength * 10
        mixed = (counts[:, None] * covariances + nu * pooled) / (counts[:, None] + nu)
        whiten = (mixed + _LEAST_VARIANCE).rsqrt()
    else:
        ridge = torch.diag(torch.full((pooled.shape[0],), _LEAST_VARIANCE, dtype=pooled.dtype))
        pooled = (1 - how.rho) * pooled + how.rho * torch.diag(torch.diagonal(pooled))
        if kind == "tied":
            return [factor(pooled + ridge)[None]] * len(fitted)
        nu, weight = how.strength * pooled.shape[0], counts[:, None, None]
        whiten = factor((weight * covariances + nu * pooled) / (weight + nu) + ridge)
    return list(whiten.split([len(f.rows) for f in fitted]))


def log_likelihood(fitted: list[Fitted], whiten: list[Tensor], judge: list[Tensor]) -> float:
    """Mean held-out log-density of the rows under their own class."""
    total, rows = 0.0, 0
    for f, w, every in zip(fitted, whiten, judge, strict=True):
        x = every[: max(50, _JUDGED // every.shape[1] ** 2)]
        if len(x):
            log_weight = torch.log(f.rows / f.rows.sum())
            total += float(torch.logsumexp(log_weight + log_components(x.double(), f.mean, w), dim=1).sum())
            rows += len(x)
    return total / max(rows, 1)
