"""Autoregressive likelihoods are exact: they sum to one, integrate to one, and factorize in the order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.autoregressives.made import MADE, MADEConfig
from headwater.models.autoregressives.order import element_order
from headwater.models.autoregressives.pixel_transformer import PixelTransformer, PixelTransformerConfig

PLAIN = ContextSpec()
LABEL = ContextSpec(size=3, classes=("a", "b", "c"))


def made(event: EventSpec, context: ContextSpec = PLAIN, **config: Any) -> MADE:
    return MADE(MADEConfig(**{"width": 24, "blocks": 1, "mixtures": 3, **config}), event, context).double()


def pixels(event: EventSpec, context: ContextSpec = PLAIN, **config: Any) -> PixelTransformer:
    small = {"width": 16, "depth": 2, "heads": 2, "patch_width": 12, "mixtures": 3, **config}
    return PixelTransformer(PixelTransformerConfig(**small), event, context).double()


def categories(*counts: int) -> EventSpec:
    segments = tuple(Segment(support=Support.CATEGORICAL, classes=n) for n in counts)
    return EventSpec(shape=(len(counts),), segments=segments)


def every(*counts: int) -> Tensor:
    return torch.tensor(list(itertools.product(*(range(n) for n in counts))), dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("order", ["natural", "reversed", "random"])
def test_made_sums_to_one_over_three_categorical_columns(order: str) -> None:
    model = made(categories(3, 2, 4), LABEL, order=order)
    x = every(3, 2, 4)
    for context in torch.eye(3, dtype=torch.float64):
        total = model.log_prob(x, context=context.expand(len(x), -1)).value.exp().sum()
        assert float(total) == pytest.approx(1.0, abs=1e-12)


@torch.no_grad()
def test_made_integrates_to_one_on_the_plane() -> None:
    model = made(EventSpec.real(2))
    side = torch.linspace(-18, 18, 601, dtype=torch.float64)
    total = sum(
        float(model.log_prob(rows).value.exp().sum()) for rows in torch.cartesian_prod(side, side).split(100_000)
    )
    assert total * 0.06**2 == pytest.approx(1.0, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("patch", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("integer", ["logistic", "categorical"])
def test_pixel_transformer_sums_to_one_over_all_pictures(patch: tuple[int, int], integer: str) -> None:
    model = pixels(EventSpec.pixels(1, 2, 2, levels=3), LABEL, patch=patch, integer=integer)
    x = every(3, 3, 3, 3).reshape(-1, 1, 2, 2)
    context = torch.eye(3, dtype=torch.float64)[1].expand(len(x), -1)
    assert float(model.log_prob(x, context=context).value.exp().sum()) == pytest.approx(1.0, abs=1e-12)


@torch.no_grad()
def test_pixel_transformer_sums_to_one_in_colour_and_in_binary() -> None:
    binary = EventSpec(shape=(2, 2, 2), segments=(Segment(support=Support.BINARY, size=8),))
    for patch in ((1, 1), (2, 1)):
        x = every(*[2] * 8).reshape(-1, 2, 2, 2)
        assert float(pixels(binary, patch=patch).log_prob(x).value.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def jacobian(model: MADE, x: Tensor) -> Tensor:
    """``d params / d features``, summed in absolute value over the numbers of each element and over rows."""
    numbers = torch.autograd.functional.jacobian(lambda f: model.network(f, None).sum(0), x).abs().sum(1)
    return torch.stack([part.sum(0) for part in numbers.split(model.heads.parameter_sizes)])


@pytest.mark.parametrize("order", ["natural", "reversed", "random"])
def test_made_is_strictly_triangular_in_its_order(order: str) -> None:
    model = made(EventSpec.real(6), order=order, order_seed=3)
    sequence = list(element_order(6, order, 3))  # type: ignore[arg-type]
    sees = jacobian(model, torch.randn(4, 6, dtype=torch.float64))[sequence][:, sequence]
    assert torch.equal(sees.triu(), torch.zeros(6, 6, dtype=torch.float64))
    assert bool((sees[torch.tril_indices(6, 6, -1).unbind()] > 0).all()), "every earlier element is seen"


@pytest.mark.parametrize(("patch", "reach"), [((1, 1), 0), ((1, 1), 3), ((1, 2), 3), ((2, 2), 1), ((2, 4), 3)])
def test_pixel_transformer_is_strictly_triangular_over_patches(patch: tuple[int, int], reach: int) -> None:
    event = EventSpec(shape=(2, 4, 4), segments=(Segment(size=32),))
    model = pixels(event, patch=patch, reach=reach)
    x = torch.randn(1, 32, dtype=torch.float64)
    hidden = torch.autograd.functional.jacobian(lambda v: model._read(v, None)[0, :, 0], x)[:, 0]
    for t in range(model.reader.tokens):
        later = model.reader.order[t:].flatten()
        assert torch.equal(hidden[t, later], torch.zeros(len(later), dtype=torch.float64)), f"token {t} sees ahead"
    before = hidden[-1, model.reader.order[:-1].flatten()]
    assert bool((before != 0).all()), "the last token sees every earlier pixel"


def test_pixel_transformer_scores_depend_on_earlier_patches_alone() -> None:
    model = pixels(EventSpec.pixels(1, 4, 4, levels=5), patch=(1, 2))
    x = torch.randint(0, 5, (1, 16)).double()
    whole = model.log_prob_tokens(x)
    for t in range(model.reader.order.shape[0]):
        changed = x.clone()
        changed[:, model.reader.order[t:].flatten()] = (changed[:, model.reader.order[t:].flatten()] + 1) % 5
        torch.testing.assert_close(model.log_prob_tokens(changed)[:, :t], whole[:, :t])
        assert bool((model.log_prob_tokens(changed)[:, t] != whole[:, t]).all())


def test_user_mistakes_are_named() -> None:
    picture = EventSpec.pixels(1, 6, 6, levels=4)
    with pytest.raises(UnsupportedEventError, match="pictures of one kind") as caught:
        pixels(EventSpec.real(3))
    assert "made" in caught.value.hint
    with pytest.raises(UsageError, match="4 x 1 does not divide pictures of 6 x 6"):
        pixels(picture, patch=(4, 1))
    with pytest.raises(UsageError, match=r"heads=3 does not divide model\.width=16"):
        pixels(picture, heads=3)
    with pytest.raises(ConfigError):
        MADEConfig.parse({"widht": 3})
