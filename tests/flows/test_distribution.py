"""A flow as a torch distribution: shapes, agreement with the model, gradients."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from headwater.events import ContextSpec, EventSpec
from headwater.models.flows.maf import MAF, MAFConfig


def flow(context: int = 3) -> MAF:
    torch.manual_seed(0)
    spec = ContextSpec(size=context)
    return MAF(MAFConfig(transforms=2, width=16, blocks=1), EventSpec.real(2), spec).double()


def test_shapes_broadcast_as_torch_says() -> None:
    model, context = flow(), torch.randn(4, 1, 3, dtype=torch.float64)
    p = model.distribution(context)
    assert (p.batch_shape, p.event_shape) == ((4, 1), (2,))
    assert p.sample((5,)).shape == (5, 4, 1, 2)
    assert p.log_prob(torch.zeros(7, 2, dtype=torch.float64)).shape == (4, 7)
    assert p.expand((6, 4, 1)).sample().shape == (6, 4, 1, 2)
    assert flow(0).distribution().sample((3,)).shape == (3, 2)


def test_it_is_the_model_row_by_row() -> None:
    model, context = flow(), torch.randn(4, 3, dtype=torch.float64)
    x = torch.randn(4, 2, dtype=torch.float64)
    expected = model.log_prob(x, context=context).value
    torch.testing.assert_close(model.distribution(context).log_prob(x), expected)
    one = torch.stack([model.distribution(context[i]).log_prob(x[i]) for i in range(4)])
    torch.testing.assert_close(one, expected)


def test_samples_follow_the_global_seed_and_carry_gradients() -> None:
    model, context = flow(), torch.randn(3, dtype=torch.float64, requires_grad=True)
    p = model.distribution(context)
    torch.manual_seed(1)
    x, log_prob = p.rsample_and_log_prob((6,))
    torch.manual_seed(1)
    assert torch.equal(p.rsample((6,)), x)
    torch.testing.assert_close(p.log_prob(x), log_prob)
    log_prob.mean().backward()
    assert context.grad is not None
    assert context.grad.abs().sum() > 0
    assert p.sample((2,)).requires_grad is False


def test_torch_finds_nothing_else_in_it() -> None:
    p = flow(0).distribution()
    with pytest.raises(NotImplementedError):
        kl_divergence(p, p)
    assert p.support.check(torch.zeros(2, dtype=torch.float64)).item()
