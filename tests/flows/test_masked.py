"""The masked network: what may depend on what, and that a sweep equals dense passes."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from torch import Tensor

from headwater.networks.masked import MaskedMLP
from headwater.networks.masked_linear import MaskedLinear

NETWORKS = {
    "plain": (4, 2, 1, 0, None, 32),
    "one feature": (1, 3, 1, 0, None, 8),
    "one feature, condition": (1, 3, 2, 2, None, 8),
    "sizes, order, condition": (5, [1, 2, 3, 4, 2], [2, 1, 3, 1, 1], 3, [3, 1, 0, 4, 2], 32),
    "narrower than features": (7, 3, 1, 0, None, 4),
    "narrower, condition": (7, 3, 1, 2, [6, 5, 4, 3, 2, 1, 0], 4),
}


def edges(sizes: int | list[int], features: int) -> list[int]:
    return [0, *accumulate([sizes] * features if isinstance(sizes, int) else sizes)]


def build(name: str) -> tuple[MaskedMLP, Tensor, Tensor | None]:
    features, outs, ins, condition, order, width = NETWORKS[name]
    net = MaskedMLP(
        features, outs, width=width, blocks=2, condition=condition, inputs_per_feature=ins, order=order
    ).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    x = torch.randn(6, edges(ins, features)[-1], dtype=torch.float64)
    return net, x, torch.randn(6, condition, dtype=torch.float64) if condition else None


every = pytest.mark.parametrize("name", NETWORKS)


@every
def test_an_output_sees_exactly_the_features_before_its_own(name: str) -> None:
    net, x, c = build(name)
    features, outs, ins, _, order, width = NETWORKS[name]
    out_edges, in_edges = edges(outs, features), edges(ins, features)
    row = None if c is None else c[:1]
    full = torch.autograd.functional.jacobian(lambda v: net(v[None], row)[0], x[0])
    rank = {feature: number for number, feature in enumerate(order or range(features))}
    for d in range(features):
        for e in range(features):
            part = full[out_edges[d] : out_edges[d + 1], in_edges[e] : in_edges[e + 1]]
            if rank[e] >= rank[d]:
                assert (part == 0).all(), f"outputs of {d} see {e}"
            elif width >= features:
                assert (part != 0).all(), f"outputs of {d} do not see {e}"
    if c is not None:
        seen = torch.autograd.functional.jacobian(lambda v: net(x[:1], v[None])[0], c[0])
        assert (seen != 0).all(), "an output ignores the condition"


@every
def test_a_sweep_gives_what_dense_passes_give(name: str) -> None:
    net, x, c = build(name)
    features, outs, ins, *_ = NETWORKS[name]
    out_edges, in_edges, dense = edges(outs, features), edges(ins, features), net(x, c)

    def choose(d: int, outputs: Tensor) -> Tensor:
        torch.testing.assert_close(outputs, dense[:, out_edges[d] : out_edges[d + 1]], rtol=1e-10, atol=1e-12)
        return x[:, in_edges[d] : in_edges[d + 1]]

    assert torch.equal(net.sweep(len(x), choose, c), x)


@every
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_training_keeps_the_mask(name: str, optimizer: type[torch.optim.Optimizer]) -> None:
    net, x, c = build(name)
    steps = optimizer(net.parameters(), lr=0.01, weight_decay=0.1)  # type: ignore[call-arg]
    for _ in range(3):
        steps.zero_grad()
        net(x, c).square().mean().backward()
        steps.step()
    for module in net.modules():
        if isinstance(module, MaskedLinear):
            assert (module.weight[~module.mask] == 0).all()
            assert module.weight.grad is not None
            assert (module.weight.grad[~module.mask] == 0).all()


@every
def test_every_parameter_gets_a_gradient(name: str) -> None:
    net, x, c = build(name)
    (net(x, c) - 1).square().sum().backward()
    for label, parameter in net.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


def test_the_gradient_is_that_of_the_masked_product() -> None:
    layer = MaskedLinear(torch.rand(6, 5) < 0.5).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    weight = layer.weight.detach().clone().requires_grad_()
    (layer(x).square().sum()).backward()
    (torch.nn.functional.linear(x, weight * layer.mask, layer.bias.detach()).square().sum()).backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, weight.grad)
