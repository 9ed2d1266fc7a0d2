"""Faults that users of flow libraries reported elsewhere, each as what must hold here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headwater.bijections.affine import Affine
from headwater.bijections.autoregressive import Autoregressive
from headwater.bijections.block_autoregressive import BlockAutoregressive
from headwater.bijections.coupling import Coupling
from headwater.bijections.deep_sigmoidal import DeepSigmoidal
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.integrated import Integrated
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.events import ContextSpec, EventSpec
from headwater.models.flows.maf import MAF, MAFConfig

SMALL = {"width": 16, "blocks": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_entirely_in_the_tails_passes_with_gradients(dtype: torch.dtype) -> None:
    """nflows#23, pyro#3139: such a batch crashed. flowjax#239: gradients through the branch not taken were NaN."""
    spline = RationalQuadratic(8)
    x = torch.tensor([1e4, -1e4, 4.0001, -5.0], dtype=dtype).requires_grad_()
    parameters = (20 * torch.randn(4, spline.size, dtype=dtype)).requires_grad_()
    for map_ in (spline.forward, spline.inverse):
        y, ladj = map_(x, parameters)
        assert torch.equal(y, x)
        assert (ladj == 0).all()
        gradients = torch.autograd.grad((y + ladj).sum(), (x, parameters))
        assert torch.equal(gradients[0], torch.ones_like(x))
        assert (gradients[1] == 0).all()


def test_sampling_never_meets_a_negative_discriminant() -> None:
    """nflows#87: rounding made the discriminant of the inverse negative for steep neighbours of flat bins."""
    spline = RationalQuadratic(8)
    parameters = 60 * torch.sign(torch.randn(200_000, spline.size))  # each bin least or large, each slope extreme
    y = 8 * torch.rand(200_000) - 4
    x, ladj = spline.inverse(y, parameters)
    assert torch.isfinite(x).all()
    assert torch.isfinite(ladj).all()
    assert (x.abs() <= 4).all()
    torch.testing.assert_close(spline(x, parameters)[0], y, rtol=0, atol=1e-4)


@pytest.mark.parametrize("map_", [DeepSigmoidal(1, 8), DeepSigmoidal(2, 6), Integrated()], ids=repr)
def test_noise_far_out_has_a_finite_origin(map_: Univariate) -> None:
    """zuko#20: samples of a neural autoregressive flow were infinite."""
    layer = Autoregressive(map_, 3, **SMALL).double()
    z = torch.tensor([[40.0, -40.0, 0.0], [1e3, 1e3, -1e3]], dtype=torch.float64)
    x, ladj = layer.inverse(z)
    assert torch.isfinite(x).all()
    assert torch.isfinite(ladj).all()
    torch.testing.assert_close(layer(x)[0], z, rtol=1e-8, atol=1e-8)


def test_a_scale_never_reaches_zero() -> None:
    """nflows#67: a scale of zero made the inverse infinite."""
    x = torch.tensor([0.5, -2.0])
    for raw in (-1e30, 1e30):
        parameters = torch.tensor([raw, 0.1]).expand(2, 2)
        z, ladj = Affine()(x, parameters)
        back, _ = Affine().inverse(z, parameters)
        assert torch.isfinite(ladj).all()
        torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_saturated_block_autoregressive_networks_stay_densities(spread: float) -> None:
    """flowjax#102: where tanh saturated, the map did not reach the whole line, and the density lost mass."""
    layer = BlockAutoregressive(1, hidden=4).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    scale = layer.inverse(torch.tensor([[8.0], [-8.0]], dtype=torch.float64))[0].abs().max().item()
    x = torch.linspace(-2 * scale, 2 * scale, 400_001, dtype=torch.float64)[:, None]
    z, ladj = layer(x)
    density = torch.exp(-0.5 * z[:, 0].square() + ladj) / (2 * torch.pi) ** 0.5
    assert abs(torch.trapezoid(density, x[:, 0]).item() - 1) < 1e-3
    assert torch.isfinite(layer.inverse(torch.tensor([[30.0]], dtype=torch.float64))[0]).all()


def test_one_dimension_sees_its_context() -> None:
    """flowjax#147: a one-dimensional conditional flow ignored its context."""
    flow = MAF(MAFConfig(transforms=2, width=16), EventSpec.real(1), ContextSpec(size=2))
    x, contexts = torch.zeros(2, 1), torch.eye(2)
    log_prob = flow.log_prob(x, context=contexts).value
    assert log_prob[0] != log_prob[1]


@pytest.mark.parametrize(
    "make",
    [lambda: Elementwise(Integrated(4, 16), 2), lambda: Coupling(RationalQuadratic(4), 2, [1], **SMALL)],
    ids=["integrated", "spline coupling"],
)
def test_parameters_get_the_gradient_of_the_inverse(make: object) -> None:
    """zuko 1b4b08e: the constant of integration was missing from the inverse's gradient."""
    bijection = make().double()  # type: ignore[operator]
    z = torch.randn(5, 2, dtype=torch.float64)

    def height(step: float, parameter: Tensor, direction: Tensor) -> float:
        with torch.no_grad():
            parameter.add_(step * direction)
            x, ladj = bijection.inverse(z)
            parameter.sub_(step * direction)
        return float((x.sin() + ladj[:, None].cos()).sum())

    x, ladj = bijection.inverse(z)
    total = (x.sin() + ladj[:, None].cos()).sum()
    for parameter, gradient in zip(
        bijection.parameters(), torch.autograd.grad(total, tuple(bijection.parameters())), strict=True
    ):
        direction = torch.randn_like(parameter)
        slope = (height(1e-5, parameter, direction) - height(-1e-5, parameter, direction)) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_sign_of_a_log_determinant_is_that_of_the_map() -> None:
    """normflows#27: both directions had the wrong sign, which a test of their sum cannot see."""
    doubling = Elementwise(Affine(), 1)
    with torch.no_grad():
        for parameter in doubling.parameters():
            parameter.copy_(torch.tensor([1.0, 0.0]).expand_as(parameter.reshape(-1, 2)).reshape(parameter.shape))
    x = torch.zeros(1, 1)
    assert doubling(x)[1] > 0
    assert doubling.inverse(x)[1] < 0
