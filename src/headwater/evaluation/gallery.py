"""What is looked at rather than measured: samples beside real events, reconstructions, interpolations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.evaluation.markup import Markup, embedded_png, tag
from headwater.evaluation.plots import density_on_plane, marginals, points_on_plane
from headwater.evaluation.subject import Rows, columns_of, decode, score, with_label
from headwater.evaluation.text import figure
from headwater.models.base import Density, Invertible, Latent
from headwater.progress import SilentProgress
from headwater.runs.codes import decode_codes, encode_raw
from headwater.runs.sampling import model_device
from headwater.runs.sheets import make_grid

if TYPE_CHECKING:
    from headwater.data.schema import Schema
    from headwater.runs.run import Run

__all__ = ["between", "interpolations", "reconstructions", "samples", "sheet", "table_rows"]

_PICTURES = 64
_ROWS = 9
_PAIRS = 5
_STEPS = 9
_SEED = 0

Raw = Shaped[np.ndarray, "_ *shape"]


def sheet(raw: Raw, schema: Schema, caption: str, *, columns: int | None = None) -> Markup:
    """Pictures on one sheet as a figure."""
    top = (schema.levels or 256) - 1
    pixels = raw[:_PICTURES].astype(np.float64) / top
    if pixels.shape[1] == 2:
        pixels = pixels[:, :1]
    picture = make_grid(pixels, columns=columns)
    image = tag("img", src=embedded_png(picture), alt=caption, class_="sheet", width=min(picture.width, 460))
    return tag("figure", image, tag("figcaption", caption))


def table_rows(rows: Rows, schema: Schema, caption: str) -> Markup:
    """The first rows of a table as people write them."""
    columns, values = with_label(columns_of(schema), rows, schema)
    columns, values = columns[:14], values[:_ROWS, :14]
    head = tag("tr", *(tag("th", c.name) for c in columns))
    body = [
        tag("tr", *(tag("td", _written(v, c.classes)) for v, c in zip(row, columns, strict=True))) for row in values
    ]
    return tag("figure", tag("table", head, *body, class_="rows"), tag("figcaption", caption))


def _written(value: float, classes: tuple[str, ...]) -> str:
    if math.isnan(value):
        return "·"
    if classes:
        return classes[int(value)] if 0 <= value < len(classes) else "?"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else figure(value, 3)


def samples(run: Run, fake: Rows, real: Rows | None) -> list[Markup]:
    """Generated events beside real ones, and what can be drawn of their distribution."""
    schema = run.codec.schema
    if real is None:
        return [
            sheet(fake.raw, schema, "generated") if schema.kind == "images" else table_rows(fake, schema, "generated")
        ]
    if schema.kind == "images":
        return [sheet(fake.raw, schema, "generated"), sheet(real.raw, schema, "real, held out")]
    columns = columns_of(schema)
    made, true = (rows.raw.reshape(len(rows), -1).astype(np.float64) for rows in (fake, real))
    if schema.kind == "table":
        tables = [table_rows(fake, schema, "generated"), table_rows(real, schema, "real, held out")]
        return [*tables, *marginals(columns, true, made)]
    if made.shape[1] == 2:
        return [*points_on_plane(true, made), *_density(run, true), *marginals(columns, true, made)]
    return marginals(columns, true, made)


def _density(run: Run, real: Float[np.ndarray, "n 2"]) -> list[Markup]:
    if not isinstance(run.model, Density) or run.codec.context.size:
        return []
    dtype = run.codec.decode(torch.zeros(1, *run.codec.event.shape, device=model_device(run.codec))).cpu().numpy().dtype

    def log_prob(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        rows = Rows(points.reshape(-1, *run.codec.schema.shape).astype(dtype), None)
        return score(run, rows, seed=_SEED, progress=SilentProgress()).value.numpy()

    return [density_on_plane(log_prob, real)]


def _decoded(run: Run, z: Tensor, labels: Tensor | None) -> Raw:
    return decode(run, decode_codes(run.model, run.codec, z, labels))


def reconstructions(run: Run, real: Rows) -> list[Markup]:
    """Held-out events and what their codes decode to; for models with a latent code."""
    if not isinstance(run.model, Latent):
        return []
    some = Rows(real.raw[:16], None if real.labels is None else real.labels[:16])
    z = encode_raw(run.model, run.codec, torch.from_numpy(some.raw), some.labels, _SEED)
    again = Rows(_decoded(run, z, some.labels), some.labels)
    schema = run.codec.schema
    if schema.kind == "images":
        both = np.concatenate([some.raw, again.raw.astype(some.raw.dtype)])
        return [sheet(both, schema, "held out (upper half) and reconstructed (lower half)", columns=8)]
    if schema.kind == "table":
        return [table_rows(some, schema, "held out"), table_rows(again, schema, "reconstructed from their codes")]
    return []


def between(first: Tensor, last: Tensor, steps: int, *, noise: bool) -> Tensor:
    r"""Codes from the first to the last, ``(pairs * steps, size)``.

    Straight lines between latent codes. Between noises, where straight lines pass through
    improbably short vectors, great circles with lengths in between:
    :math:`z_t = \frac{\sin((1-t)\theta)}{\sin\theta} z_0 + \frac{\sin(t\theta)}{\sin\theta} z_1`.

    Reference:
        Sampling Generative Networks (White, 2016), https://arxiv.org/abs/1609.04468.
    """
    t = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[None, :, None]
    a, b = first[:, None], last[:, None]
    if not noise:
        return ((1 - t) * a + t * b).flatten(0, 1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1)[..., None].clamp(-0.9999, 0.9999)
    angle = torch.arccos(cosine)
    return ((torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)).flatten(0, 1)


def interpolations(run: Run, real: Rows) -> list[Markup]:
    """Events on the way from one held-out event to another of the same label; pictures and tables."""
    schema = run.codec.schema
    if not isinstance(run.model, Latent | Invertible) or schema.kind not in ("images", "table"):
        return []
    pairs = _pairs(real)
    if not len(pairs):
        return []
    order = pairs.T.reshape(-1)
    ends = Rows(real.raw[order], None if real.labels is None else real.labels[order])
    z = encode_raw(run.model, run.codec, torch.from_numpy(ends.raw), ends.labels, _SEED)
    count = len(pairs)
    path = between(z[:count], z[count:], _STEPS, noise=not isinstance(run.model, Latent))
    given = None if ends.labels is None else ends.labels[:count].repeat_interleave(_STEPS, dim=0)
    raw = _decoded(run, path, given)
    if schema.kind == "images":
        caption = "on the way from one held-out event (left) to another (right)"
        return [sheet(raw, schema, caption, columns=_STEPS)]
    return [
        table_rows(
            Rows(raw[:_STEPS], None if given is None else given[:_STEPS]),
            schema,
            "on the way from one held-out row to another",
        )
    ]


def _pairs(real: Rows) -> Shaped[np.ndarray, "pairs 2"]:
    """Neighbouring rows of one label, in the order given."""
    n = len(real)
    if real.labels is None:
        return np.arange(min(n // 2, _PAIRS) * 2).reshape(-1, 2)
    labels = real.labels.numpy()
    found: list[tuple[int, int]] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) > 1:
            found.append((int(places[0]), int(places[1])))
    return np.array(found[:_PAIRS], dtype=np.int64).reshape(-1, 2)
