"""The divergence of a velocity field at a batch of points: exactly, or by random probes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["exact_divergence", "probed_divergence"]

_TOGETHER = 1 << 14  # elements of products computed at once: many small ones share a pass, large ones go one by one


def _against(
    field: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch *event"],
    directions: Float[Tensor, "directions batch *event"],
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "directions batch *event"]]:
    """``v(x)`` and ``e^T (dv/dx)`` for every direction e.

    By reverse mode, though forward mode would store nothing: its convolutions and norms cost three times as much.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = field(x)
        products = [
            torch.autograd.grad(v, x, some, is_grads_batched=True, retain_graph=True)[0]
            if len(some) > 1
            else torch.autograd.grad(v, x, some[0], retain_graph=True)[0][None]
            for some in torch.split(directions, max(1, _TOGETHER // max(1, x.numel())))
        ]
    return v.detach(), torch.cat(products)


def exact_divergence(
    field: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *event"]
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "batch 1"]]:
    """``v(x)`` and ``sum_i dv_i/dx_i``, with one derivative per element of an event.

    >>> v, div = exact_divergence(lambda x: x * torch.tensor([1.0, 2.0, 3.0]), torch.ones(4, 3))
    >>> div.shape, div[0].item()
    (torch.Size([4, 1]), 6.0)
    """
    size = x.shape[1:].numel()
    basis = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, 1, *x.shape[1:]).expand(size, *x.shape)
    v, rows = _against(field, x, basis)
    return v, torch.einsum("ibi->b", rows.flatten(2))[:, None]


def probed_divergence(
    field: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *event"], probes: Float[Tensor, "draws batch *event"]
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "batch draws"]]:
    """``v(x)`` and ``e^T (dv/dx) e`` for every probe e, each unbiased for the divergence where ``E[e e^T] = I``.

    The probes must stay the same throughout a solve: fresh ones would make the integrand rough.

    References: FFJORD (Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, 2019), https://arxiv.org/abs/1810.01367;
    A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989),
    https://doi.org/10.1080/03610918908812806.
    """
    v, products = _against(field, x, probes)
    return v, (products * probes).flatten(2).sum(-1).T
