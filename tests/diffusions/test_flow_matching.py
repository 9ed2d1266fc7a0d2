"""Flow matching as a model: guidance, chunks, codes, errors, a density learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.diffusions import flow_matching
from headwater.models.diffusions.flow_matching import FlowMatching
from headwater.models.diffusions.guidance import guided
from headwater.models.diffusions.options import FlowMatchingConfig
from headwater.models.diffusions.velocity import convolves
from headwater.rng import Rng

SMALL = {"width": 16, "blocks": 1, "channels": 8, "embedding": 8, "features": 1}
LABELS = ContextSpec(size=3, classes=("a", "b", "c"))


def build(event: EventSpec, context: ContextSpec = LABELS, *, stir: float = 0.1, **settings: Any) -> FlowMatching:
    model = FlowMatching(
        FlowMatchingConfig.parse(SMALL | ({"network": "unet"} if event.is_image else {}) | settings), event, context
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(stir * torch.randn_like(parameter))
    return model


def labels(n: int) -> Tensor:
    return torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]


def test_guidance_one_is_conditional_zero_is_unconditional_and_more_goes_beyond() -> None:
    model, rng, context = build(EventSpec.real(4)), Rng.of(0, 6), labels(6)
    plain = model.sample(6, context=context, rng=rng)
    free = model.sample(6, rng=rng)
    assert torch.equal(model.sample(6, context=context, rng=rng, guidance=1.0), plain)
    assert torch.allclose(model.sample(6, context=context, rng=rng, guidance=0.0), free)
    assert not torch.allclose(plain, free, atol=1e-3)
    near = model.sample(6, context=context, rng=rng, guidance=1 + 1e-9)  # the doubled batch, at the same field
    assert torch.allclose(near, plain, atol=1e-7)
    far = model.sample(6, context=context, rng=rng, guidance=3.0)
    assert ((far - plain) * (plain - free)).sum() > 0


def test_guidance_is_one_doubled_batch() -> None:
    sizes = []

    def field(t: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        assert context is not None
        sizes.append(len(x))
        return context + 1

    context = torch.tensor([[2.0], [5.0]])
    assert guided(field, context, 3.0)(torch.zeros(2), torch.zeros(2, 1)).flatten().tolist() == [7.0, 16.0]
    assert sizes == [4]


@pytest.mark.parametrize("event", [EventSpec.real(3), EventSpec.real(1, 5, 6)])
def test_noise_comes_back_as_the_same_event(event: EventSpec) -> None:
    model, context = build(event), labels(4)
    x = torch.randn(4, *event.shape, dtype=torch.float64)
    z = model.to_noise(x, context=context)
    assert z.shape == (4, event.size)
    assert not torch.allclose(z.reshape(x.shape), x, atol=0.05)
    assert (model.from_noise(z, context=context) - x).abs().max() < 1e-3


@pytest.mark.parametrize(
    "options", [{"solver": "adaptive"}, {"solver": "rk4", "steps": 4}, {"guidance": 2.0, "steps": 4}]
)
def test_chunks_change_nothing(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, context, rng = build(EventSpec.real(3)), labels(5), Rng.of(4, 5)
    whole = model.sample(5, context=context, rng=rng, **options)
    score = model.log_prob(whole, context=context, steps=4)
    for limit in ("_FLOATS", "_TRACED"):
        monkeypatch.setattr(flow_matching, limit, 2 * SMALL["width"])
    assert torch.allclose(model.sample(5, context=context, rng=rng, **options), whole, atol=1e-9)
    assert torch.allclose(model.log_prob(whole, context=context, steps=4).value, score.value, atol=1e-9)


def test_probes_score_by_probes_with_an_error_that_covers_the_exact_trace() -> None:
    model = build(EventSpec.real(8), ContextSpec(), stir=0.2)
    x = torch.randn(6, 8, dtype=torch.float64)
    exact = model.log_prob(x, steps=8)
    assert exact.stderr is None
    assert exact.protocol["trace"] == "exact"
    with pytest.raises(UsageError, match="needs rng="):
        model.log_prob(x, trace="probes")
    score = model.log_prob(x, rng=Rng.of(0, 6), draws=16, trace="probes", steps=8)
    assert score.kind == "estimate"
    assert score.stderr is not None
    assert score.protocol["draws"] == 16
    assert ((score.value - exact.value).abs() < 6 * score.stderr).all()
    again = model.log_prob(x[3:5], rng=Rng.of(0, 6).rows(slice(3, 5)), draws=16, trace="probes", steps=8)
    assert torch.allclose(again.value, score.value[3:5], atol=1e-6)


def test_the_stated_error_of_the_solver_follows_its_steps() -> None:
    model, x = build(EventSpec.real(3)), torch.randn(4, 3, dtype=torch.float64)
    truth = model.log_prob(x, solver="adaptive", rtol=1e-7, atol=1e-7).value
    stated, real = [], []
    for steps in (8, 64):
        score = model.log_prob(x, solver="heun", steps=steps)
        assert score.protocol["steps"] == steps
        stated.append(float(score.protocol["ode_error"]))
        real.append((score.value - truth).abs().mean().item())
    assert stated[1] < stated[0] / 10
    for error, said in zip(real, stated, strict=True):
        assert error <= said


def test_loss_is_the_weighted_error_of_the_velocity() -> None:
    model, x = build(EventSpec.real(3), ContextSpec()), torch.randn(9, 3, dtype=torch.float64)
    rng = Rng.of(2, 9)
    t, x0 = 1 - rng.uniform("time", dtype=x.dtype) ** 2, rng.normal("noise", 3, dtype=x.dtype)
    v = model.velocity(t, (1 - t)[:, None] * x0 + t[:, None] * x, None)
    weight = ((1 - t) ** 2 + t**2)[:, None]
    expected = (weight * (v - (x - x0)) ** 2).mean()
    assert torch.allclose(model.loss(Batch(x), "model", rng).total, expected)


def test_logit_normal_times_favour_the_middle() -> None:
    model = build(EventSpec.real(3), ContextSpec(), time="logit-normal")
    seen: list[Tensor] = []
    model.velocity.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    model.loss(Batch(torch.randn(4000, 3, dtype=torch.float64)), "model", Rng.of(0, 4000))
    share = ((seen[0] > 0.25) & (seen[0] < 0.75)).double().mean().item()
    assert share == pytest.approx(math.erf(math.log(3) / math.sqrt(2)), abs=0.03)


def test_scales_come_from_the_first_batch_and_are_saved() -> None:
    rows, pictures = build(EventSpec.real(2)), build(EventSpec.real(2, 3, 3))
    x = torch.randn(500, 2, dtype=torch.float64) * torch.tensor([3.0, 0.0]) + 1
    rows.initialize(Batch(x), Rng.of(0, 500))
    assert rows.velocity.mean.tolist() == pytest.approx([1, 1], abs=0.5)
    assert rows.velocity.spread.tolist() == pytest.approx([3, 0.05], abs=0.3)  # a constant keeps a least spread
    pictures.initialize(Batch(torch.randn(50, 2, 3, 3, dtype=torch.float64)), Rng.of(0, 50))
    assert pictures.velocity.spread.shape == (2, 1, 1)
    dense = build(EventSpec.real(2, 3, 3), network="mlp")
    dense.initialize(Batch(torch.randn(50, 2, 3, 3, dtype=torch.float64)), Rng.of(0, 50))
    assert dense.velocity.spread.shape == (2, 3, 3)
    assert {"velocity.mean", "velocity.spread"} <= set(rows.state_dict())


def test_patches_of_any_side_cover_pictures_of_any_side() -> None:
    for patch in (1, 2, 3):
        model = build(EventSpec.real(2, 7, 5), patch=patch)
        x = torch.randn(3, 2, 7, 5, dtype=torch.float64, requires_grad=True)
        v = model.velocity(torch.full((3,), 0.3, dtype=torch.float64), x, labels(3))
        assert v.shape == x.shape
        (gradient,) = torch.autograd.grad(v[1, 1, 6, 4], x)
        assert gradient[1].ne(0).all()  # the last pixel sees every other of its picture
        assert not gradient[0].any()
    assert build(EventSpec.real(1, 28, 24)).velocity.field.patch == 2
    assert build(EventSpec.real(1, 28, 20)).velocity.field.patch == 1


def test_errors_say_what_to_type() -> None:
    model = build(EventSpec.real(2), ContextSpec())
    with pytest.raises(UsageError, match="without one"):
        model.sample(2, rng=Rng.of(0, 2), guidance=2.0)
    with pytest.raises(UsageError, match=r"shape \(2, 0\), got \(2, 3\)"):
        model.sample(2, rng=Rng.of(0, 2), context=labels(2))
    with pytest.raises(ConfigError, match="'stepz' is not a setting") as caught:
        model.sample(2, rng=Rng.of(0, 2), stepz=3)
    assert "steps" in caught.value.hint
    with pytest.raises(ConfigError, match="less than or equal to 10000"):
        model.log_prob(torch.zeros(1, 2, dtype=torch.float64), steps=10**9)
    with pytest.raises(ConfigError, match="width"):
        FlowMatchingConfig.parse({"width": 10**9})
    with pytest.raises(UnsupportedEventError, match="real elements"):
        FlowMatching(FlowMatchingConfig(), EventSpec.pixels(1, 8, 8), ContextSpec())


def test_no_events_are_no_trouble() -> None:
    model = build(EventSpec.real(2), ContextSpec())
    assert model.sample(0, rng=Rng.of(0, 0)).shape == (0, 2)
    assert model.log_prob(torch.zeros(0, 2, dtype=torch.float64)).value.shape == (0,)


def _train(model: FlowMatching, x: Tensor, context: Tensor | None, steps: int) -> None:
    model.initialize(Batch(x, context), Rng.of(0, len(x)))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        loss = model.loss(Batch(x, context), "model", Rng.of(step, len(x))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_learns_a_density_per_label() -> None:
    """Two labels, a Gaussian each, far narrower than their mixture: KL under 0.05 nats."""
    rng = Rng.of(1, 512)
    index = torch.arange(512) % 2
    centre, width = torch.tensor([[-1.0], [1.0]])[index], torch.tensor([[0.2], [0.5]])[index]
    x = centre + width * rng.normal("data", 1)
    context = torch.eye(2)[index]
    model = FlowMatching(
        FlowMatchingConfig.parse(SMALL | {"width": 32}), EventSpec.real(1), ContextSpec(size=2, classes=("a", "b"))
    )
    _train(model, x, context, 600)
    test = centre + width * rng.normal("test", 1)
    truth = torch.distributions.Normal(centre, width).log_prob(test)[:, 0]
    gap = (truth - model.log_prob(test, context=context).value).mean().item()
    assert -0.02 < gap < 0.05
    samples = model.sample(512, context=context, rng=Rng.of(9, 512))
    for label in range(2):
        seen, drawn = x[index == label], samples[index == label]
        assert drawn.mean().item() == pytest.approx(seen.mean().item(), abs=0.1)
        assert drawn.std().item() == pytest.approx(seen.std().item(), abs=0.08)


def test_small_pictures_are_dense_and_rows_cannot_convolve() -> None:
    assert not convolves(FlowMatchingConfig(), EventSpec.real(1, 8, 8))
    assert convolves(FlowMatchingConfig(), EventSpec.real(1, 28, 28))
    assert convolves(FlowMatchingConfig(network="unet"), EventSpec.real(1, 8, 8))
    with pytest.raises(UnsupportedEventError, match="U-Net needs pictures"):
        convolves(FlowMatchingConfig(network="unet"), EventSpec.real(9))
