"""Fields of categorical sites that borrow from one another: empirical Bayes with a common mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["SharedFields", "fit_shared_fields"]

_NEWTON = 25
_HALVINGS = 12
_PSEUDO_SITES = 20.0


@dataclass(frozen=True, eq=False)
class SharedFields:
    """What :func:`fit_shared_fields` found; all centred over the classes, in float64.

    Args:
        logits: Posterior mode ``f_i`` of each site.
        mean: ``mu``, what a site has that was never observed.
        covariance: ``Sigma``: which classes rise and fall together from site to site.
    """

    logits: Float[Tensor, "sites classes"]
    mean: Float[Tensor, " classes"]
    covariance: Float[Tensor, "classes classes"]

    def patterns(self, k: int) -> Float[Tensor, "classes k"]:
        """The ``k`` leading eigenvectors of ``Sigma``, each as long as its standard deviation."""
        values, vectors = torch.linalg.eigh(self.covariance)
        order = torch.argsort(values, descending=True)[:k]
        leading = vectors[:, order]
        first = leading.abs().argmax(dim=0, keepdim=True)
        sign = torch.where(leading.gather(0, first) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
        return leading * sign * values[order].clamp(min=0).sqrt()


@torch.no_grad()
def fit_shared_fields(
    counts: Float[Tensor, "sites classes"], allowed: Bool[Tensor, "sites classes"], *, rounds: int = 40
) -> SharedFields:
    r"""Expectation maximization with a Laplace approximation at each site.

    .. math:: n_i \sim \mathrm{Multinomial}(\mathrm{softmax} f_i), \qquad f_i \sim N(\mu, \Sigma)

    In each round the mode ``f_i`` of every site's posterior is found by Newton's method, ``H_i`` being the negative
    Hessian there; then ``mu`` is the mean of the modes and ``Sigma`` that of ``(f_i - mu)(f_i - mu)^T + H_i^{-1}``.
    Twenty pseudo sites of unit covariance keep ``Sigma`` proper where there are few. Work takes
    ``rounds * sites * classes^3``; it is done in float64, in the subspace of centred logits.

    Args:
        counts: How often each class was seen, weights included.
        allowed: Which classes a site has; the others get the logits that the prior gives them.
        rounds: Of expectation maximization.

    Reference:
        Parametric Empirical Bayes Inference: Theory and Applications (Morris, 1983),
        https://doi.org/10.1080/01621459.1983.10477920.

    >>> counts = torch.tensor([[9.0, 1.0], [8.0, 2.0], [0.0, 0.0]])
    >>> bool(torch.softmax(fit_shared_fields(counts, counts >= 0).logits[2], dim=0)[0] > 0.6)
    True
    """
    counts = counts.double() * allowed
    sites, classes = counts.shape
    basis = _centred(classes).to(counts.device)
    g = counts.new_zeros(sites, classes - 1)
    mean, covariance = g.new_zeros(classes - 1), torch.eye(classes - 1, dtype=g.dtype, device=g.device)
    unit = covariance.clone()
    for _ in range(rounds if classes > 1 else 0):
        precision = torch.linalg.inv(covariance)
        g, hessian = _modes(g, counts, allowed, basis, mean, precision)
        mean = g.sum(dim=0) / (sites + 1.0)
        spread = torch.linalg.inv(hessian).sum(dim=0) + (g - mean).T @ (g - mean)
        covariance = (spread + _PSEUDO_SITES * unit) / (sites + _PSEUDO_SITES)
        covariance = (covariance + covariance.T) / 2
    return SharedFields(g @ basis.T, basis @ mean, basis @ covariance @ basis.T)


def _centred(classes: int) -> Float[Tensor, "classes less"]:
    """An orthonormal basis of the vectors that sum to zero (Helmert's)."""
    n = torch.arange(1, classes, dtype=torch.float64)
    lower = torch.ones(classes, classes - 1, dtype=torch.float64).triu()
    rows = torch.arange(classes, dtype=torch.float64)[:, None]
    helmert = torch.where(rows == n, -n.expand(classes, -1), lower)
    return helmert / torch.sqrt(n * (n + 1))


def _modes(
    g: Tensor, counts: Tensor, allowed: Tensor, basis: Tensor, mean: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor]:
    """Posterior modes from a start, by Newton's method with halving, and the negative Hessian at each."""
    total = counts.sum(dim=1, keepdim=True)

    def masked(g: Tensor) -> Tensor:
        return (g @ basis.T).masked_fill(~allowed, -torch.inf)

    def objective(g: Tensor) -> Tensor:
        quadratic = ((g - mean) @ precision * (g - mean)).sum(dim=1) / 2
        return (counts * (g @ basis.T)).sum(dim=1) - total[:, 0] * torch.logsumexp(masked(g), dim=1) - quadratic

    def hessian(p: Tensor) -> Tensor:
        weighed = p @ basis
        within = torch.einsum("cd,ic,ce->ide", basis, p, basis)
        return total[:, :, None] * (within - weighed[:, :, None] * weighed[:, None, :]) + precision

    value = objective(g)
    for _ in range(_NEWTON):
        p = torch.softmax(masked(g), dim=1)
        gradient = (counts - total * p) @ basis - (g - mean) @ precision
        step = torch.linalg.solve(hessian(p), gradient)
        decrement = (step * gradient).sum(dim=1)
        if bool((decrement < 1e-9).all()):
            break
        scale = torch.ones_like(value)
        for _ in range(_HALVINGS):
            new = objective(g + scale[:, None] * step)
            worse = new < value
            if not bool(worse.any()):
                break
            scale = torch.where(worse, scale / 2, scale)
        better = (objective(g + scale[:, None] * step) >= value).to(g.dtype)
        g = g + (better * scale)[:, None] * step
        value = objective(g)
    return g, hessian(torch.softmax(masked(g), dim=1))
