"""Laws of losses and parameters."""

from __future__ import annotations

import torch

from headwater.models.base import Batch, ClosedForm
from headwater.rng import Rng
from headwater.testing.cases import Case

__all__ = ["every_parameter_gets_a_gradient", "loss_is_a_finite_scalar", "loss_is_a_mean_over_events"]


def loss_is_a_finite_scalar(case: Case) -> None:
    """The total and every named term are finite scalars; the monitored term exists."""
    model = case.build()
    for number, player in enumerate(model.players()):
        losses = model.loss(case.batch(8), player.name, Rng.of(2, 8))
        for name, value in {"total": losses.total, **losses.terms}.items():
            assert value.shape == (), f"{name} of player {player.name} has shape {tuple(value.shape)}, expected ()"
            assert torch.isfinite(value), f"{name} of player {player.name} is {value.item()}"
        if number == 0 and model.monitor is not None:
            assert model.monitor in losses.terms, f"monitor {model.monitor!r} is not among {sorted(losses.terms)}"


def every_parameter_gets_a_gradient(case: Case) -> None:
    """Each parameter belongs to exactly one player, whose loss moves it."""
    model = case.build().train()
    if isinstance(model, ClosedForm):
        assert not model.players(), "a model fitted in closed form has no players"
        return
    owners = [id(parameter) for player in model.players() for parameter in player.parameters]
    assert len(owners) == len(set(owners)), "a parameter belongs to two players"
    missing = [name for name, parameter in model.named_parameters() if id(parameter) not in set(owners)]
    assert not missing, f"no player owns {missing}"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for player in model.players():
        total = model.loss(case.batch(48), player.name, Rng.of(2, 48)).total
        gradients = torch.autograd.grad(total, player.parameters, allow_unused=True)
        for parameter, gradient in zip(player.parameters, gradients, strict=True):
            name = names[id(parameter)]
            assert gradient is not None, f"{name} is not reached by the loss of {player.name}"
            assert torch.isfinite(gradient).all(), f"{name} has a gradient that is not finite"
            assert (gradient != 0).any(), f"{name} has a gradient of zeros"


def loss_is_a_mean_over_events(case: Case) -> None:
    """The losses of two halves average to the loss of the whole: sharding changes nothing."""
    model = case.build()
    batch, rng = case.batch(12), Rng.of(2, 12)
    for player in model.players():
        whole = model.loss(batch, player.name, rng).total
        halves = []
        for part in (slice(0, 6), slice(6, 12)):
            context = None if batch.context is None else batch.context[part]
            shard = Batch(batch.x[part], context, batch.progress)
            halves.append(model.loss(shard, player.name, rng.rows(part)).total)
        average = (halves[0] + halves[1]) / 2
        assert torch.allclose(whole, average, rtol=1e-6, atol=1e-8), f"whole {whole:.9f}, shards {average:.9f}"
