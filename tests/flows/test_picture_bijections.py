"""Laws of the bijections of pictures, over a dict of named constructors, and what is particular to each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection, initialize
from headwater.bijections.channel_coupling import ChannelCoupling, Checkerboard
from headwater.bijections.combinators import Compose
from headwater.bijections.conv1x1 import Conv1x1
from headwater.bijections.logit import Logit
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.per_pixel import PerPixel
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.split import Split
from headwater.bijections.squeeze import Flatten, Squeeze
from headwater.bijections.univariate import Univariate

N, K = 5, 3
EVEN, ODD = (2, 4, 2), (1, 3, 5)
Build = Callable[[], Bijection]

MAPS: dict[str, Callable[[], Univariate]] = {
    "affine": Affine,
    "spline": lambda: RationalQuadratic(4),
    "mixture": lambda: MixtureCDF(3),
}
SMALL = {"width": 8, "blocks": 1}


def split(context: int = 0) -> Bijection:
    prior = ChannelCoupling(Affine(), (3, 2, 2), [2], context=context, **SMALL)
    return Split(Flatten((2, 2, 2)), prior, (3, 2, 2))


BIJECTIONS: dict[str, tuple[tuple[int, int, int], Build]] = {
    "squeeze": (EVEN, Squeeze),
    "flatten": (ODD, lambda: Flatten(ODD)),
    "logit": (EVEN, lambda: Logit(0.05)),
    "actnorm": (EVEN, lambda: PerPixel(ActNorm(2))),
    "1x1": ((4, 2, 3), lambda: Conv1x1(4)),
    "1x1 of one channel": (ODD, lambda: Conv1x1(1)),
    "split": ((3, 2, 2), split),
    "split, context": ((3, 2, 2), lambda: split(K)),
    "checkerboard beside fixed channels": (EVEN, lambda: Checkerboard(Affine(), EVEN, 0, fixed=1, **SMALL)),
    "two checkerboards, one row": (
        (1, 1, 4),
        lambda: Compose(Checkerboard(Affine(), (1, 1, 4), 0, **SMALL), Checkerboard(Affine(), (1, 1, 4), 1, **SMALL)),
    ),
}
for label, make in MAPS.items():
    BIJECTIONS |= {
        f"{label} by channel": (EVEN, lambda make=make: ChannelCoupling(make(), EVEN, [0], **SMALL)),
        f"{label} by channel, context": (
            (3, 2, 3),
            lambda make=make: ChannelCoupling(make(), (3, 2, 3), [2, 0], context=K, **SMALL),
        ),
        f"{label} by checkerboard": (EVEN, lambda make=make: Checkerboard(make(), EVEN, 1, **SMALL)),
        f"{label} by checkerboard, odd, context": (
            ODD,
            lambda make=make: Checkerboard(make(), ODD, 0, context=K, **SMALL),
        ),
    }
every = pytest.mark.parametrize("name", BIJECTIONS)


def build(name: str, dtype: torch.dtype = torch.float64, spread: float = 0.2) -> Bijection:
    bijection = BIJECTIONS[name][1]().to(dtype)
    with torch.no_grad():
        for parameter in bijection.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return bijection


def inputs(name: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = torch.randn(N, *BIJECTIONS[name][0], dtype=dtype)
    return torch.sigmoid(x) if name == "logit" else x, torch.randn(N, K, dtype=dtype)


def log_abs_det(map_: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    full = torch.autograd.functional.jacobian(lambda v: map_(v).flatten(1).sum(dim=0), x)
    assert isinstance(full, Tensor)
    return torch.linalg.slogdet(full.transpose(0, 1).flatten(2)).logabsdet


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inverse_undoes_forward_both_ways(name: str, dtype: torch.dtype) -> None:
    double = dtype == torch.float64
    bijection, (x, c) = build(name, dtype, 0.2 if double else 0.05), inputs(name, dtype)
    off = {"rtol": 1e-9, "atol": 1e-9} if double else {"rtol": 1e-4, "atol": 1e-4}
    z, ladj = bijection(x, c)
    back, ladj_back = bijection.inverse(z, c)
    torch.testing.assert_close(back, x, **off)
    torch.testing.assert_close(ladj_back, -ladj, **off)
    torch.testing.assert_close(bijection(bijection.inverse(z, c)[0], c)[0], z, **off)
    assert z.dtype == ladj.dtype == back.dtype == ladj_back.dtype == dtype
    assert ladj.shape == ladj_back.shape == (N,)
    assert z[0].numel() == x[0].numel()


@every
def test_log_determinants_are_those_of_autodiff(name: str) -> None:
    bijection, (x, c) = build(name), inputs(name)
    z, ladj = bijection(x, c)
    torch.testing.assert_close(ladj, log_abs_det(lambda v: bijection(v, c)[0], x), rtol=1e-9, atol=1e-9)
    z = z.detach()
    expected = log_abs_det(lambda v: bijection.inverse(v, c)[0], z)
    torch.testing.assert_close(bijection.inverse(z, c)[1], expected, rtol=1e-8, atol=1e-8)


@every
def test_rows_do_not_see_each_other_and_parameters_get_gradients(name: str) -> None:
    bijection, (x, c) = build(name), inputs(name)
    z, ladj = bijection(x, c)
    alone, ladj_alone = bijection(x[3:4], c[3:4])
    torch.testing.assert_close(alone, z[3:4])
    torch.testing.assert_close(ladj_alone, ladj[3:4])
    assert torch.equal(bijection(x, c.flip(0))[0], z) == ("context" not in name)
    if z.requires_grad or ladj.requires_grad:
        (z.square().sum() - ladj.sum()).backward()
    for label, parameter in bijection.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label
    other = build(name)
    other.load_state_dict(bijection.state_dict())
    assert torch.equal(other(x, c)[0], z)


def test_squeeze_puts_each_square_into_four_channels() -> None:
    x = torch.arange(2 * 2 * 4, dtype=torch.float32).reshape(1, 2, 2, 4)
    z = Squeeze()(x)[0]
    assert z.shape == (1, 8, 1, 2)
    assert z[0, :, 0, 1].tolist() == [2, 3, 6, 7, 10, 11, 14, 15]


def test_the_convolution_starts_as_a_rotation_and_multiplies_by_its_matrix() -> None:
    conv = Conv1x1(6).double()
    torch.testing.assert_close(conv.matrix() @ conv.matrix().T, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    z, ladj = conv(x)
    torch.testing.assert_close(z, torch.einsum("ij,bjhw->bihw", conv.matrix(), x))
    with torch.no_grad():
        conv.log_diagonal.add_(0.7)
    torch.testing.assert_close(conv(x)[1] - ladj, torch.full((2,), 6 * 12 * 0.7, dtype=torch.float64))


def test_under_autocast_the_convolution_keeps_its_precision() -> None:
    conv, x = Conv1x1(8), torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = conv(x)[0]
        back = conv.inverse(z)[0]
    assert z.dtype == torch.float32
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-4)


def test_a_checkerboard_moves_one_colour_as_the_other_says() -> None:
    for moved in (0, 1):
        shape = (2, 3, 5)
        board = Checkerboard(Affine(), shape, moved, width=16).double()
        with torch.no_grad():
            for parameter in board.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        colour = (torch.arange(3)[:, None] + torch.arange(5)) % 2
        x = torch.randn(1, *shape, dtype=torch.float64)
        z = board(x)[0]
        assert torch.equal(z[..., colour != moved], x[..., colour != moved])
        assert (z[..., colour == moved] != x[..., colour == moved]).all()
        other = torch.where(colour == moved, torch.randn_like(x), x)
        slope = (board(other)[0] - z)[..., colour == moved] / (other - x)[..., colour == moved]
        again = torch.where(colour == moved, torch.randn_like(x), x)
        same = (board(again)[0] - z)[..., colour == moved] / (again - x)[..., colour == moved]
        torch.testing.assert_close(slope, same)  # what moves has no say in how


def test_a_split_is_a_learned_gaussian_of_the_half_left_behind() -> None:
    prior = ChannelCoupling(Affine(), (4, 2, 2), [2, 3], width=8, blocks=0).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    flow = Split(Flatten((2, 2, 2)), prior, (4, 2, 2)).double()
    x = torch.randn(N, 4, 2, 2, dtype=torch.float64)
    z, ladj = flow(x)
    on, left = x[:, :2], x[:, 2:]
    s, t = prior.conditioner(on).reshape(N, 2, 2, 2, 2).unbind(dim=2)
    a = s / (1 + s.abs() / 5)
    mean, std = -t * torch.exp(-a), torch.exp(-a)  # b' = e^a b + t is standard normal
    normal = torch.distributions.Normal
    expected = normal(0.0, 1.0).log_prob(on).flatten(1).sum(1) + normal(mean, std).log_prob(left).flatten(1).sum(1)
    got = normal(0.0, 1.0).log_prob(z).sum(1) + ladj
    torch.testing.assert_close(got, expected)
    assert z.shape == (N, 16)


def test_actnorm_standardizes_each_channel_over_the_pixels_of_the_first_batch() -> None:
    flow = Compose(PerPixel(ActNorm(2)), Conv1x1(2), PerPixel(ActNorm(2))).double()
    x = 3 * torch.randn(50, 2, 4, 6, dtype=torch.float64) + torch.tensor([10.0, -4.0])[:, None, None]
    initialize(flow, x)
    z = flow(x)[0]
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3), unbiased=False), torch.ones(2, dtype=torch.float64))


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.glow import Glow
from headwater.rng import Rng

settings = {"steps": 1, "width": 4, "masks": "checkerboard", "coupling": "affine", "dequantization": "variational"}
model = Glow(Glow.Config(**settings), EventSpec.pixels(1, 2, 2, levels=5), ContextSpec(size=2))
batch, rng = Batch(torch.randint(5, (6, 1, 2, 2)).float(), torch.randn(6, 2)), Rng.of(0, 6)
fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
plain = model.loss(batch, "model", rng).total
torch.testing.assert_close(fast, plain)
fast.backward()
assert all(p.grad is not None for p in model.parameters())
"""


def test_the_loss_compiles_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
