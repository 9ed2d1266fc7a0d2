"""A learned accept-reject base: a Gaussian from which a network throws out what does not fit."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.base import Base, Estimated
from headwater.networks.mlp import MLP
from headwater.rng import Rng

__all__ = ["Resampled", "resampled_log_prob"]

_SEED = 2110_15828
_OWN = 8
_LEAST = 1e-6


def resampled_log_prob(
    log_pi: Float[Tensor, "*shape"], a: Float[Tensor, "*shape"], z: Float[Tensor, ""], tries: int
) -> Float[Tensor, "*shape"]:
    """``log π + log[(1 - (1-Z)^(T-1)) a / Z + (1-Z)^(T-1)]``: equation 6 of the paper, the last try accepted anyway.

    Args:
        log_pi: Log-density of the proposals.
        a: Their chance of being accepted.
        z: ``Z``, the mean chance under the proposals.
        tries: ``T``.
    """
    gives_up = torch.exp((tries - 1) * torch.log1p(-z))
    return log_pi + torch.log((1 - gives_up) * a / z + gives_up)


class Resampled(Base, Estimated):
    r"""``p(z) = N(z) [(1 - (1-Z)^{T-1}) a(z) / Z + (1-Z)^{T-1}]`` with a network ``a`` in (0, 1), ``Z = E_N[a(z)]``.

    The density of what is drawn by proposing from the standard normal, accepting with probability
    ``a(z)``, and taking the last of ``T`` proposals in any case. Holes and modes that a flow would
    have to tear are cut out here.

    ``Z`` is not known. Scores use one fixed set of ``draws`` proposals that training never sees, so they are
    estimates with a standard error. For training (``log_prob`` with an ``rng``) each row draws 8
    proposals of its own, and a learned ``ζ`` stands for ``Z``: with ``q_ζ`` the formula above and
    ``N(ζ) = (1 - (1-ζ)^{T-1}) Z / ζ + (1-ζ)^{T-1}`` its integral,

    .. math:: \log q_ζ(z) - \log N(ζ) \ge \log q_ζ(z) - N(ζ) + 1,

    whose right side is linear in ``Z`` and so estimated without bias; it is tight at ``ζ = Z``. (The paper
    instead keeps a running mean of ``Z``.)

    Resampling Base Distributions of Normalizing Flows (Stimper, Schölkopf & Hernández-Lobato, 2022),
    https://arxiv.org/abs/2110.15828.

    Args:
        features: Number of elements.
        tries: ``T``.
        draws: Proposals from which scores estimate ``Z``.
        width: Hidden width of ``a``.
        blocks: Its residual blocks.
    """

    reparameterized = False

    def __init__(
        self, features: int, *, tries: int = 50, draws: int = 1 << 14, width: int = 64, blocks: int = 1
    ) -> None:
        super().__init__()
        assert tries >= 2, "with one try nothing is rejected"
        self.features, self.tries, self.draws = features, tries, draws
        self.network = MLP(features, 1, width=width, blocks=blocks)
        self.log_odds = nn.Parameter(torch.zeros(()))

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        if rng is None:
            return resampled_log_prob(_log_normal(z), self.accept(z), self._constant(z)[0], self.tries)
        zeta = torch.sigmoid(self.log_odds)
        own = rng.normal("base constant", _OWN, self.features, dtype=z.dtype).flatten(0, 1)
        each = resampled_log_prob(z.new_zeros(len(own)), self.accept(own), zeta, self.tries).exp()
        integral = each.view(-1, _OWN).mean(dim=1)
        return resampled_log_prob(_log_normal(z), self.accept(z), zeta, self.tries) - integral + 1

    def standard_error(self, z: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """By the delta method: ``|d log p / dZ|`` times the standard error of ``Z``."""
        with torch.no_grad():
            a, (mean, error) = self.accept(z), self._constant(z)
            up, down = (resampled_log_prob(torch.zeros_like(a), a, mean + s * error, self.tries) for s in (0.5, -0.5))
        return (up - down).abs()

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        z = temperature * rng.normal("base 0", self.features, dtype=dtype)
        done = rng.uniform("accept 0", dtype=dtype) < self.accept(z)
        for attempt in range(1, self.tries):
            again = temperature * rng.normal(f"base {attempt}", self.features, dtype=dtype)
            z = torch.where(done[:, None], z, again)
            done = done | (rng.uniform(f"accept {attempt}", dtype=dtype) < self.accept(again))
        return z

    def accept(self, z: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """``a(z)``, at least 1e-6."""
        logit = torch.as_tensor(self.network(z)).to(z.dtype)  # autocast's bfloat16 stops here
        return _LEAST + (1 - _LEAST) * torch.sigmoid(logit[:, 0])

    def _constant(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """``Z`` and its standard error, from proposals that are always the same."""
        rng = Rng.of(_SEED, self.draws, device=like.device)
        chances = self.accept(rng.normal("base constant", self.features, dtype=like.dtype))
        return chances.mean(), chances.std() / math.sqrt(self.draws)

    def extra_repr(self) -> str:
        return f"{self.features}, tries={self.tries}, draws={self.draws}"


def _log_normal(z: Tensor) -> Tensor:
    return -0.5 * z.square().sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
