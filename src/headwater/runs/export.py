"""Samples and scores as files: the ending chooses the format, every file carries the recipe that makes it again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from headwater.errors import MissingExtraError, UsageError
from headwater.runs.files import reporting, write_atomic, write_json
from headwater.runs.sheets import make_grid, to_picture, to_pixels
from headwater.scores import Score

if TYPE_CHECKING:
    from headwater.runs.run import Run

__all__ = ["RECIPE_KEY", "save_picture", "write_samples", "write_scores"]

RECIPE_KEY = "headwater"


def write_samples(
    run: Run, samples: Any, path: Path | None = None, *, recipe: Mapping[str, Any], exist_ok: bool = False
) -> Path:
    """Write samples of a run.

    ========== ==================================== =======================================
    ending     content                              recipe
    ========== ==================================== =======================================
    .png       one sheet of all pictures            a PNG text chunk
    none       a folder: one PNG each and a sheet   a PNG text chunk in each
    .npz       array ``samples``                    array ``headwater`` of one JSON string
    .npy       the array                            ``FILE.json`` beside it
    .csv       the table                            ``FILE.json`` beside it
    .parquet   the table                            ``FILE.json`` beside it and key-value metadata
    .fasta     sequences, aligned (also .fa, .a2m)  ``FILE.json`` beside it
    ========== ==================================== =======================================

    Args:
        run: The run they come from.
        samples: What ``run.sample`` returned.
        path: File or folder; None: ``samples/`` of the run, named after seed and number.
        recipe: From ``run.recipe``.
        exist_ok: Replace what is there.

    Returns:
        What was written.

    Raises:
        UsageError: an ending that does not fit the samples, or something is there already.
        ResourceError: the system refuses; names the path.
    """
    target = Path(path) if path is not None else run.folder.samples / _default_name(samples, recipe)
    text = json.dumps(recipe, default=str)
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        raise UsageError(
            f"Samples cannot be written as {target.suffix!r}.",
            hint="Use .png, .npz, .npy, .csv, .parquet, .fasta or a folder.",
        )
    _refuse_existing(target, exist_ok=exist_ok)
    if target.suffix.lower() in ("", ".png") and run.schema.kind == "images" and run.schema.levels not in (None, 256):
        samples = _array(samples, target) / ((run.schema.levels or 256) - 1)  # few levels span the whole of grey
    with reporting(target, "Writing"):
        target.parent.mkdir(parents=True, exist_ok=True)
    writer(target, samples, text)
    return target


def write_scores(score: Score, path: Path, *, recipe: Mapping[str, Any], exist_ok: bool = False) -> Path:
    """Write scores as CSV (one row per event) or NPZ; kind, unit and protocol go into the recipe.

    Raises:
        UsageError: another ending, or the file exists.
    """
    target = Path(path)
    full = {**recipe, "kind": score.kind, "unit": "nats", "protocol": dict(score.protocol)}
    columns = {"log_prob": score.value.double().cpu().numpy()}
    if score.stderr is not None:
        columns["stderr"] = score.stderr.double().cpu().numpy()
    _refuse_existing(target, exist_ok=exist_ok)
    match target.suffix.lower():
        case ".csv":
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            write_atomic(target, _csv(list(columns), rows))
            write_json(_side_car(target), full)
        case ".npz":
            write_atomic(target, _npz({**columns, RECIPE_KEY: np.array(json.dumps(full, default=str))}))
        case _:
            raise UsageError(f"Scores cannot be written as {target.suffix!r}.", hint="Use .csv or .npz.")
    return target


def save_picture(picture: Any, path: Path, recipe: str) -> None:
    """Write a PNG with its recipe as a text chunk, atomically."""
    info = PngInfo()
    info.add_itxt(RECIPE_KEY, recipe)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info)
    write_atomic(path, buffer.getvalue())


def _default_name(samples: Any, recipe: Mapping[str, Any]) -> str:
    stem = f"seed{recipe.get('seed', 0)}-n{recipe.get('n', 0)}"
    if _is_texts(samples):
        return f"{stem}.fasta"
    shape = getattr(samples, "shape", ())
    if len(shape) == 4 or (len(shape) == 3 and "uint" in str(getattr(samples, "dtype", ""))):
        return f"{stem}.png"
    return f"{stem}.npz" if _is_array(samples) else f"{stem}.csv"


def _is_array(samples: Any) -> bool:
    return isinstance(samples, np.ndarray) or hasattr(samples, "detach")


def _is_texts(samples: Any) -> bool:
    return isinstance(samples, np.ndarray) and samples.dtype.kind == "U"


def _array(samples: Any, target: Path) -> np.ndarray:
    if not _is_array(samples):
        raise UsageError(f"A table cannot be written as {target.suffix!r}.", hint="Use .csv or .parquet.")
    return np.asarray(samples.detach().cpu() if hasattr(samples, "detach") else samples)


def _refuse_existing(target: Path, *, exist_ok: bool) -> None:
    taken = any(target.iterdir()) if target.is_dir() else target.exists()
    if target.is_dir() and target.suffix:
        raise UsageError(f"{target} is a folder.", hint="Choose another --out.")
    if taken and not exist_ok:
        raise UsageError(f"{target} exists already.", hint="Choose another --out, or replace it with --exist-ok.")


def _side_car(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _write_sheet(target: Path, samples: Any, recipe: str) -> None:
    save_picture(make_grid(_array(samples, target)), target, recipe)


def _write_folder(target: Path, samples: Any, recipe: str) -> None:
    pixels = to_pixels(_array(samples, target))
    with reporting(target, "Making the folder"):
        target.mkdir(exist_ok=True)
    for i in range(len(pixels)):
        save_picture(to_picture(pixels[i]), target / f"{i:06d}.png", recipe)


def _write_npy(target: Path, samples: Any, recipe: str) -> None:
    buffer = io.BytesIO()
    np.save(buffer, _array(samples, target), allow_pickle=False)
    write_atomic(target, buffer.getvalue())
    write_json(_side_car(target), json.loads(recipe))


def _write_npz(target: Path, samples: Any, recipe: str) -> None:
    write_atomic(target, _npz({"samples": _array(samples, target), RECIPE_KEY: np.array(recipe)}))


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _write_csv(target: Path, samples: Any, recipe: str) -> None:
    if _is_array(samples):
        rows = _array(samples, target)
        if _is_texts(rows):
            rows = rows[:, None]
        if rows.ndim != 2:
            raise UsageError(f"A CSV holds rows and columns, the samples are {rows.shape}.", hint="Use .npz.")
        write_atomic(target, _csv(_header(rows), rows.tolist()))
    else:
        write_atomic(target, _frame(samples).write_csv().encode())
    write_json(_side_car(target), json.loads(recipe))


def _header(rows: np.ndarray) -> list[str]:
    return ["sequence"] if _is_texts(rows) else [f"x{i}" for i in range(rows.shape[1])]


def _write_fasta(target: Path, samples: Any, recipe: str) -> None:
    if not _is_texts(samples):
        raise UsageError(f"Only sequences can be written as {target.suffix!r}.", hint="Use .npz, .csv or .png.")
    lines = [f">sample_{i:06d}\n{text}\n" for i, text in enumerate(samples.reshape(-1).tolist())]
    write_atomic(target, "".join(lines).encode())
    write_json(_side_car(target), json.loads(recipe))


def _csv(header: list[str], rows: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_parquet(target: Path, samples: Any, recipe: str) -> None:
    if _is_array(samples):
        raise UsageError("An array cannot be written as '.parquet'.", hint="Use .npz or .csv.")
    buffer = io.BytesIO()
    _frame(samples).write_parquet(buffer, metadata={RECIPE_KEY: recipe})
    write_atomic(target, buffer.getvalue())
    write_json(_side_car(target), json.loads(recipe))


def _frame(samples: Any) -> Any:
    """Any data frame as one of polars."""
    try:
        import narwhals as nw
        import polars  # noqa: F401  (narwhals converts to it)
    except ImportError:
        raise MissingExtraError("polars", "table", "Writing tables") from None
    return nw.from_native(samples, eager_only=True).to_polars()


_WRITERS: dict[str, Callable[[Path, Any, str], None]] = {
    ".png": _write_sheet,
    "": _write_folder,
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".fasta": _write_fasta,
    ".fa": _write_fasta,
    ".a2m": _write_fasta,
}
