"""Categories as vectors: an exponential race, whose winner is the category.

With probabilities ``pi_k`` let ``e_k ~ Exp(1)`` arrive at time ``e_k / pi_k``; the first to arrive is ``c`` with
probability ``pi_c``. Given the winner, ``t ~ Exp(1)``, ``e_c = pi_c t`` and ``e_k = pi_k t + Exp(1)``, and so

    q(e | c) = exp(-sum_k e_k) / pi_c        on the region where c wins.

Mapped by ``z_k = Phi^{-1}(exp(-e_k))`` this is ``q(z | c) = prod_k N(z_k; 0, 1) / pi_c``: over the data the vector is
exactly standard normal, and a model that says ``N(0, I)`` scores exactly ``log pi_c``. The class is read back
as ``argmin_k e_k / pi_k``. It is the Gumbel form of the argmax surjection.

Reference: Argmax Flows and Multinomial Diffusion: Learning Categorical Distributions (Hoogeboom, Nielsen, Jaini,
Forre, Welling, 2021), https://arxiv.org/abs/2102.05379
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part, normal_log_density
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["Race", "class_shares"]


def class_shares(codes: np.ndarray, classes: int) -> np.ndarray:
    """``pi``: frequencies with half a count added to each class, so that none is impossible."""
    counts = np.bincount(codes.astype(np.int64), minlength=classes) + 0.5
    return counts / counts.sum()


class Race(Part):
    """Columns with equally many classes; ``shares`` is ``pi``, ``(columns, classes)``.

    ``absent`` is whether the last class stands for a missing value.
    """

    kind = "race"
    noisy = True
    missing: bool
    shares: Tensor

    @property
    def width(self) -> int:
        return self.shares.numel()

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return tuple(Segment(size=self.shares.shape[1], name=name) for name in names)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        columns, classes = self.shares.shape
        if self.missing:
            value = torch.where(torch.isnan(value), float(classes - 1), value)
        wins = value.unsqueeze(-1) == torch.arange(classes, device=value.device)
        start = -torch.log(rng.uniform("winner", columns, dtype=torch.float64)).unsqueeze(-1)
        wait = -torch.log(rng.uniform("others", columns, classes, dtype=torch.float64))
        paced = self.shares * start
        gap = 16 * torch.finfo(dtype).eps * paced  # rounding z to dtype must not change who wins
        e = torch.where(wins, paced, paced + gap + wait)
        z = torch.where(e < 0.5, -torch.special.ndtri(-torch.expm1(-e)), torch.special.ndtri(torch.exp(-e)))
        log_share = torch.where(wins, torch.log(self.shares), -gap)
        ladj = (log_share - normal_log_density(z)).sum((1, 2))
        return Encoded(z.flatten(1), ladj)

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        e = -torch.special.log_ndtr(x.double().reshape(-1, *self.shares.shape))
        code = torch.argmin(e / self.shares, dim=-1).double()
        return torch.where(code == self.shares.shape[1] - 1, torch.nan, code) if self.missing else code
