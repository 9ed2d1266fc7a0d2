"""Laws of every bijection, over a dict of named constructors: a new bijection is one line here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.additive import Additive
from headwater.bijections.affine import Affine
from headwater.bijections.autoregressive import Autoregressive
from headwater.bijections.bernstein import Bernstein
from headwater.bijections.bijection import Bijection, initialize
from headwater.bijections.block_autoregressive import BlockAutoregressive
from headwater.bijections.causal_transformer import TransformerAutoregressive
from headwater.bijections.combinators import Compose, Indexed, Inverse, Repeat
from headwater.bijections.coupling import Coupling
from headwater.bijections.cubic_spline import CubicSpline
from headwater.bijections.deep_sigmoidal import DeepSigmoidal
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.gaussianize import Gaussianize
from headwater.bijections.householder import Householder
from headwater.bijections.integrated import Integrated
from headwater.bijections.linear_spline import LinearSpline
from headwater.bijections.lu import LULinear
from headwater.bijections.marginal import Marginal
from headwater.bijections.mixed import MixedAutoregressive, MixedCoupling
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.permutation import Permutation
from headwater.bijections.planar import Planar
from headwater.bijections.qr import QRLinear
from headwater.bijections.quadratic_spline import QuadraticSpline
from headwater.bijections.radial import Radial
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.residual import Residual
from headwater.bijections.sum_of_squares import SumOfSquares
from headwater.bijections.sylvester import Sylvester
from headwater.bijections.triangular import Triangular
from headwater.bijections.univariate import Univariate

D, C, N = 5, 3, 7

SMALL = {"width": 16, "blocks": 1}
SPLINE = RationalQuadratic(4)
BIJECTIONS: dict[str, Callable[[], Bijection]] = {
    "identity": Compose,
    "permutation": lambda: Permutation([3, 0, 4, 1, 2]),
    "reverse": lambda: Permutation.reverse(D),
    "random permutation": lambda: Permutation.random(D, 3),
    "actnorm": lambda: ActNorm(D),
    "lu": lambda: LULinear(D),
    "triangular": lambda: Triangular(D),
    "elementwise affine": lambda: Elementwise(Affine(), D),
    "elementwise spline": lambda: Elementwise(RationalQuadratic(4), D),
    "elementwise spline, context": lambda: Elementwise(RationalQuadratic(4), D, context=C),
    "affine coupling": lambda: Coupling(Affine(), D, [0, 2, 4], **SMALL),
    "affine coupling, context": lambda: Coupling(Affine(), D, [4, 1], context=C, **SMALL),
    "spline coupling": lambda: Coupling(RationalQuadratic(5), D, [1, 3], **SMALL),
    "spline coupling, context": lambda: Coupling(RationalQuadratic(5), D, [0, 2, 4], context=C, **SMALL),
    "affine autoregressive": lambda: Autoregressive(Affine(), D, **SMALL),
    "affine autoregressive, context": lambda: Autoregressive(Affine(), D, context=C, **SMALL),
    "spline autoregressive": lambda: Autoregressive(RationalQuadratic(5), D, **SMALL),
    "spline autoregressive, context": lambda: Autoregressive(RationalQuadratic(5), D, context=C, **SMALL),
    "spline autoregressive, order": lambda: Autoregressive(RationalQuadratic(2), D, order=[2, 4, 0, 1, 3], **SMALL),
    "spline autoregressive, narrow": lambda: Autoregressive(RationalQuadratic(3), D, width=3, blocks=2),
    "inverse": lambda: Inverse(Autoregressive(Affine(), D, **SMALL)),
    "indexed": lambda: Indexed(Coupling(RationalQuadratic(3), 3, [1], context=C, **SMALL), [4, 0, 2], D),
    "repeat": lambda: Repeat(Compose(Permutation([1, 2, 3, 4, 0]), Coupling(Affine(), D, [0, 1], **SMALL)), 3),
    "compose": lambda: Compose(
        ActNorm(D), Permutation.reverse(D), LULinear(D), Autoregressive(RationalQuadratic(4), D, context=C, **SMALL)
    ),
}
UNIVARIATES: dict[str, Callable[[], Univariate]] = {
    "additive": Additive,
    "linear spline": lambda: LinearSpline(5),
    "quadratic spline": lambda: QuadraticSpline(5),
    "cubic spline": lambda: CubicSpline(5),
    "mixture": lambda: MixtureCDF(4),
    "sigmoidal": lambda: DeepSigmoidal(1, 4),
    "deep sigmoidal": lambda: DeepSigmoidal(3, 3),
    "sum of squares": lambda: SumOfSquares(2, 2),
    "Bernstein": lambda: Bernstein(7),
    "integrated": lambda: Integrated(3, 8),
}
BIJECTIONS |= {
    f"{name} {shape}": build
    for name, make in UNIVARIATES.items()
    for shape, build in (
        ("elementwise", lambda make=make: Elementwise(make(), D)),
        ("coupling", lambda make=make: Coupling(make(), D, [0, 3], **SMALL)),
        ("autoregressive, context", lambda make=make: Autoregressive(make(), D, context=C, **SMALL)),
    )
}
BIJECTIONS |= {
    "planar": lambda: Planar(D),
    "planar, context": lambda: Planar(D, context=C),
    "radial": lambda: Radial(D),
    "radial, context": lambda: Radial(D, context=C),
    "householder": lambda: Householder(D),
    "qr": lambda: QRLinear(D),
    "sylvester": lambda: Sylvester(D),
    "sylvester, two, context": lambda: Sylvester(D, 2, context=C),
    "residual": lambda: Residual(D, width=8),
    "residual, narrow, context": lambda: Residual(D, context=C, width=3, hidden=3),
    "residual, swish": lambda: Residual(D, width=8, activation="lipswish"),
    "gaussianize": lambda: Gaussianize(D, 4),
    "gaussianize, logistic, context": lambda: Gaussianize(D, 4, kernel="logistic", context=C),
    "marginal": lambda: Marginal(D, D, bins=6),
    "transformer": lambda: TransformerAutoregressive(Affine(), (1, 1, D), (1, 1), width=8, depth=1, heads=2),
    "transformer, context": lambda: TransformerAutoregressive(
        MixtureCDF(3), (1, 1, D), (1, 1), context=C, width=8, depth=2, heads=2, reach=1
    ),
    "transformer, one patch, context": lambda: TransformerAutoregressive(
        RationalQuadratic(4), (1, D, 1), (D, 1), context=C, width=8, depth=1, heads=2, inner=8
    ),
    "block autoregressive": lambda: BlockAutoregressive(D, hidden=3),
    "block autoregressive, context": lambda: BlockAutoregressive(D, context=C, hidden=3, order=[3, 0, 4, 1, 2]),
}
BIJECTIONS |= {
    "mixed autoregressive, reals": lambda: MixedAutoregressive([SPLINE, Affine(), SPLINE, Affine(), SPLINE], **SMALL),
    "mixed autoregressive, context": lambda: MixedAutoregressive(
        [SPLINE] * D, context=C, order=[3, 0, 4, 1, 2], **SMALL
    ),
    "mixed coupling, reals": lambda: MixedCoupling([SPLINE, Affine(), SPLINE, Affine(), SPLINE], [1, 2], **SMALL),
    "mixed coupling, context": lambda: MixedCoupling([SPLINE] * D, [0, 3], context=C, **SMALL),
}
IGNORES_CONTEXT = {name for name in BIJECTIONS if "context" not in name} - {"indexed", "compose"}


def build(name: str, dtype: torch.dtype = torch.float64, spread: float = 0.3) -> Bijection:
    bijection = BIJECTIONS[name]().to(dtype)
    with torch.no_grad():
        for parameter in bijection.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    remask(bijection)
    return bijection


def remask(module: nn.Module) -> None:
    """Adding noise to all weights breaks the masked ones' promise; put it back."""
    for part in module.modules():
        mask = getattr(part, "mask", None)
        if isinstance(mask, Tensor):
            part.weight.data *= mask


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = 2 * torch.randn(N, D, dtype=dtype)
    x[0, 0], x[1, 1], x[2] = 7.5, -1e3, 0.0  # the tails, far out, and a point on a knot of an even spline
    return x, torch.randn(N, C, dtype=dtype)


def jacobian(map_: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    full = torch.autograd.functional.jacobian(lambda v: map_(v).sum(dim=0), x)
    assert isinstance(full, Tensor)
    return full.transpose(0, 1)


every = pytest.mark.parametrize("name", BIJECTIONS)


@every
def test_inverse_undoes_forward_both_ways_in_float64(name: str) -> None:
    bijection, (x, c) = build(name), inputs()
    z, ladj = bijection(x, c)
    back, ladj_back = bijection.inverse(z, c)
    near = x.abs().amax(dim=1) < 100  # far out, z may not hold the digits of x; there, too, back must give the same z
    torch.testing.assert_close(back[near], x[near], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj_back[near], -ladj[near], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(bijection(back, c)[0], z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(bijection(bijection.inverse(x, c)[0], c)[0], x, rtol=1e-9, atol=1e-9)
    assert z.dtype == ladj.dtype == back.dtype == torch.float64
    assert ladj.shape == ladj_back.shape == (N,)


@every
def test_inverse_undoes_forward_both_ways_in_float32(name: str) -> None:
    bijection, (x, c) = build(name, torch.float32, spread=0.05), inputs(torch.float32)
    x = x.clamp(-8, 8)
    z, ladj = bijection(x, c)
    back, _ = bijection.inverse(z, c)
    torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(bijection(bijection.inverse(x, c)[0], c)[0], x, rtol=1e-5, atol=1e-4)
    assert z.dtype == ladj.dtype == torch.float32


@every
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_determinant_is_that_of_autodiff(name: str, direction: str) -> None:
    bijection, (x, c) = build(name), inputs()
    x = x.clamp(-20, 20) + 1e-3
    step = bijection.forward if direction == "forward" else bijection.inverse
    expected = torch.linalg.slogdet(jacobian(lambda v: step(v, c)[0], x)).logabsdet
    torch.testing.assert_close(step(x, c)[1], expected, rtol=1e-9, atol=1e-9)


@every
def test_rows_do_not_see_each_other(name: str) -> None:
    bijection, (x, c) = build(name), inputs()
    z, ladj = bijection(x, c)
    alone, ladj_alone = bijection(x[3:4], c[3:4])
    torch.testing.assert_close(alone, z[3:4])
    torch.testing.assert_close(ladj_alone, ladj[3:4])


@every
def test_the_context_matters_where_one_is_taken(name: str) -> None:
    bijection, (x, c) = build(name), inputs()
    differs = not torch.equal(bijection(x, c)[0], bijection(x, c.flip(0))[0])
    assert differs == (name not in IGNORES_CONTEXT)


@every
def test_every_parameter_gets_a_gradient(name: str) -> None:
    bijection, (x, c) = build(name), inputs()
    z, ladj = bijection(x.clamp(-3, 3), c)
    (z.square().sum() - ladj.sum()).backward() if z.requires_grad else None
    for label, parameter in bijection.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label
        assert torch.isfinite(parameter.grad).all(), label


@every
def test_without_gradients_the_inverse_is_the_same(name: str) -> None:
    bijection, (z, c) = build(name), inputs()
    x, ladj = bijection.inverse(z, c)
    with torch.no_grad():
        fast, ladj_fast = bijection.inverse(z, c)
    torch.testing.assert_close(fast, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ladj_fast, ladj, rtol=1e-10, atol=1e-10)


@every
def test_state_and_repr(name: str) -> None:
    bijection, (x, c) = build(name), inputs()
    other = build(name)
    other.load_state_dict(bijection.state_dict())
    assert torch.equal(other(x, c)[0], bijection(x, c)[0])
    assert type(bijection).__name__ in repr(bijection)


@pytest.mark.parametrize("order", [None, [2, 4, 0, 1, 3]])
@pytest.mark.parametrize("context", [0, C])
@pytest.mark.parametrize("width", [3, 16])
def test_incremental_sampling_is_dense_sampling(order: list[int] | None, context: int, width: int) -> None:
    layer = Autoregressive(RationalQuadratic(4), D, context=context, width=width, order=order).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(5)
    z, c = inputs()
    given = c if context else None
    for sweep, dense in zip(layer.inverse_sweep(z, given), layer.inverse_dense(z, given), strict=True):
        torch.testing.assert_close(sweep, dense, rtol=1e-10, atol=1e-10)


def test_actnorm_standardizes_the_first_batch_and_so_do_the_ones_behind_it() -> None:
    first, second = ActNorm(D), ActNorm(D)
    flow = Compose(first, Elementwise(RationalQuadratic(4), D), LULinear(D), second).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = 3 * torch.randn(500, D, dtype=torch.float64) + 10
    x[:, 4] = 2.0  # a constant column must not divide by zero
    initialize(flow, x)
    inner = first(x)[0]
    torch.testing.assert_close(inner.mean(0), torch.zeros(D, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(inner[:, :4].std(0, unbiased=False), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(flow(x)[0].mean(0), torch.zeros(D, dtype=torch.float64), atol=1e-9, rtol=0)
    assert all(not module._forward_pre_hooks for module in flow.modules())


def test_random_permutations_are_the_same_on_every_machine() -> None:
    assert Permutation.random(8, 0).order.tolist() == Permutation.random(8, 0).order.tolist()
    assert Permutation.random(8, 0).order.tolist() != Permutation.random(8, 1).order.tolist()
