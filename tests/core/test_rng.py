from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from headwater.rng import Rng


def test_a_row_is_the_same_in_any_batch() -> None:
    whole = Rng.of(3, 100).normal("x", 5)
    part = Rng.of(3, 10, start=40).normal("x", 5)
    assert torch.equal(whole[40:50], part)


def test_names_streams_and_seeds_are_independent() -> None:
    rng = Rng.of(0, 20_000)
    draws = [
        rng.normal("a", 1),
        rng.normal("b", 1),
        rng.fold("a").normal("a", 1),
        rng.fold(1).normal("a", 1),
        rng.fold(2).normal("a", 1),
        Rng.of(1, 20_000).normal("a", 1),
        Rng.of(0, 20_000, start=20_000).normal("a", 1),
        rng.fold_in(torch.tensor(7)).normal("a", 1),
        rng.repeat(2).normal("a", 1)[::2],
        rng.repeat(2).normal("a", 1)[1::2],
    ]
    correlation = np.corrcoef(torch.cat(draws, 1).T.numpy()) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_fold_in_of_a_tensor_is_fold_of_the_number() -> None:
    rng = Rng.of(0, 4)
    assert torch.equal(rng.fold(12).keys, rng.fold_in(torch.tensor(12)).keys)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_their_distributions(dtype: torch.dtype) -> None:
    rng = Rng.of(5, 500)
    assert stats.kstest(rng.uniform("u", 100, dtype=dtype).flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(rng.normal("n", 100, dtype=dtype).flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(rng.logistic("l", 100, dtype=dtype).flatten().numpy(), "logistic").pvalue > 1e-3
    assert stats.kstest(rng.gumbel("g", 100, dtype=dtype).flatten().numpy(), "gumbel_r").pvalue > 1e-3


def test_elements_of_a_row_are_independent() -> None:
    x = Rng.of(9, 30_000).uniform("u", 6).numpy()
    assert np.abs(np.corrcoef(x.T) - np.eye(6)).max() < 5 / np.sqrt(30_000)


def test_uniform_never_reaches_its_ends() -> None:
    u = Rng.of(0, 4000).uniform("u", 1000)
    assert u.min() > 0
    assert u.max() < 1
    assert torch.isfinite(Rng.of(0, 4000).normal("u", 1000)).all()


def test_categorical_and_bernoulli_frequencies() -> None:
    rng = Rng.of(2, 40_000)
    logits = torch.tensor([0.1, 0.6, 0.3]).log().expand(40_000, 3)
    counts = torch.bincount(rng.categorical("c", logits), minlength=3).numpy()
    assert stats.chisquare(counts, 40_000 * np.array([0.1, 0.6, 0.3])).pvalue > 1e-3
    ones = rng.bernoulli("b", torch.full((40_000,), 0.2)).sum().item()
    assert stats.binomtest(int(ones), 40_000, 0.2).pvalue > 1e-3


def test_bits_of_a_known_seed_never_change() -> None:
    """Samples of a published recipe must be the same for ever."""
    assert Rng.of(0, 2).bits("x", 2).tolist() == PINNED


PINNED = [[-3851433966505514399, -8597653834718948092], [877425204769358127, 3693469891407085338]]
