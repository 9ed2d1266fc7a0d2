"""What a run writes and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from headwater.data.codec import Codec
from headwater.errors import ResourceError
from headwater.models.base import Batch
from headwater.progress import SilentProgress
from headwater.rng import Rng
from headwater.runs.checkpoint import load_checkpoint
from headwater.runs.folder import RunFolder
from headwater.training import compiling
from headwater.training.compiling import compiled_loss
from headwater.training.distributed import Ranks
from headwater.training.dryrun import dry_run
from headwater.training.feed import Feed
from headwater.training.precision import products
from tests.training.stand_ins import Plain, Tiny, Two, arrays, digits, fit, run_settings, weights
from tests.training.test_faults import start


def _rows(path: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in RunFolder(path).read_metrics() if row.get("kind") == kind]


def test_a_run_learns_and_logs(tmp_path: Path) -> None:
    result = fit(tmp_path / "run", run_settings("tiny", steps=200, evaluate_every=20, patience=None))
    valid = [row["nll"] for row in _rows(tmp_path / "run", "valid")]
    assert valid[-1] < valid[0] - 0.5
    assert [row["step"] for row in _rows(tmp_path / "run", "train")] == list(range(10, 201, 10))
    assert {"loss", "nll", "spread", "grad_norm", "lr", "time"} <= _rows(tmp_path / "run", "train")[0].keys()
    assert result.best is not None
    assert result.best.value == pytest.approx(min(valid[1:]))
    assert load_checkpoint(RunFolder(tmp_path / "run"), "best", strict=True).step == result.best.step
    assert list(RunFolder(tmp_path / "run").samples.glob("step-*.csv"))


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    fit(tmp_path / "a", run_settings("tiny"))
    torch.rand(3)
    fit(tmp_path / "b", run_settings("tiny"))
    fit(tmp_path / "c", run_settings("tiny", seed=4))
    assert weights(tmp_path / "a", 12) == weights(tmp_path / "b", 12) != weights(tmp_path / "c", 12)
    torch.set_rng_state(before)


def test_early_stopping(tmp_path: Path) -> None:
    slow = {"lr": 1e-12, "schedule": "constant"}
    result = fit(
        tmp_path / "run", run_settings("tiny", steps=100, evaluate_every=2, patience=3, ema=0.0, optimizer=slow)
    )
    assert result.stopped_because == "patience"
    assert result.step < 100


def test_two_players_are_watched_by_a_distance(tmp_path: Path) -> None:
    fit(tmp_path / "run", run_settings("two"))
    row = _rows(tmp_path / "run", "train")[0]
    assert {"critic.loss", "critic.gap", "critic.grad_norm", "generator.loss", "generator.grad_norm"} <= row.keys()
    assert all("energy_distance" in row for row in _rows(tmp_path / "run", "valid"))


def test_pictures_get_a_sheet(tmp_path: Path) -> None:
    fit(tmp_path / "run", run_settings("tiny"), digits())
    sheets = sorted(RunFolder(tmp_path / "run").samples.glob("*.png"))
    assert [sheet.name for sheet in sheets] == ["step-000006.png", "step-000012.png"]
    with Image.open(sheets[0]) as picture:
        assert picture.format == "PNG"


def test_closed_form_is_one_checkpoint(tmp_path: Path) -> None:
    dataset = arrays()
    result = fit(tmp_path / "run", run_settings("closed"), dataset)
    assert (result.step, result.stopped_because) == (1, "fitted")
    groups = load_checkpoint(RunFolder(tmp_path / "run"), strict=True).groups
    codec = Codec.fit(dataset, Tiny.encoding)
    raw, _ = dataset.rows(dataset.splits["train"])
    x, _ = codec.encode(raw, Rng.of(0, len(raw)))
    assert torch.allclose(groups["model"]["mean"], x.mean(dim=0), atol=1e-5)
    assert "ema" not in groups
    assert fit(tmp_path / "run", run_settings("closed"), dataset, resume=True).step == 1


@pytest.mark.parametrize("precision", ["float64", "bfloat16", "reduced"])
def test_precisions(tmp_path: Path, precision: str) -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    fit(tmp_path / "run", run_settings("tiny", precision=precision))
    weight = load_checkpoint(RunFolder(tmp_path / "run"), strict=True).groups["model"]["out.weight"]
    assert weight.dtype == (torch.float64 if precision == "float64" else torch.float32)
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    train = _rows(tmp_path / "run", "train")[0]["loss"]
    fit(tmp_path / "plain", run_settings("tiny"))
    assert train == pytest.approx(_rows(tmp_path / "plain", "train")[0]["loss"], rel=0.05)


def _feed(**training: Any) -> Feed:
    settings = run_settings("tiny", **training)
    dataset = arrays()
    return Feed(dataset, Codec.fit(dataset, Tiny.encoding), settings, torch.device("cpu"), Ranks(settings, world=1))


def test_label_dropout_hides_whole_contexts_at_its_rate() -> None:
    feed = _feed(label_dropout=0.3, batch_size=2000)
    batch, _ = feed.batch(0, 0, 0.0)
    assert batch.context is not None
    hidden = (batch.context == 0).all(dim=1).double().mean()
    assert float(hidden) == pytest.approx(0.3, abs=0.04)
    assert set(batch.context.sum(dim=1).tolist()) == {0.0, 1.0}
    none, _ = _feed(label_dropout=0.0).batch(0, 0, 0.0)
    assert none.context is not None
    assert bool((none.context.sum(dim=1) == 1).all())


def test_a_row_that_comes_twice_in_a_batch_has_noise_of_its_own() -> None:
    _, rng = _feed(batch_size=500).batch(0, 0, 0.0)
    assert len(set(rng.keys.tolist())) == 500
    assert set(_feed(batch_size=500).batch(0, 1, 0.0)[1].keys.tolist()).isdisjoint(rng.keys.tolist())


def test_i6_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = run_settings("two")
    dataset = arrays()
    shown = dry_run(dataset, Codec.fit(dataset, Two.encoding), settings)
    assert list(tmp_path.iterdir()) == []
    assert shown.parameters == {"critic": (6 * 8 + 8) + (8 + 1), "generator": 6 * 3 + 3}
    assert shown.steps == 12
    text = str(shown)
    assert all(word in text for word in ("event", "parameters", "memory", "disk", "time", "critic 65, generator 21"))
    with pytest.raises(ResourceError):
        dry_run(dataset, Codec.fit(dataset, Two.encoding), settings.model_copy(update={"device": "cuda:99"}))


class _Notes(SilentProgress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_without_a_compiler_training_goes_on_uncompiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.compilers.shutil.which", lambda name: None)
    notes = _Notes()
    result = fit(tmp_path / "run", run_settings("plain", compile="on"), progress=notes)
    assert result.step == 12
    assert any("no C++ compiler was found" in note for note in notes.notes)
    assert compiling.can_compile(Two.__new__(Two), torch.device("cpu")).startswith("this model differentiates twice")


def test_compiled_and_plain_runs_agree(tmp_path: Path) -> None:
    """In a process without the tests' shape checks, through which the compiler cannot see."""
    process = start(str(tmp_path / "fast"), "compiled", "plain")
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    fit(tmp_path / "plain", run_settings("plain"))
    events = [row["event"] for row in RunFolder(tmp_path / "fast").read_metrics() if "event" in row]
    assert events == ["compiled"]
    for kind in ("train", "valid"):
        fast, plain = _rows(tmp_path / "fast", kind), _rows(tmp_path / "plain", kind)
        for a, b in zip(fast, plain, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert load_checkpoint(RunFolder(tmp_path / "fast")).state["training"]["compiled"] is True


def test_a_compiler_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec.fit(arrays(), Plain.encoding)
    model = Plain(Plain.Config(), codec.event, codec.context)

    def wrong(loss: Any, **options: Any) -> Any:
        return lambda *args: loss(*args)._replace(total=loss(*args).total * 1.1)

    monkeypatch.setattr(compiling, "can_compile", lambda model, device: "")
    monkeypatch.setattr(compiling.torch, "compile", wrong)
    notes = _Notes()
    _, worked = compiled_loss(model, Batch(torch.randn(16, 3)), Rng.of(0, 16), notes)
    assert not worked
    assert any("loss and gradient norm of 'model'" in note for note in notes.notes)


def test_reduced_products_reach_the_step_and_nothing_else() -> None:
    seen = []
    with products("reduced"):
        seen.append(torch.backends.mkldnn.matmul.fp32_precision)
    with products("float32"):
        seen.append(torch.backends.mkldnn.matmul.fp32_precision)
    assert seen[0] == "bf16"
    assert seen[1] != "bf16"
    with pytest.raises(ZeroDivisionError), products("reduced"):
        _ = 1 / 0
    assert torch.backends.mkldnn.matmul.fp32_precision == seen[1]
