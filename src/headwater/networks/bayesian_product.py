"""Mean and variance of ``x @ W`` for Gaussian weights, and the divergence of the weights, in few passes over memory.

Two products, ``x @ M`` and ``x^2 @ V`` with ``V = exp(r P)``, and

    KL = sum (V + M^2) / (2 s^2) - r P / 2 + log s - 1/2.

Plain formulas make autograd pass over tensors of the size of the weights a dozen times. Here the weights are
read once on the way forward, in pieces that stay in the processor's cache, and their gradients

    by M = x^T g + k M / s^2          by P = r (V ((x^2)^T h + k / (2 s^2)) - k / 2)

are written once on the way back, with ``g``, ``h``, ``k`` the gradients by mean, variance and KL. Where products
are to be reduced (see :mod:`headwater.training.precision`), ``M`` and ``V`` are rounded to bfloat16 once for both ways.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["bayesian_product", "plain_bayesian_product"]

_PIECE = 2**18  # weights at a time where they are only read or written
_STRIP = 2**23  # weights at a time behind a product, whose other factor is packed anew for each
_FORWARD = "(Tensor x, Tensor mean, Tensor spread, float rate, float scale, bool divergence) -> "
_BACKWARD = "(Tensor x, Tensor mean, Tensor spread, Tensor low_mean, Tensor low_variance, Tensor reduced, "
Moments = tuple[Tensor, Tensor, Tensor]


def plain_bayesian_product(
    x: Tensor, mean: Tensor, spread: Tensor, *, rate: float, scale: float, divergence: bool = True
) -> Moments:
    """The formulas as they stand: what :func:`bayesian_product` is held against, and what other devices run."""
    variance = torch.exp(rate * spread)
    kl = x.new_zeros(())
    if divergence:
        quadratic = (variance.sum() + mean.square().sum()) / (2 * scale**2)
        kl = quadratic - rate * spread.sum() / 2 + mean.numel() * (math.log(scale) - 0.5)
    return x @ mean, x.square() @ variance, kl


def bayesian_product(
    x: Tensor, mean: Tensor, spread: Tensor, *, rate: float, scale: float, divergence: bool = True
) -> Moments:
    """``(x @ M, x^2 @ exp(r P), KL(N(M, exp(r P)) || N(0, s^2)))``; shapes ``(B, I), (I, O) -> (B, O), (B, O), ()``.

    Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015), section 2.2,
    https://arxiv.org/abs/1506.02557.

    Args:
        x: Inputs.
        mean: ``M``.
        spread: ``P``, the log-variances over ``r``.
        rate: ``r``: how much faster than other parameters a log-variance moves.
        scale: ``s``, of the prior.
        divergence: Whether the KL is wanted; else it is zero.
    """
    if mean.device.type != "cpu" or mean.dtype != torch.float32:
        return plain_bayesian_product(x, mean, spread, rate=rate, scale=scale, divergence=divergence)
    found = _forward(x.to(mean.dtype), mean, spread, rate, scale, divergence)
    return found[0], found[1], found[2]


def _pieces(matrix: Tensor, size: int) -> list[slice]:
    rows, columns = matrix.shape
    step = max(1, size // max(1, columns))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


@torch.library.custom_op(
    "headwater::bayesian_product", mutates_args=(), schema=_FORWARD + "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
def _forward(
    x: Tensor, mean: Tensor, spread: Tensor, rate: float, scale: float, divergence: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    reduced = torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # type: ignore[attr-defined]
    low_mean = torch.empty_like(mean, dtype=torch.bfloat16)  # costs nothing where it is not written
    low_variance = torch.empty_like(low_mean)
    variance = mean.new_empty(0) if reduced else torch.empty_like(mean)
    quadratic, logs = mean.new_zeros((), dtype=torch.float64), mean.new_zeros((), dtype=torch.float64)
    for piece in _pieces(mean, _PIECE):
        m, p = mean[piece], spread[piece]
        v = torch.mul(p, rate, out=variance[piece] if not reduced else None).exp_()
        if divergence:
            quadratic += v.sum() + torch.linalg.vector_norm(m).square()
            logs += p.sum()
        if reduced:
            low_mean[piece].copy_(m)
            low_variance[piece].copy_(v)
    kl = quadratic / (2 * scale**2) - rate / 2 * logs
    kl += mean.numel() * (math.log(scale) - 0.5) * divergence
    if reduced:
        means, variances = (x.bfloat16() @ low_mean).float(), (x.square().bfloat16() @ low_variance).float()
    else:
        means, variances = x @ mean, x.square() @ variance
    return means, variances, kl.to(x.dtype), low_mean, low_variance, torch.tensor(reduced)


@_forward.register_fake
def _(
    x: Tensor, mean: Tensor, spread: Tensor, rate: float, scale: float, divergence: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    out = x.new_empty(x.shape[0], mean.shape[1])
    low = torch.empty_like(mean, dtype=torch.bfloat16)
    kind = torch.empty((), dtype=torch.bool, device=x.device)
    return out, torch.empty_like(out), x.new_empty(()), low, torch.empty_like(low), kind


@torch.library.custom_op(
    "headwater::bayesian_product_backward",
    mutates_args=(),
    schema=_BACKWARD
    + "Tensor by_mean, Tensor by_variance, Tensor by_kl, float rate, float scale) -> (Tensor, Tensor, Tensor)",
)
def _backward(
    x: Tensor,
    mean: Tensor,
    spread: Tensor,
    low_mean: Tensor,
    low_variance: Tensor,
    reduced: Tensor,
    by_mean: Tensor,
    by_variance: Tensor,
    by_kl: Tensor,
    rate: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    k, low = float(by_kl), bool(reduced)
    square = x.square()
    to_mean, to_spread = torch.empty_like(mean), torch.empty_like(spread)
    dtype = torch.bfloat16 if low else x.dtype
    left, left_square, g, h = (t.to(dtype) for t in (x.t(), square.t(), by_mean, by_variance))
    variance = low_variance if low else torch.exp(rate * spread)
    strips = _pieces(mean, _STRIP)
    room = torch.empty(2, strips[0].stop, mean.shape[1], dtype=dtype)
    for strip in strips:
        direct, spreading = room[:, : strip.stop - strip.start]
        torch.mm(left[strip], g, out=direct)
        torch.mm(left_square[strip], h, out=spreading)
        for piece in _pieces(direct, _PIECE):
            at = slice(strip.start + piece.start, strip.start + piece.stop)
            to_mean[at].copy_(direct[piece]).add_(mean[at], alpha=k / scale**2)
            out = to_spread[at].copy_(spreading[piece]).add_(k / (2 * scale**2))
            out.mul_(variance[at]).mul_(rate).sub_(rate * k / 2)
    to_x = g @ (low_mean if low else mean).t()
    to_square = h @ variance.t()
    return to_x.to(x.dtype).addcmul_(x, to_square.to(x.dtype), value=2), to_mean, to_spread


@_backward.register_fake
def _(x: Tensor, mean: Tensor, spread: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(mean), torch.empty_like(spread)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, mean, spread, ctx.rate, ctx.scale, ctx.divergence = inputs
    ctx.save_for_backward(x, mean, spread, *output[3:])
    ctx.set_materialize_grads(True)


def _gradients(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    by_mean, by_variance, by_kl = gradients[:3]
    by_kl = by_kl if ctx.divergence else torch.zeros_like(by_kl)
    found = _backward(*ctx.saved_tensors, by_mean, by_variance, by_kl, ctx.rate, ctx.scale)
    return *found, None, None, None


_forward.register_autograd(_gradients, setup_context=_keep)
