"""Dropout in the networks of flows: in training only, row by row, from the keys of the rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headwater.errors import ConfigError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.iaf import IAF, IAFConfig
from headwater.models.flows.nsf import NSF, NSFConfig
from headwater.rng import Rng


def build(**settings: Any) -> NSF:
    torch.manual_seed(0)
    flow = NSF(NSFConfig(transforms=2, width=32, blocks=2, **settings), EventSpec.real(5), ContextSpec(size=2)).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for module in flow.modules():
        if hasattr(module, "mask"):
            module.weight.data *= module.mask
    return flow


BATCH = Batch(torch.randn(12, 5, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[torch.arange(12) % 2])


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
@pytest.mark.parametrize("residual", [True, False])
def test_it_acts_in_training_alone(kind: str, residual: bool) -> None:
    flow, rng = build(kind=kind, residual=residual, dropout=0.4), Rng.of(3, 12)
    exact = -flow.log_prob(BATCH.x, context=BATCH.context).value.mean()
    torch.testing.assert_close(flow.eval().loss(BATCH, "model", rng).total, exact)
    one, same, other = (flow.train().loss(BATCH, "model", r).total for r in (rng, rng, Rng.of(4, 12)))
    assert torch.equal(one, same)
    assert len({round(float(value.detach()), 9) for value in (exact, one, other)}) == 3
    torch.testing.assert_close(-flow.log_prob(BATCH.x, context=BATCH.context).value.mean(), exact)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_each_row_has_masks_of_its_own(kind: str) -> None:
    flow, rng = build(kind=kind, dropout=0.4).train(), Rng.of(3, 12)
    assert BATCH.context is not None
    whole = flow.flow.log_prob(BATCH.x, flow.given(BATCH.context, BATCH.x), rng)
    part = slice(4, 7)
    some = flow.flow.log_prob(BATCH.x[part], flow.given(BATCH.context[part], BATCH.x[part]), rng.rows(part))
    torch.testing.assert_close(whole[part], some)


def test_an_autoregressive_layer_stays_triangular() -> None:
    flow = build(kind="autoregressive", dropout=0.4, linear="none").train()
    layer, rng = flow.flow.bijection.parts[1], Rng.of(3, 1)  # type: ignore[union-attr,index]
    context = torch.zeros(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: layer.surrogate(x[None], context, rng)[0][0],  # type: ignore[operator]
        BATCH.x[0],
    )
    assert torch.equal(jacobian, jacobian.tril())
    assert (jacobian.diagonal() > 0).all()


def test_the_share_is_kept_and_the_mean_is_one() -> None:
    factors = Rng.of(0, 64).dropout("h", 0.2, 4096)
    assert float((factors == 0).double().mean()) == pytest.approx(51 / 256, abs=2e-3)
    assert float(factors.mean()) == pytest.approx(1, abs=2e-3)
    assert torch.equal(Rng.of(0, 64).rows(slice(3, 5)).dropout("h", 0.2, 4096), factors[:, 3:5])


def test_where_it_would_do_nothing_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="inverse autoregressive"):
        IAF(IAFConfig(dropout=0.1), EventSpec.real(3), ContextSpec())
    with pytest.raises(ConfigError, match="dropout"):
        NSFConfig.parse({"dropout": 1.0})
