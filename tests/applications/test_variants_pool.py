"""Shares and running moments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.applications.variants.members import KINDS, plan_members
from headwater.applications.variants.moments import Moments
from headwater.applications.variants.pool import member_weights, shares
from headwater.errors import UsageError


@given(st.floats(0, 1e4), st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=8))
def test_shares_sum_to_one_and_kinds_count_alike(depth: float, kinds: list[str]) -> None:
    independent = [kind in ("counting", "sites") for kind in kinds]
    found = np.array(shares(depth, kinds, independent))
    assert found.sum() == pytest.approx(1.0)
    for flag in (True, False):
        totals = {
            kind: found[[k == kind for k in kinds]].sum()
            for kind, own in zip(kinds, independent, strict=True)
            if own == flag
        }
        assert np.ptp(list(totals.values()) or [0.0]) < 1e-12


def test_shallow_alignments_lean_on_single_sites() -> None:
    kinds, independent = ["counting", "sites", "potts", "vae"], [True, True, False, False]
    sites = [sum(shares(depth, kinds, independent)[:2]) for depth in (0.1, 1.0, 10.0)]
    assert sites == pytest.approx([1 / 1.1, 0.5, 1 / 11])


def test_members_are_brought_to_one_spread() -> None:
    weights = member_weights([0.5, 0.25, 0.25], [2.0, 1.0, 0.0])
    assert weights[0] * 2.0 == pytest.approx(2 * weights[1] * 1.0)
    assert weights[2] == 0.0


def test_rounds_of_draws_merge_to_the_moments_of_all() -> None:
    draws = np.random.default_rng(0).normal(3, 2, (3, 60))
    moments, start = Moments(3), 0
    for count in (16, 4, 40):
        part = draws[:, start : start + count]
        moments.add(np.ones(3, dtype=bool), part.mean(1), part.std(1, ddof=1) / np.sqrt(count), count)
        start += count
    np.testing.assert_allclose(moments.mean, draws.mean(1))
    np.testing.assert_allclose(moments.stderr, draws.std(1, ddof=1) / np.sqrt(60))


def test_counting_always_comes_along_and_unknown_kinds_are_named() -> None:
    assert [member.name for member in plan_members(["potts"])] == ["counting", "potts"]
    assert [member.seed for member in plan_members(["vae"], seeds=3, seed=7)] == [7, 7, 8, 9]
    with pytest.raises(UsageError, match=r"There is no kind of member 'pots'\.\nDid you mean 'potts'"):
        plan_members(["pots"])
    with pytest.raises(UsageError, match="one seed or more"):
        plan_members(seeds=0)
