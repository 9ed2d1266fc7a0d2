"""Sites on their own: hand counts, weights, what is missing, and borrowing from one another."""

from __future__ import annotations

import pytest
import torch

from headwater.distributions.shared_fields import fit_shared_fields
from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.baselines.sites import Sites, SitesConfig
from headwater.networks.one_hot import OneHot
from headwater.rng import Rng
from headwater.testing import check_model

PLAIN = ContextSpec()
LABEL = ContextSpec(size=2, classes=("a", "b"))


def residues(size: int, classes: int) -> EventSpec:
    segment = Segment(support=Support.CATEGORICAL, size=size, classes=classes + 1, missing=True)
    return EventSpec(shape=(size,), segments=(segment,))


def test_counting_is_weighted_counts_and_a_pseudocount() -> None:
    model = Sites(SitesConfig(prior="counting"), residues(2, 3), PLAIN).double()
    x = torch.tensor([[0.0, 3.0], [0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    weight = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    model.fit(Batch(x, weight=weight), Rng.of(0, 3))
    first = torch.tensor([1.5, 0.0, 0.25], dtype=torch.float64) + 0.5
    second = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64) + 0.5
    expected = (first[2] / first.sum()).log() + (second[0] / second.sum()).log()
    assert float(model.log_prob(torch.tensor([[2.0, 0.0]]).double()).value) == pytest.approx(float(expected))
    assert float(model.log_prob(torch.full((1, 2), 3.0).double()).value) == 0
    ratio = model.log_ratio(torch.tensor([[2.0, 1.0]]).double(), torch.tensor([0.0, 1.0]).double())
    assert float(ratio.value) == pytest.approx(float((first[2] / first[0]).log()))
    assert ratio.kind == "exact"


@pytest.mark.parametrize("prior", ["shared", "counting"])
def test_a_weight_of_two_is_a_row_twice(prior: str) -> None:
    x = torch.randint(4, (40, 5), generator=torch.Generator().manual_seed(0)).double()
    twice, weighted = (
        Sites(SitesConfig.model_validate({"prior": prior}), residues(5, 3), PLAIN).double() for _ in "ab"
    )
    twice.fit(Batch(torch.cat([x, x[:10]])), Rng.of(0, 50))
    weighted.fit(Batch(x, weight=torch.tensor([2.0] * 10 + [1.0] * 30).double()), Rng.of(0, 40))
    assert torch.allclose(twice.logits, weighted.logits, atol=1e-9)


def test_a_missing_value_is_never_drawn_and_labels_have_sites_of_their_own() -> None:
    model = Sites(SitesConfig(), residues(3, 2), LABEL).double()
    x = torch.tensor([[0.0, 2.0, 2.0], [1.0, 2.0, 2.0]] * 30).double()
    context = torch.eye(2, dtype=torch.float64).repeat(30, 1)
    model.fit(Batch(x, context), Rng.of(0, 60))
    samples = model.sample(400, context=context[:1].expand(400, -1), rng=Rng.of(1, 400))
    assert samples.max() <= 1
    assert samples[:, 0].mean() < 0.1
    either = model.log_prob(torch.tensor([[0.0, 2.0, 2.0]]).double()).value.exp()
    assert float(either) == pytest.approx(0.5, abs=0.05)


def test_shared_fields_come_nearer_to_the_truth_than_counting() -> None:
    rng = torch.Generator().manual_seed(0)
    sites, classes = 150, 6
    pattern = torch.randn(classes, 2, generator=rng, dtype=torch.float64)
    truth = torch.randn(sites, 2, generator=rng, dtype=torch.float64) @ pattern.T
    p = torch.softmax(truth, dim=1)
    counts = torch.stack(
        [torch.multinomial(row, 12, replacement=True, generator=rng).bincount(minlength=6) for row in p]
    )
    shared = torch.log_softmax(fit_shared_fields(counts.double(), torch.ones(sites, classes) > 0).logits, dim=1)
    counted = torch.log((counts + 0.5) / (counts + 0.5).sum(dim=1, keepdim=True))
    loss = [float((p * (p.log() - q)).sum(dim=1).mean()) for q in (shared, counted)]
    assert loss[0] < 0.8 * loss[1]


def test_patterns_explain_the_covariance_and_leading_ones_come_first() -> None:
    rng = torch.Generator().manual_seed(0)
    counts = torch.randint(30, (40, 5), generator=rng).double()
    shared = fit_shared_fields(counts, torch.ones(40, 5) > 0)
    whole = shared.patterns(5)
    assert torch.allclose(whole @ whole.T, shared.covariance, atol=1e-10)
    assert torch.equal(whole[:, :2], shared.patterns(2))
    assert (whole.norm(dim=0)[:-1] >= whole.norm(dim=0)[1:]).all()
    assert float(shared.covariance.sum(dim=1).abs().max()) < 1e-10


@pytest.mark.parametrize("counts", [torch.zeros(1, 3), torch.tensor([[5000.0, 0.0, 0.0]]), torch.ones(1, 1)])
def test_few_sites_and_extreme_counts_stay_finite(counts: torch.Tensor) -> None:
    shared = fit_shared_fields(counts, counts >= 0)
    assert torch.isfinite(shared.logits).all()
    assert torch.isfinite(shared.covariance).all()


def test_one_hot_pads_classes_and_offsets_integers() -> None:
    whole = Segment(support=Support.INTEGER, low=-1, high=2)
    gapped = Segment(support=Support.CATEGORICAL, classes=3, missing=True)
    one_hot = OneHot(EventSpec(shape=(3,), segments=(whole, Segment(support=Support.BINARY), gapped)))
    assert (one_hot.sites, one_hot.classes) == (3, 4)
    assert one_hot.allowed.sum(dim=1).tolist() == [4, 2, 2]
    x = torch.tensor([[-1.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    assert one_hot.features(x).argmax(dim=2)[:, :2].tolist() == [[0, 1], [3, 0]]
    assert one_hot.observed(x).tolist() == [[1, 1, 0], [1, 1, 1]]
    drawn = one_hot.sample(torch.zeros(500, 3, 4), Rng.of(0, 500))
    assert drawn.amin(dim=0).tolist() == [-1, 0, 0]
    assert drawn.amax(dim=0).tolist() == [2, 1, 1]


def test_reals_and_integers_of_many_values_are_refused() -> None:
    with pytest.raises(UnsupportedEventError, match="support real"):
        Sites(SitesConfig(), EventSpec.real(2), PLAIN)
    with pytest.raises(UnsupportedEventError, match="integer of 1000 values"):
        Sites(SitesConfig(), EventSpec.pixels(1, 2, 2, levels=1000), PLAIN)


@pytest.mark.parametrize("prior", ["shared", "counting"])
def test_sites_obeys_the_laws(prior: str) -> None:
    check_model("sites", settings={"prior": prior})
