"""A Potts model's energies, ratios, pseudo-likelihood and samples, against enumeration of a tiny one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.energies.potts import Potts, PottsConfig
from headwater.networks.pairwise import Couplings
from headwater.rng import Rng
from headwater.testing import check_model

PLAIN = ContextSpec()


def residues(size: int, classes: int, *, missing: bool = False) -> EventSpec:
    segment = Segment(support=Support.CATEGORICAL, size=size, classes=classes + missing, missing=missing)
    return EventSpec(shape=(size,), segments=(segment,))


def every(size: int, classes: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(classes), repeat=size)), dtype=torch.float64)


def random_potts(event: EventSpec, *, scale: float = 0.8, patterns: int | None = None) -> Potts:
    """A model with random fields and couplings, initialized on random events."""
    torch.manual_seed(0)
    model = Potts(PottsConfig(patterns=patterns), event, PLAIN).double()
    classes = event.segments[0].classes or 2
    model.initialize(Batch(torch.randint(classes, (200, event.size)).double()), Rng.of(0, 200))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


def blocks(model: Potts) -> tuple[Tensor, Tensor]:
    """``f`` (L, C) and ``J`` (L, C, L, C) acting on one-hot rows, with the centring worked into the fields."""
    network = model.network
    sites, classes, width = network.one_hot.sites, network.one_hot.classes, network.width
    j = network.couplings.dense().reshape(sites, width, sites, width)
    j = torch.einsum("ap,ipjq,bq->iajb", network.basis, j, network.basis)
    return network.fields - torch.einsum("iajb,jb->ia", j, network.expected()), j.reshape(
        sites, classes, sites, classes
    )


@torch.no_grad()
@pytest.mark.parametrize("patterns", [None, 2])
def test_ratios_are_differences_of_brute_force_energies(patterns: int | None) -> None:
    model = random_potts(residues(4, 3), patterns=patterns)
    fields, j = blocks(model)
    x = every(4, 3)

    def brute(row: Tensor) -> Tensor:
        codes = [int(v) for v in row]
        alone = sum(fields[i, a] for i, a in enumerate(codes))
        pairs = itertools.combinations(enumerate(codes), 2)
        return torch.as_tensor(alone + sum(j[i, a, k, b] for (i, a), (k, b) in pairs))

    expected = torch.stack([brute(row) - brute(x[5]) for row in x])
    score = model.log_ratio(x, x[5])
    assert score.kind == "exact"
    assert torch.allclose(score.value, expected, atol=1e-10)


@torch.no_grad()
def test_conditionals_are_those_of_the_joint() -> None:
    model = random_potts(residues(3, 3))
    x = every(3, 3)
    joint = (-model.energy(x)).softmax(dim=0).reshape(3, 3, 3)
    each = model.one_hot.log_prob(model.network(x), x).exp().reshape(3, 3, 3, 3)
    for site in range(3):
        assert torch.allclose(each[..., site], joint / joint.sum(dim=site, keepdim=True), atol=1e-10)


@torch.no_grad()
def test_a_missing_value_has_no_energy_and_is_never_drawn() -> None:
    model = random_potts(residues(5, 3, missing=True))
    x = torch.tensor([[0.0, 3.0, 1.0, 3.0, 2.0]], dtype=torch.float64)
    assert model.network.features(x)[0, 1].abs().sum() == 0
    elements = model.one_hot.log_prob(model.network(x), x)[0]
    assert elements[1] == 0
    assert (elements[[0, 2, 4]] < 0).all()
    everything = torch.full((1, 5), 3.0, dtype=torch.float64)
    assert float(model.energy(everything)) == pytest.approx(0, abs=1e-12)
    assert model.sample(200, rng=Rng.of(0, 200), sweeps=3).max() == 2


@torch.no_grad()
@pytest.mark.parametrize("patterns", [None, 2])
def test_gibbs_samples_follow_the_enumerated_model(patterns: int | None) -> None:
    model, n = random_potts(residues(3, 3), patterns=patterns), 8000
    x = every(3, 3)
    mass = (-model.energy(x)).softmax(dim=0)
    samples = model.sample(n, rng=Rng.of(3, n), sweeps=30)
    counts = (samples[:, None] == x).all(dim=2).sum(dim=0)
    chi_square = float(((counts - n * mass) ** 2 / (n * mass).clamp(min=0.5)).sum())
    assert chi_square < 27 + 6 * 54**0.5


@torch.no_grad()
def test_low_temperature_samples_lie_low() -> None:
    model = random_potts(residues(6, 4))
    cold, warm = (model.energy(model.sample(300, rng=Rng.of(1, 300), temperature=t)).mean() for t in (0.3, 1.0))
    assert cold < warm - 1


def test_pseudo_likelihood_recovers_known_couplings() -> None:
    truth = random_potts(residues(4, 3), scale=0.6)
    data = truth.sample(20_000, rng=Rng.of(7, 20_000), sweeps=30)
    model = Potts(PottsConfig(couplings=100.0, fields=100.0), truth.event, PLAIN).double()
    model.initialize(Batch(data), Rng.of(0, len(data)))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = model.loss(Batch(data), "model", Rng.of(0, len(data))).total
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        x = every(4, 3)
        found, known = (m.log_ratio(x, x[0]).value for m in (model, truth))
        likely = (-truth.energy(x)).softmax(dim=0)
        error = ((found - found @ likely) - (known - known @ likely)).pow(2) @ likely
    assert float(error) < 0.01


@torch.no_grad()
@pytest.mark.parametrize("symmetric", [True, False])
def test_blocks_of_couplings_are_the_dense_matrix(symmetric: bool) -> None:
    torch.manual_seed(0)
    couplings = Couplings(300, 5, symmetric=symmetric)
    assert len(couplings.spans) > 1
    for parameter in couplings.parameters():
        parameter.normal_()
    h, dense = torch.randn(3, 1500), couplings.dense()
    assert torch.allclose(couplings(h), h @ dense, atol=1e-3)
    by_site = dense.reshape(300, 5, 300, 5).abs().sum(dim=(1, 3))
    assert torch.equal(by_site > 0, ~torch.eye(300, dtype=torch.bool) if symmetric else by_site.triu(1) > 0)
    assert float(couplings.square_sum()) == pytest.approx(float(dense.pow(2).sum()) / (1 + symmetric), rel=1e-4)


def test_memory_stays_bounded_where_sites_are_many() -> None:
    model = Potts(PottsConfig(), residues(2000, 20, missing=True), PLAIN)
    assert model.network.width == 3
    assert sum(p.numel() for p in model.parameters()) < 25e6


def test_reals_are_refused_with_a_model_that_takes_them() -> None:
    with pytest.raises(UnsupportedEventError, match="support real") as caught:
        Potts(PottsConfig(), EventSpec.real(3), PLAIN)
    assert "made" in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"patterns": 2}])
def test_potts_obeys_the_laws(settings: dict[str, int]) -> None:
    check_model("potts", settings=settings)


def test_the_prior_of_couplings_fades_with_events_per_site() -> None:
    model = Potts(PottsConfig(), residues(6, 4), PLAIN)
    found = []
    for rows in (1.0, 6.0, 60.0, 600.0):
        model.network.rows.fill_(rows)
        found.append(float(model.strength()))
    assert found == pytest.approx([0.5, 0.5, 0.5 * 10**0.5, 5.0])
    assert Potts(PottsConfig(couplings=2.0), residues(6, 4), PLAIN).strength() == 2.0
