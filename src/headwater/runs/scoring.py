"""Log-likelihoods of raw data in its own units: codec and model together, over one or more draws of the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.data.codec import Codec
from headwater.errors import DivergenceError, UsageError
from headwater.models.base import Density, GenerativeModel, Invertible
from headwater.models.registry import load_class, names
from headwater.progress import Progress
from headwater.rng import Rng
from headwater.runs.sampling import MAX_SPOILED, choose_batch_size, model_device, model_dtype
from headwater.scores import Score

__all__ = ["combine", "densities", "round_trip", "score_raw"]

_CHECKED_ROWS = 16
_FLAGGED = 1e-2
_REFUSED = 0.1


def score_raw(
    model: GenerativeModel,
    codec: Codec,
    raw: Tensor,
    labels: Tensor | None,
    *,
    progress: Progress,
    draws: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    allow_inexact: bool = False,
    **budget: Any,
) -> Score:
    r"""``log p(raw | labels)`` per event, nats in the data's own units, in float64 on the CPU.

    Each draw of the codec's noise gives an unbiased estimate of the likelihood, so ``k`` of them give
    the importance-weighted bound :math:`\log \tfrac1k \sum_j p(x_j) / q(x_j | raw)`, tighter in k.

    Args:
        model: In eval mode; must be a :class:`Density`.
        codec: The run's, on the model's device.
        raw: Rows as the codec stores them.
        labels: Their labels, or None.
        progress: Advances by events.
        draws: Draws per event: of the codec's noise where it draws any, else of the model's own
            where it has a budget of that name; None: one, and the model's default.
        seed: Of the draws of event i, together with i.
        batch_size: Events at a time; None: chosen.
        allow_inexact: Score although the model's inverse fails its self-check.
        budget: The model's own scoring options.

    Raises:
        UsageError: the model has no density (says which have), or an unknown option of the budget.
        DivergenceError: the inverse misses by more than 0.1, or more than 1 % of the scores are not numbers.
    """
    if not isinstance(model, Density):
        raise UsageError(
            f"{type(model).__name__} has no density: it samples but cannot say how likely an event is.",
            hint=f"Models that can: {', '.join(densities())}.",
        )
    if draws is not None and draws < 1:
        raise UsageError(f"draws must be at least 1, got {draws}.")
    options, copies = budget, draws or 1
    if draws is not None and not codec.stochastic and "draws" in type(model).Scoring.model_fields:
        options, copies = {"draws": draws, **options}, 1
    checked = type(model).Scoring.parse(options, where="scoring").model_dump(exclude_unset=True)
    size, device = choose_batch_size(batch_size, model.event.size), model_device(model)
    parts: list[Score] = []
    notes: dict[str, str | int | float] = {}
    with progress.phase("Scoring", total=len(raw), unit="events") as phase, torch.no_grad():
        for start in range(0, len(raw), size):
            rows = raw[start : start + size].to(device)
            given = None if labels is None else labels[start : start + size].to(device)
            context = codec.encode_context(given, len(rows))
            rng = Rng.of(seed, len(rows), start=start, device=device)
            if start == 0 and isinstance(model, Invertible):
                x, _ = codec.encode(rows[:_CHECKED_ROWS], rng.rows(slice(0, _CHECKED_ROWS)).fold("encode"))
                notes = round_trip(model, _cast(x, model), context, allow_inexact=allow_inexact)
            scores = _draws(model, codec, rows, context, rng, copies, checked)
            parts.append(combine(scores))
            phase.advance(len(rows))
    return _joined(parts, {**notes, **({"codec_draws": copies} if codec.stochastic else {})}, progress)


def _cast(x: Tensor, model: GenerativeModel) -> Tensor:
    return x.to(model_dtype(model))


def _draws(
    model: Density,
    codec: Codec,
    rows: Tensor,
    context: Tensor | None,
    rng: Rng,
    copies: int,
    budget: Mapping[str, Any],
) -> list[Score]:
    assert isinstance(model, GenerativeModel)
    scores: list[Score] = []
    for k in range(copies):
        own = rng if k == 0 else rng.fold(k)
        x, ladj = codec.encode(rows, own.fold("encode"))
        found = model.log_prob(_cast(x, model), context=context, rng=own.fold("score"), **budget)
        widened = replace(found, value=found.value.double())
        scores.append(widened.shifted(ladj.double(), bound=codec.stochastic))
        if found.kind == "exact" and not codec.stochastic:
            break  # every further draw would be the same number
    return scores


def combine(scores: list[Score]) -> Score:
    r"""One score of several independent ones of the same events.

    .. math:: v = \log \tfrac1k \sum_j e^{v_j}, \qquad
              s = \max\Big(\sqrt{\textstyle\sum_j w_j^2 s_j^2},\;
                  \tfrac{1}{\sqrt{k}} \mathrm{sd}_j(e^{v_j - v})\Big), \quad w_j = \tfrac1k e^{v_j - v}

    The spread of the draws holds each one's own error already; the larger of the two is reported.
    """
    k = len(scores)
    if k == 1:
        return scores[0]
    values = torch.stack([score.value for score in scores])
    value = torch.logsumexp(values, dim=0) - math.log(k)
    possible = torch.isfinite(value)
    relative = torch.where(possible, torch.exp(values - torch.where(possible, value, 0.0)), 1.0)
    stderr = relative.std(dim=0) / math.sqrt(k)
    errors = [score.stderr for score in scores if score.stderr is not None]
    if len(errors) == k:
        stderr = torch.maximum(stderr, torch.sqrt(((relative / k * torch.stack(errors)) ** 2).sum(dim=0)))
    return replace(scores[0], value=value, stderr=stderr)


def round_trip(
    model: Invertible, x: Float[Tensor, "batch *event"], context: Tensor | None, *, allow_inexact: bool = False
) -> dict[str, str | int | float]:
    r"""The error of a model's inverse on a few events: :math:`\max_i |x'_i - x_i| / (1 + |x_i|)` per event.

    Returns:
        ``round_trip_error`` (worst event) and, above 0.01, a ``warning``; for a score's protocol.

    Raises:
        DivergenceError: the typical (median) event misses by more than 0.1: its density means nothing.
    """
    given = None if context is None else context[: len(x)]
    back = model.from_noise(model.to_noise(x, context=given), context=given)
    error = ((back - x).abs() / (1 + x.abs())).flatten(1).amax(dim=1).double()
    error = torch.where(torch.isnan(error), math.inf, error)
    worst, typical = float(error.max()), float(error.median())
    if typical > _REFUSED and not allow_inexact:
        raise DivergenceError(
            f"{type(model).__name__} does not invert itself: to noise and back misses by {typical:.3g} "
            f"(at most {_REFUSED} is accepted), so its log-likelihood means nothing.",
            hint="Use --set training.precision=float64, more solver steps, or a lower learning rate.",
        )
    flag = {"warning": f"round-trip error above {_FLAGGED}"} if worst > _FLAGGED else {}
    return {"round_trip_error": worst, **flag}


def densities() -> tuple[str, ...]:
    """Names of the built-in models that have a density."""
    return tuple(
        entry.name for entry in names() if entry.origin == "headwater" and issubclass(load_class(entry.name), Density)
    )


def _joined(parts: list[Score], notes: Mapping[str, str | int | float], progress: Progress) -> Score:
    if not parts:
        raise UsageError("Expected at least one event to score, got none.")
    value = torch.cat([part.value for part in parts]).cpu()
    errors = [part.stderr.double().cpu() for part in parts if part.stderr is not None]
    wrong = torch.nonzero(torch.isnan(value) | (value == math.inf)).flatten().tolist()
    if wrong:
        text = f"{len(wrong)} of {len(value)} scores are not numbers (events {', '.join(map(str, wrong[:10]))})"
        if len(wrong) > MAX_SPOILED * len(value):
            raise DivergenceError(
                f"{text}; at most {MAX_SPOILED:.0%} are tolerated.",
                hint="Score in float64 (--set training.precision=float64) or train with a lower optimizer.lr.",
            )
        progress.warn(f"{text}; they are left as they are.")
    if "warning" in notes:
        progress.warn(f"The scores are inexact: {notes['warning']}.")
    stderr = torch.cat(errors) if len(errors) == len(parts) else None
    return Score(value, parts[0].kind, stderr, {**parts[0].protocol, **notes})
