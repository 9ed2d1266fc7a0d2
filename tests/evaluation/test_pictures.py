"""An evaluation and a report of labelled pictures, by a small autoencoder trained for a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headwater
from headwater.evaluation.evaluate import evaluate_run
from headwater.evaluation.extractors import classifier, write_weights
from headwater.evaluation.report import write_report
from headwater.evaluation.spaces import PixelSpace


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r = np.random.default_rng(0)
    labels = r.integers(0, 2, 300)
    stripes = np.tile(np.arange(6) % 2, (6, 1))
    pictures = np.where(labels[:, None, None] == 1, stripes.T, stripes) * 120 + r.integers(0, 100, (300, 6, 6))
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, x=pictures.astype(np.uint8), y=labels)
    return path


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> headwater.Run:
    out = tmp_path_factory.mktemp("runs") / "vae"
    settings = {"data": {"kind": "images", "test": 0.3}, "training": {"batch_size": 32, "compile": "off"}}
    headwater.fit(data, "vae", out=out, label="y", steps=20, settings=settings)
    return headwater.load(out, device="cpu")


def test_pictures_are_measured_on_a_classifiers_features(run: headwater.Run) -> None:
    found = evaluate_run(run)
    assert found.failures == ()
    assert found.stamp.extractor == "classifier(seed 0)"
    recognition = found.figure("recognition")
    assert recognition is not None
    assert recognition.floor == 1.0
    assert found.likelihood is not None
    assert found.likelihood.dims == 36
    frechet = found.figure("frechet")
    assert frechet is not None
    assert frechet.floor is not None
    assert frechet.value > frechet.floor


def test_a_users_extractor_is_stamped(run: headwater.Run, tmp_path: Path) -> None:
    dataset = run.dataset()
    raw, labels = dataset.rows(dataset.splits["train"])
    assert labels is not None
    own = classifier(PixelSpace(raw.numpy()), raw.numpy(), labels.numpy(), steps=5, seed=4)
    write_weights(own, tmp_path / "own.safetensors")
    found = evaluate_run(run, extractor=tmp_path / "own.safetensors", metrics=("distances",), write=False)
    assert found.failures == ()
    assert found.stamp.extractor == "user(own.safetensors)"
    assert (
        found.stamp.extractor_fingerprint != run.folder.read_json("evaluation.json")["stamp"]["extractor_fingerprint"]
    )


def test_the_report_shows_reconstructions_and_interpolations(run: headwater.Run, tmp_path: Path) -> None:
    page = write_report(tmp_path / "report.html", [run.folder.path]).read_text(encoding="utf-8")
    for title in ("Samples", "Reconstructions", "Interpolations", "Training"):
        assert f"<h3>{title}</h3>" in page
    assert page.count("data:image/png;base64,") == 4
