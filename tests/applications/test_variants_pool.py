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
def test_shares_sum_to_one_and_alike_by_group_by_kind_and_by_member(depth: float, kinds: list[str]) -> None:
    found = shares(depth, kinds)
    assert sum(found) == pytest.approx(1.0)
    groups: dict[str, dict[str, list[float]]] = {}
    for kind, share in zip(kinds, found, strict=True):
        groups.setdefault(KINDS[kind].knows, {}).setdefault(kind, []).append(share)
    for own in groups.values():
        assert all(np.ptp(members) == 0 for members in own.values())
        assert np.ptp([sum(members) for members in own.values()]) < 1e-12
    coupled = [sum(map(sum, own.values())) for group, own in groups.items() if group != "sites"]
    assert np.ptp(coupled or [0.0]) < 1e-12


def test_shallow_alignments_lean_on_single_sites() -> None:
    kinds = ["counting", "sites", "potts", "vae"]
    sites = [sum(shares(depth, kinds)[:2]) for depth in (0.1, 1.0, 10.0)]
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
