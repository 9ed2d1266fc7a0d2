"""The rational-quadratic spline and its inverse as two operations: eager, or one compiled loop each way.

In eager execution they are autograd functions over whole rows. In a compiled model they are operators of
their own, whose forward and backward passes are each compiled once into one elementwise loop (a C++ loop on a
CPU, a Triton kernel on a GPU) for all layers of all models with as many bins, and which the compiler of the model
does not tear apart. Both compute :mod:`headwater.bijections.fused_rational_quadratic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.fused_rational_quadratic import (
    GATHERED,
    UNROLLED,
    evaluate,
    evaluate_gradients,
    invert,
    invert_gradients,
)

__all__ = ["compiled_splines", "spline", "spline_inverse"]

_WANTED: ContextVar[bool] = ContextVar("compiled_splines", default=False)
_LARGE = 4096
_UNROLL_UP_TO = 16
_MAP = "(Tensor x, Tensor rows, int bins, float bound) -> (Tensor, Tensor)"
_GRADIENTS = "(Tensor x, Tensor rows, Tensor by_y, Tensor by_ladj, int bins, float bound) -> (Tensor, Tensor)"


def spline(
    x: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``y`` and ``log dy/dx``; parameters first: ``bins`` log-widths, ``bins`` log-heights, ``bins - 1`` log-slopes."""
    if torch.compiler.is_compiling() or _WANTED.get():
        return _SPLINE(x.contiguous(), rows.contiguous(), bins, bound)
    return _Function.apply(x, rows, bins, bound, evaluate, evaluate_gradients)  # type: ignore[no-untyped-call]


def spline_inverse(
    y: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``x = f^-1(y)`` and ``log dx/dy`` of :func:`spline`."""
    if torch.compiler.is_compiling() or _WANTED.get():
        return _INVERSE(y.contiguous(), rows.contiguous(), bins, bound)
    return _Function.apply(y, rows, bins, bound, invert, invert_gradients)  # type: ignore[no-untyped-call]


@contextmanager
def compiled_splines() -> Iterator[None]:
    """Within, eager models take the compiled loops too; it takes seconds to compile one, so for much work."""
    before = _WANTED.set(True)
    try:
        yield
    finally:
        _WANTED.reset(before)


class _Function(torch.autograd.Function):
    """A map and its gradients; keeps its inputs only, so that its backward pass can be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, rows: Tensor, bins: int, bound: float, function: Callable[..., Any], gradients: Callable[..., Any]
    ) -> tuple[Tensor, Tensor]:
        return function(x, rows, bins, bound)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], inputs[1])
        ctx.bins, ctx.bound, _, ctx.gradients = inputs[2:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_x, by_rows = ctx.gradients(*ctx.saved_tensors, *grads, ctx.bins, ctx.bound)
        return by_x, by_rows, None, None, None, None


@cache
def _compiled(function: Callable[..., Any], bins: int, bound: float, large: bool) -> Callable[..., Any]:
    """One loop over elements for every size of its class, small ones without threads; many bins stay rows."""
    how = UNROLLED if bins <= _UNROLL_UP_TO else GATHERED

    def kernel(*tensors: Tensor) -> Any:
        return function(*tensors, bins, bound, how)

    # torch.compile counts recompilations per code object, so each kernel gets one of its own
    code = kernel.__code__.replace(co_name=f"{function.__name__}_{bins}")
    own = FunctionType(code, kernel.__globals__, closure=kernel.__closure__)
    only_tensors: dict[str, Any] = {"guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe}  # all else is constant
    return torch.compile(own, dynamic=True, fullgraph=True, options=only_tensors)


def _run(function: Callable[..., Any], x: Tensor, rows: Tensor, *grads: Tensor, bins: int, bound: float) -> Any:
    flat = [t.reshape(-1) for t in (x, *grads)]
    first, second = _compiled(function, bins, bound, x.numel() >= _LARGE)(
        flat[0], rows.reshape(len(rows), -1), *flat[1:]
    )
    return first.view(x.shape), second.view(second.shape[:-1] + x.shape)


def _evaluate(x: Tensor, rows: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    return _run(evaluate, x, rows, bins=bins, bound=bound)


def _invert(x: Tensor, rows: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    return _run(invert, x, rows, bins=bins, bound=bound)


def _evaluate_gradients(
    x: Tensor, rows: Tensor, by_y: Tensor, by_ladj: Tensor, bins: int, bound: float
) -> tuple[Tensor, Tensor]:
    return _run(evaluate_gradients, x, rows, by_y, by_ladj, bins=bins, bound=bound)


def _invert_gradients(
    x: Tensor, rows: Tensor, by_y: Tensor, by_ladj: Tensor, bins: int, bound: float
) -> tuple[Tensor, Tensor]:
    return _run(invert_gradients, x, rows, by_y, by_ladj, bins=bins, bound=bound)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.bins, ctx.bound = inputs[2:]


def _register(name: str, schema: str, kernel: Callable[..., Any], like: Callable[..., Any]) -> Any:
    _LIBRARY.define(name + schema)  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"headwater::{name}", like, lib=_LIBRARY)
    return getattr(torch.ops.headwater, name).default


def _two_like_x(x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x)


def _like_both(x: Tensor, rows: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(rows)


def _with_gradients(name: str, kernel: Callable[..., Any], gradients: Callable[..., Any]) -> Any:
    by_inputs = _register(f"{name}_gradients", _GRADIENTS, gradients, _like_both)

    def backward(ctx: Any, by_y: Tensor, by_ladj: Tensor) -> tuple[Tensor | None, ...]:
        by_x, by_rows = by_inputs(*ctx.saved_tensors, by_y.contiguous(), by_ladj.contiguous(), ctx.bins, ctx.bound)
        return by_x, by_rows, None, None

    operator = _register(name, _MAP, kernel, _two_like_x)
    torch.library.register_autograd(f"headwater::{name}", backward, setup_context=_keep, lib=_LIBRARY)
    return operator


_LIBRARY = torch.library.Library("headwater", "FRAGMENT")  # type: ignore[no-untyped-call]
_SPLINE = _with_gradients("spline", _evaluate, _evaluate_gradients)
_INVERSE = _with_gradients("spline_inverse", _invert, _invert_gradients)
