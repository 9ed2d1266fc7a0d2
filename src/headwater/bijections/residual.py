"""x plus a network that stretches nothing: invertible whatever the network's form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.estimated import StochasticLogDet
from headwater.bijections.parameters import ContextParameters
from headwater.bijections.power_series import roulette, truncated
from headwater.networks.lipschitz import Evaluated, LipschitzMLP
from headwater.rng import Rng

__all__ = ["Residual", "log_det", "most_steps", "solve"]

_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
_ROUND_OFF = 4.0


def _core(g: Evaluated) -> tuple[Tensor, bool]:
    """``I + J``, or where the network is narrower than the event ``I + X W_m`` with ``J = W_m X``; both transposed."""
    last = g.weights[-1]
    direct = last.shape[0] <= last.shape[1]
    inner = g.inner(g.weights[0] if direct else g.weights[0] @ last)
    core = inner @ last.T if direct else inner
    return core + torch.eye(core.shape[-1], dtype=core.dtype, device=core.device), direct


def exactly(x: Tensor) -> torch.autocast:
    """No autocast: bfloat16 is too coarse for determinants, and for a bound of 0.97."""
    return torch.autocast(x.device.type, enabled=False)


def log_det(g: Evaluated) -> Float[Tensor, " batch"]:
    """``log|det(I + J)|``, exactly: a determinant of the size of the event or of the network, whichever is less.

    ``det(I + W_m X) = det(I + X W_m)`` is the matrix determinant lemma.
    """
    value: Tensor = torch.linalg.slogdet(_core(g)[0]).logabsdet
    return value


def solve(g: Evaluated, r: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
    """``(I + J)^-1 r``, where the network is narrower than the event as ``r - W_m (I + X W_m)^-1 X r``."""
    core, direct = _core(g)
    if direct:
        return torch.as_tensor(torch.linalg.solve(core.mT, r))
    inner = r
    for weight, slope in zip(g.weights, g.slopes, strict=False):  # X r: all factors but the last
        inner = (inner @ weight.T) * slope
    return r - torch.as_tensor(torch.linalg.solve(core.mT, inner)) @ g.weights[-1].T


def most_steps(lipschitz: float, tolerance: float) -> int:
    """Fixed-point steps after which ``|x - x*| <= tolerance |g(z)|`` is certain: ``L^n <= (1 - L) tolerance``.

    >>> most_steps(0.5, 1e-6)
    21
    """
    return math.ceil(math.log((1 - lipschitz) * tolerance) / math.log(lipschitz))


class Residual(Bijection, StochasticLogDet):
    r"""``z = x + g(x; c)`` with ``|g(x) - g(y)| \le L |x - y|``, ``L < 1``, and ``log|det| = \log\det(I + J_g(x))``.

    The inverse is the fixed point of ``x = z - g(x)``. A step is Newton's where that shrinks the residual
    ``r = x + g(x) - z`` at least by ``L``, as the plain step ``x - r`` always does; a row stands still once
    ``|r| / (1 - L)``, which bounds its error, is below the tolerance (1e-6 in float32, 1e-12 in float64, of
    ``1 + |z| + |g(z)|``) or is round-off. Gradients are those of the implicit function.

    Both directions give exact log-determinants, of a matrix as large as the event or the network, whichever is
    smaller. With ``terms`` the estimates of :class:`StochasticLogDet` are from the power series, else exact too.

    Invertible Residual Networks (Behrmann et al., 2019), https://arxiv.org/abs/1811.00995; Residual Flows for
    Invertible Generative Modeling (Chen et al., 2019), https://arxiv.org/abs/1906.02735.

    Args:
        features: Length of the vector.
        context: Length of the context vector, which shifts the biases; 0 for none.
        width: Hidden width of ``g``.
        hidden: Its hidden layers.
        lipschitz: ``L``.
        activation: A key of :data:`headwater.networks.lipschitz.LIPSCHITZ_ACTIVATIONS`.
        terms: Of the power series in training; None: exact.
    """

    def __init__(
        self,
        features: int,
        *,
        context: int = 0,
        width: int = 64,
        hidden: int = 2,
        lipschitz: float = 0.97,
        activation: str = "sine",
        terms: int | None = None,
    ) -> None:
        super().__init__()
        assert 0 < lipschitz < 1, "g must shrink distances"
        self.terms = terms
        self.network = LipschitzMLP(features, width=width, hidden=hidden, lipschitz=lipschitz, activation=activation)
        self.biases = ContextParameters(self.network.start_biases(), context=context)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        with exactly(x):
            g = self._at(x, context)
            return x + g.value, log_det(g)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        with exactly(z):
            biases, weights = self.biases(len(z), context), self.network.weights()
            with torch.no_grad():
                x = self._search(z, biases, weights)
                found = self.network(x, biases, weights)
            if torch.is_grad_enabled():  # one more Newton step, recorded: dx = (I + J)^-1 (dz - dg)
                x = x - solve(found, x + self.network(x, biases, weights).value - z)
                found = self.network(x, biases, weights)
            return x, -log_det(found)

    @property
    def wants_noise(self) -> bool:
        return self.terms is not None

    def surrogate(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        assert self.terms is not None, "only where it wants noise"
        with exactly(x):
            g = self._at(x, context)
            return x + g.value, truncated(g, rng, self.terms)

    def estimates(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None, rng: Rng, draws: int
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "draws batch"]]:
        with exactly(x):
            g = self._at(x, context)
            return x + g.value, roulette(g, rng, draws, self.network.lipschitz)

    def _at(self, x: Tensor, context: Tensor | None) -> Evaluated:
        g: Evaluated = self.network(x, self.biases(len(x), context))
        return g

    def _search(self, z: Tensor, biases: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """The fixed point, row by row: see the class."""
        shrink, eps = self.network.lipschitz, torch.finfo(z.dtype).eps

        def residual(x: Tensor) -> tuple[Tensor, Tensor, Evaluated]:
            g = self.network(x, biases, weights)
            r = x + g.value - z
            return r, r.norm(dim=1), g

        x = z
        r, size, g = residual(x)
        tolerance = _TOLERANCE.get(z.dtype, _TOLERANCE[torch.float32])
        scale = 1 + z.norm(dim=1) + size
        enough = max((1 - shrink) * tolerance, _ROUND_OFF * eps) * scale
        for _ in range(most_steps(shrink, tolerance)):
            done = (size <= enough)[:, None]
            if bool(done.all()):
                break
            newton = x - solve(g, r)
            shrinks = (residual(newton)[1] <= shrink * size)[:, None]
            x = torch.where(done, x, torch.where(shrinks, newton, x - r))
            r, size, g = residual(x)
        return x

    def extra_repr(self) -> str:
        return f"terms={self.terms}" if self.terms else "exact"
