"""How much each member of an ensemble counts: by how deep the alignment is, then by what it knows, then by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from headwater.applications.variants.members import KINDS

__all__ = ["HALF_DEPTH", "member_weights", "shares"]

HALF_DEPTH = 1.0
"""Effective sequences per position at which models of sites alone count half."""


def shares(depth: float, kinds: Sequence[str]) -> tuple[float, ...]:
    r"""The share of each member; they sum to one.

    .. math:: s_\text{sites} = \frac{1}{1 + d / d_0}, \qquad d = N_\text{eff} / L

    Members that know each site alone share :math:`s_\text{sites}`. Those that know pairs of sites and those that know
    all sites by a code share the rest alike; of what such a group has each kind gets the same, and each member of a
    kind the same of that. The rule looks at no measurement and is one for all proteins.

    Held-out likelihood chooses how long each model trains but not these shares: it rewards knowing which family a
    sequence belongs to, and on shallow alignments it prefers models that predict effects worse than counting does
    (Non-identifiability and the Blessings of Misspecification in Models of Molecular Fitness, Weinstein et al., 2022,
    https://doi.org/10.1101/2022.01.29.478324). The rule was found on the alignments of three proteins.

    Args:
        depth: Effective sequences per modelled position.
        kinds: Of the members.

    >>> [round(share, 3) for share in shares(3.0, ["sites", "potts", "pairwise", "vae", "vae", "vae"])]
    [0.25, 0.188, 0.188, 0.125, 0.125, 0.125]
    """
    members = Counter(kinds)
    groups = Counter(KINDS[kind].knows for kind in members)
    coupled = [group for group in groups if group != "sites"]
    alone = 1.0 / (1.0 + depth / HALF_DEPTH) if coupled else 1.0
    if "sites" not in groups:
        alone = 0.0
    parts = {"sites": alone} | dict.fromkeys(coupled, (1.0 - alone) / max(1, len(coupled)))
    return tuple(parts[KINDS[k].knows] / groups[KINDS[k].knows] / members[k] for k in kinds)


def member_weights(share: Sequence[float], spread: Sequence[float]) -> Float64[np.ndarray, " members"]:
    r"""Weights that bring the scores to one spread before they are mixed, :math:`w_m = s_m \bar\sigma / \sigma_m`.

    :math:`\sigma_m` is the standard deviation of a member's scores over all single substitutions and
    :math:`\bar\sigma = \sum_m s_m \sigma_m`, so that the mixture stays in nats of a typical member. A member without
    spread gets no weight.
    """
    s, sigma = np.asarray(share, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    typical = float(s @ sigma)
    return np.where(sigma > 0, s * typical / np.where(sigma > 0, sigma, 1.0), 0.0)
