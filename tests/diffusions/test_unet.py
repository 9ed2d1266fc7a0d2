"""The networks of diffusion: any picture, any side, context absent when zero, and no parameter idle."""

from __future__ import annotations

import pytest
import torch

from headwater.networks.modulated import ModulatedMLP, modulate
from headwater.networks.time import TimeEmbedding
from headwater.networks.unet import UNet


def _stir(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 4), (3, 5, 7), (2, 8, 8), (4, 9, 13), (1, 28, 3), (1, 28, 28)])
def test_any_picture_keeps_its_shape_and_moves_every_parameter(shape: tuple[int, int, int]) -> None:
    net = UNet(shape, channels=8, levels=3, layers=1, condition=4)
    x, c = torch.randn(2, *shape), torch.randn(2, 4)
    assert not net(x, c).any()  # starts at zero
    _stir(net)
    out = net(x, c)
    assert out.shape == x.shape
    out.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_every_pixel_sees_every_other() -> None:
    net = UNet((1, 12, 12), channels=8, levels=2, layers=1, condition=4).double()
    _stir(net)
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x, torch.zeros(1, 4, dtype=torch.float64))[0, 0, 0, 0], x)
    assert (gradient != 0).all()


def test_rows_do_not_see_each_other() -> None:
    net = UNet((1, 6, 6), channels=8, levels=2, layers=1, condition=4).double()
    _stir(net)
    x, c = torch.randn(5, 1, 6, 6, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    assert torch.allclose(net(x, c)[2:3], net(x[2:3], c[2:3]))


def test_near_times_have_different_codes_and_no_context_is_a_context_of_zeros() -> None:
    embed = TimeEmbedding(16, 3)
    t = torch.tensor([0.5, 0.501])
    codes = embed(t, None)
    assert not torch.allclose(codes[0], codes[1], atol=1e-4)
    assert torch.equal(codes, embed(t, torch.zeros(2, 3)))
    assert not torch.allclose(codes, embed(t, torch.eye(3)[:2]))


def test_modulation_scales_and_shifts_channels() -> None:
    h = torch.ones(1, 2, 3, 3)
    out = modulate(h, torch.tensor([[1.0, 2.0, 10.0, 20.0]]))
    assert out[0, :, 0, 0].tolist() == [12.0, 23.0]


def test_modulated_mlp_starts_at_zero_and_listens_to_its_condition() -> None:
    net = ModulatedMLP(3, 2, width=16, blocks=2, condition=4)
    x, c = torch.randn(5, 3), torch.randn(5, 4)
    assert not net(x, c).any()
    _stir(net)
    assert not torch.allclose(net(x, c), net(x, -c))
