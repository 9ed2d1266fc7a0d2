"""The user's handle: samples and scores in the data's own form; B5, B6; weights that fit or are named."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from headwater.errors import CheckpointError, ConfigError, DivergenceError, UsageError
from headwater.progress import SilentProgress
from headwater.runs.checkpoint import save_checkpoint
from headwater.runs.folder import RunFolder
from headwater.runs.run import Run
from headwater.runs.sampling import check_finite
from headwater.runs.scoring import combine
from headwater.runs.weights import read_safetensors
from headwater.scores import Score
from tests.runs.toy import CLASSES, Toy, make_run, picture_data, real_data, whole_data


@pytest.fixture(autouse=True)
def _toy_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.runs.build.load_class", lambda name: Toy)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.load(make_run(tmp_path / "real", real_data()), device="cpu")


@pytest.fixture
def whole(tmp_path: Path) -> Run:
    return Run.load(make_run(tmp_path / "whole", whole_data()), device="cpu")


def test_what_a_run_knows(run: Run) -> None:
    assert (run.name, run.step, run.settings.seed, run.schema.kind) == ("real", 10, 4, "arrays")
    assert not run.model.training
    assert not any(parameter.requires_grad for parameter in run.model.parameters())
    assert repr(run) == "Run('real', model='toy', step=10)"


def test_the_average_goes_over_the_last_weights(run: Run) -> None:
    assert isinstance(run.model, Toy)
    assert torch.equal(run.model.shift, torch.full((2,), 0.25))
    last = Run.load(run.folder.path, weights="model", device="cpu").model
    assert isinstance(last, Toy)
    assert torch.equal(last.shift, torch.zeros(2))
    assert last.given is not None
    assert run.model.given is not None
    assert torch.equal(last.given, run.model.given)


def test_samples_are_what_was_trained_on_and_never_depend_on_the_batch(run: Run) -> None:
    samples = run.sample(50, label="dog", seed=3)
    values = samples[0] if isinstance(samples, tuple) else samples
    assert isinstance(values, np.ndarray)
    assert values.shape == (50, 2)
    events = run.sample_events(50, label="dog", seed=3)
    for batch_size in (1, 7, 50, 1000):
        assert torch.equal(run.sample_events(50, label="dog", seed=3, batch_size=batch_size), events)
    assert torch.equal(run.sample_events(20, label="dog", seed=3), events[:20])
    assert not torch.equal(run.sample_events(50, label="dog", seed=4), events)
    cold = run.sample_events(50, label="dog", seed=3, temperature=0.5)
    assert torch.allclose(cold - 0.25 - cold.new_tensor([4, 0]), (events - 0.25 - events.new_tensor([4, 0])) / 2)


def test_labels(run: Run, tmp_path: Path) -> None:
    cats, dogs = (run.sample_events(200, label=name)[:, 0].mean() for name in CLASSES)
    assert cats < -3 < 3 < dogs
    mixed = run.sample_events(4, label=["cat", "dog", "dog", "cat"])
    assert (mixed[:, 0] > 0).tolist() == [False, True, True, False]
    with pytest.raises(UsageError, match=r"'cart'.*\n.*'cat'"):
        run.sample(3, label="cart")
    with pytest.raises(UsageError, match="got 2"):
        run.sample(3, label=["cat", "dog"])
    frequent = Run.load(make_run(tmp_path / "counted", real_data(), label_counts=[300, 100]), device="cpu")
    drawn = frequent.labels(None, 4000)
    assert drawn is not None
    assert abs(drawn.double().mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)
    more = frequent.labels(None, 5000)
    assert more is not None
    assert torch.equal(more[:4000], drawn)


def test_what_cannot_be_asked_of_it(run: Run, whole: Run) -> None:
    with pytest.raises(ConfigError, match=r"temprature.*\n.*temperature"):
        run.sample(3, temprature=0.5)
    with pytest.raises(ConfigError, match="tolerence"):
        run.log_prob(np.zeros((1, 2)), tolerence=1)
    for n in (0, -1):
        with pytest.raises(UsageError, match="at least 1"):
            run.sample(n)
    with pytest.raises(UsageError, match="batch_size"):
        run.sample(3, batch_size=0)
    with pytest.raises(UsageError, match="draws"):
        run.log_prob(np.zeros((1, 2)), draws=0)
    with pytest.raises(UsageError, match="without labels"):
        whole.sample(3, label="cat")
    with pytest.raises(UsageError, match="weights"):
        Run.load(run.folder.path, weights="emma")


def test_the_density_is_one_of_the_data_in_its_own_units(run: Run) -> None:
    """The toy is a normal distribution around the label's mean: quadrature over the data's own axes gives one."""
    a, b = np.linspace(-30, 32, 240), np.linspace(-45, 40, 240)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    cell = (a[1] - a[0]) * (b[1] - b[0])
    for label in (None, "cat", "dog"):
        score = run.log_prob(grid, label=label)
        assert score.kind == "exact"
        assert score.stderr is None
        assert abs(float(score.value.exp().sum()) * cell - 1) < 1e-3


def test_dequantized_scores_are_bounds_that_more_draws_tighten(whole: Run) -> None:
    cells = np.stack(np.meshgrid(np.arange(5), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2)
    one, many = (whole.log_prob(np.repeat(cells, 20, axis=0), draws=draws) for draws in (1, 100))
    assert one.kind == many.kind == "lower bound"
    assert one.stderr is None
    assert many.stderr is not None
    assert many.protocol["codec_draws"] == 100
    assert float(one.value.mean()) < float(many.value.mean())
    sums = many.value.exp().reshape(20, 20).sum() / 20
    error = (many.value.exp() * many.stderr).square().sum().sqrt() / 20
    assert abs(float(sums) - 1) < 5 * float(error) < 0.1


def test_scores_do_not_depend_on_the_batch(whole: Run) -> None:
    raw, labels = whole.read(np.random.default_rng(1).integers(0, 4, (40, 2)))
    all_at_once = whole.score_raw(raw, labels, draws=3)
    for batch_size in (1, 7):
        assert torch.allclose(whole.score_raw(raw, labels, draws=3, batch_size=batch_size).value, all_at_once.value)
    assert not torch.equal(whole.score_raw(raw, labels, draws=3, seed=1).value, all_at_once.value)


def test_combining_draws_agrees_with_arithmetic() -> None:
    p = torch.tensor([[0.2, 0.5], [0.4, 0.5], [0.9, 0.0]], dtype=torch.float64)
    combined = combine([Score(row.log(), "lower bound") for row in p])
    assert torch.allclose(combined.value, p.mean(dim=0).log())
    assert combined.stderr is not None
    assert torch.allclose(combined.stderr, p.std(dim=0) / p.mean(dim=0) / math.sqrt(3))
    impossible = combine([Score(torch.tensor([-math.inf]), "exact")] * 2)
    assert impossible.value.item() == -math.inf
    own = torch.full((2,), 2.0, dtype=torch.float64)
    noisy = combine([Score(row.log(), "estimate", own) for row in p[:2]])
    weights = p[:2] / p[:2].sum(dim=0)
    assert noisy.stderr is not None
    assert torch.allclose(noisy.stderr, 2 * weights.square().sum(dim=0).sqrt())


def test_codes_lead_back(run: Run) -> None:
    data = np.random.default_rng(0).normal(size=(6, 2))
    codes = run.encode(data, label="cat")
    assert codes.shape == (6, 2)
    back = run.decode(codes, label="cat")
    assert np.allclose(back[0] if isinstance(back, tuple) else back, data, atol=1e-5)


def test_spoiled_samples_are_counted_and_reported_not_mended(tmp_path: Path) -> None:
    few = Run.load(make_run(tmp_path / "few", real_data(), spoil=0.003), device="cpu")
    told = SilentProgress()
    samples = few.sample(1000, seed=1, progress=told)
    values = samples[0] if isinstance(samples, tuple) else samples
    spoiled = np.flatnonzero(np.isnan(values).any(axis=1))
    assert len(values) == 1000
    assert 0 < len(spoiled) < 10
    assert any(f"{len(spoiled)} of 1000 samples" in warning and str(spoiled[0]) in warning for warning in told.warnings)
    with pytest.warns(UserWarning, match="of 1000 samples"):
        few.sample(1000, seed=1)
    many = Run.load(make_run(tmp_path / "many", real_data(), spoil=0.2), device="cpu")
    with pytest.raises(DivergenceError, match="of 1000 samples") as caught:
        many.sample(1000)
    assert caught.value.exit_code == 4


def test_exactly_one_percent_is_tolerated() -> None:
    events = torch.zeros(100, 2, 2)
    events[3, 1, 1] = math.inf
    told = SilentProgress()
    assert check_finite(events, told) == [3]
    assert check_finite(torch.zeros(3, 1), told) == []
    with pytest.raises(DivergenceError):
        check_finite(events[:99], told)


def test_an_inverse_that_misses_is_flagged_or_refused(tmp_path: Path, run: Run) -> None:
    data = np.zeros((5, 2))
    assert float(run.log_prob(data).protocol["round_trip_error"]) < 1e-5
    told = SilentProgress()
    flagged = Run.load(make_run(tmp_path / "flagged", real_data(), skew=0.05), device="cpu")
    assert "warning" in flagged.log_prob(data, progress=told).protocol
    assert any("round-trip" in warning for warning in told.warnings)
    refused = Run.load(make_run(tmp_path / "refused", real_data(), skew=3.0), device="cpu")
    with pytest.raises(DivergenceError, match="does not invert itself"):
        refused.log_prob(data)
    allowed = refused.log_prob(data, allow_inexact=True, progress=told)
    assert float(allowed.protocol["round_trip_error"]) > 0.1


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", real_data())
    (path / "config.toml").write_text('[model]\nname = "toy"\nwidth = 5\n')
    with pytest.raises(CheckpointError, match=r"unused\.0\.weight is \(3, 3\), the model has \(5, 5\)"):
        _ = Run.load(path, device="cpu").model
    folder = RunFolder.open(path)
    tensors = read_safetensors(folder.checkpoints / "000010" / "model.safetensors")
    tensors.pop("shift")
    (path / "config.toml").write_text('[model]\nname = "toy"\n')
    save_checkpoint(folder, 11, {"model": tensors}, {}, keep=1)
    with pytest.raises(CheckpointError, match=r"- shift \(2,\) is missing"):
        _ = Run.load(path, device="cpu").model


def test_a_recipe_says_how_to_make_it_again(run: Run) -> None:
    recipe = run.recipe(n=3, seed=5, label="cat", temperature=0.5)
    wanted = {"run": "real", "model": "toy", "step": 10, "weights": "ema", "n": 3, "seed": 5, "label": "cat"}
    assert wanted.items() <= recipe.items()
    assert recipe["checkpoint"] == run.checkpoint.digest
    assert recipe.keys() >= {"headwater", "torch", "temperature"}


def test_pictures(tmp_path: Path) -> None:
    run = Run.load(make_run(tmp_path / "pictures", picture_data(), ema=False), device="cpu")
    samples = run.sample(5)
    assert samples.shape == (5, 1, 4, 6)
    assert samples.dtype == np.uint8
    assert run.recipe()["weights"] == "model"


def test_a_model_without_density_says_which_have_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.runs import scoring

    class Nothing:
        pass

    monkeypatch.setattr(scoring, "Density", Nothing)
    monkeypatch.setattr(scoring, "densities", lambda: ("made", "nsf"))
    with pytest.raises(UsageError, match=r"Toy has no density(.|\n)*made, nsf"):
        run.log_prob(np.zeros((1, 2)))


def test_the_real_registry_knows_its_densities() -> None:
    from headwater.runs.scoring import densities

    assert {"nsf", "made"} <= set(densities())
    assert "gan" not in densities()
