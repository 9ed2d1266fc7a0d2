"""Plots of small runs: the right files, the same bytes again, what is not drawn is said, and what is drawn is true."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import headwater
from headwater.bijections.combinators import layers
from headwater.errors import MissingExtraError, UsageError
from headwater.evaluation.canvas import gif_bytes
from headwater.evaluation.plot import Plots, plot_run
from headwater.evaluation.way import between, titles
from headwater.events import ContextSpec, EventSpec
from headwater.models.diffusions.flow_matching import FlowMatching
from headwater.models.diffusions.options import FlowMatchingConfig
from headwater.models.flows.realnvp import RealNVP, RealNVPConfig

SMALL: dict[str, Any] = {"transforms": 2, "width": 8, "blocks": 1}


def fitted(data: Any, model: str, folder: Path, **settings: Any) -> tuple[headwater.Run, Any]:
    run = headwater.fit(data, model, out=folder, device="cpu", **settings)
    return run, run.dataset(data)


def drawn(run: headwater.Run, dataset: Any, out: Path, **options: Any) -> Plots:
    return plot_run(run, out, dataset=dataset, n=60, **options)


def names(plots: Plots) -> set[str]:
    return {path.name for path in plots.written}


def texts(path: Path) -> int:
    return len(list(ElementTree.fromstring(path.read_text()).iter("{http://www.w3.org/2000/svg}g")))


def test_two_columns_show_density_samples_and_way_and_the_same_bytes_again(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    run, dataset = fitted(x, "realnvp", tmp_path / "run", steps=5, **SMALL)
    first = drawn(run, dataset, tmp_path / "a", frames=3)
    assert names(first) == {"density.svg", "samples.svg", "way.svg", "way.gif"}
    assert first.left_out == ()
    again = drawn(run, dataset, tmp_path / "b", frames=3)
    for a, b in zip(first.written, again.written, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.suffix == ".gif" or texts(a) > 5
    with Image.open(tmp_path / "a" / "way.gif", formats=["GIF"]) as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="exists already"):
        drawn(run, dataset, tmp_path / "a")
    with pytest.raises(UsageError, match="no column 'x9'"):
        drawn(run, dataset, tmp_path / "c", columns=("x9",))
    with pytest.raises(UsageError, match="frames = 0 or >= 2"):
        drawn(run, dataset, tmp_path / "c", frames=1)


def test_one_column_with_labels_is_a_mixture_over_them(tmp_path: Path) -> None:
    import polars

    r = np.random.default_rng(0)
    kind = r.integers(0, 2, 200)
    frame = polars.DataFrame({"x": r.normal(size=200) + 4 * kind, "kind": np.where(kind, "up", "down")})
    run, dataset = fitted(frame, "realnvp", tmp_path / "run", steps=5, label="kind", **SMALL)
    plots = drawn(run, dataset, tmp_path / "a", frames=3)
    assert "way.gif" in names(plots)
    assert "samples.svg" in names(plots)


def test_a_table_of_mixed_columns_shows_chosen_pairs(tmp_path: Path) -> None:
    import polars

    r = np.random.default_rng(0)
    city = r.choice(["Bern", "Oslo"], 200)
    frame = polars.DataFrame(
        {"a": r.normal(size=200), "b": r.exponential(size=200), "c": r.normal(size=200), "city": city}
    )
    run, dataset = fitted(frame, "gaussian-mixture", tmp_path / "run")
    plots = drawn(run, dataset, tmp_path / "a", columns=("city", "a", "b"))
    assert names(plots) == {"samples.svg"}
    assert names(drawn(run, dataset, tmp_path / "a", columns=("a",), exist_ok=True)) == {"samples.svg"}
    assert plots.left_out == (
        "density: rows of 4 columns; it is drawn for one or two.",
        "way: gaussian-mixture does not map noise to events and back.",
    )


@pytest.mark.parametrize("model", ["realnvp", "independent"])
def test_pictures_grow_out_of_noise_where_the_model_maps_it(model: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (60, 4, 4)).astype("uint8")
    settings = {"steps": 3, **SMALL} if model == "realnvp" else {}
    run, dataset = fitted(x, model, tmp_path / "run", settings={"data": {"kind": "images"}}, **settings)
    plots = drawn(run, dataset, tmp_path / "a", frames=3)
    expected = {"samples.svg", "way.svg", "way.gif"} if model == "realnvp" else {"samples.svg"}
    assert names(plots) == expected
    assert "density: events are pictures." in plots.left_out


def test_without_the_data_only_samples_are_drawn_and_a_warning_is_given(tmp_path: Path) -> None:
    from headwater.progress import SilentProgress

    run = headwater.fit(np.random.default_rng(0).normal(size=(100, 2)), "independent", out=tmp_path / "run")
    progress = SilentProgress()
    plots = plot_run(run, n=20, progress=progress)
    assert [path.parent for path in plots.written] == [run.path / "plots"] * 2
    assert "the data cannot be read" in progress.warnings[0]


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = headwater.fit(np.random.default_rng(0).normal(size=(100, 2)), "independent", out=tmp_path / "run")
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"(?s)Plotting needs.*headwater\[report\]"):
        plot_run(run, tmp_path / "a", n=20)


def test_stages_begin_with_the_noise_and_end_with_what_the_model_makes_of_it() -> None:
    z = torch.randn(5, 3)
    flow = RealNVP(RealNVPConfig(**{**SMALL, "transforms": 7}), EventSpec.real(3), ContextSpec(size=2))
    context = torch.randn(5, 2)
    assert len(layers(flow.flow.bijection)) == 8  # seven layers, each with its normalization, and the last one
    ode = FlowMatching(FlowMatchingConfig(width=16, blocks=1), EventSpec.real(3), ContextSpec(size=2))
    for model, count in ((flow, 6), (ode, 4)):
        stages = model.stages(z, count, context=context)
        assert len(stages) == count
        torch.testing.assert_close(stages[0], z)
        torch.testing.assert_close(stages[-1], model.from_noise(z, context=context), atol=2e-3, rtol=0)


def test_the_animation_passes_through_every_stage() -> None:
    stages = [np.full((2, 2), float(i)) for i in range(4)]
    path = between(stages, 13)
    assert [float(points[0, 0]) for _, points in path[::4]] == [0.0, 1.0, 2.0, 3.0]
    assert titles(4, events=False) == ["noise", "layer 1", "layer 2", "data"]
    assert titles(3, events=True) == ["noise", "time 0.5", "data"]
    frames = [Image.new("RGB", (4, 4), (i, 90, 200)) for i in (0, 120, 240)]
    with Image.open(io.BytesIO(gif_bytes(frames, lambda i: 100)), formats=["GIF"]) as picture:
        picture.seek(2)
        assert np.abs(np.asarray(picture.convert("RGB"))[0, 0].astype(int) - [240, 90, 200]).max() < 12
