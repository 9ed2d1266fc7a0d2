"""The Dormand-Prince pair of orders 5 and 4, where every event of a batch has a step length of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers.state import Velocity, expand
from headwater.errors import DivergenceError

__all__ = ["dopri5"]

_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_P, _I = 0.4 / 5, 0.7 / 5  # exponents of the previous and the present error in the step's new length
_HOPELESS = 1e10  # stands for the error of a trial step that is not finite: rejected, and shortened fivefold


def dopri5(
    velocity: Velocity,
    x: Float[Tensor, "batch *event"],
    times: Float[Tensor, " points"],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> Float[Tensor, "batch *event"]:
    """Integrate from ``times[0]`` to ``times[-1]`` with steps as long as the error allows.

    A step of an event is accepted when the root mean square over its elements of
    ``e / (atol + rtol max(|x|, |x'|))`` is at most one, e being the difference of
    the two orders. Every event has its own time, step and verdict, and one that has
    arrived is frozen, so that no event's result depends on the others'. The last
    stage of a step is the first of the next one: six evaluations a step.

    Args:
        velocity: ``v(t, x)`` with a time per event.
        x: States at ``times[0]``.
        times: Only its ends count.
        rtol: Tolerated error, relative to the state.
        atol: Tolerated error, absolute.
        max_steps: Bound on the steps, rejected ones included.

    Raises:
        DivergenceError: some event has not arrived after ``max_steps``.

    References:
        A family of embedded Runge-Kutta formulae (Dormand & Prince, 1980), https://doi.org/10.1016/0771-050X(80)90013-3;
        PI control and the first step: Solving Ordinary Differential Equations I and II (Hairer, Norsett & Wanner,
        1993 and 1996), II.4 and IV.2, https://doi.org/10.1007/978-3-540-78862-1.

    >>> round(dopri5(lambda t, x: -x, torch.ones(1), torch.tensor([0.0, 1.0])).item(), 4)  # exp(-1)
    0.3679
    """
    start, span = times[0].to(x.dtype), (times[-1] - times[0]).abs().to(x.dtype)
    sign = torch.sign(times[-1] - times[0]).to(x.dtype)

    def forward(s: Tensor, x: Tensor) -> Tensor:  # in the elapsed time s, which grows whatever the direction
        return sign * velocity(start + sign * s, x)

    s = x.new_zeros(x.shape[0])
    k = forward(s, x)
    h = _first_step(forward, x, k, rtol, atol).minimum(span)
    last = torch.ones_like(s)  # the error of the event's last accepted step
    shortened = torch.zeros_like(s, dtype=torch.bool)  # whether its last step was rejected
    for _ in range(max_steps):
        left = span - s
        if not bool((left > 0).any()):
            return x
        step = h.minimum(left)
        x_new, k_new, error = _trial(forward, s, x, k, step, rtol, atol)
        accept = (error <= 1) & (left > 0)
        x, k = (torch.where(expand(accept, x), new, old) for new, old in ((x_new, x), (k_new, k)))
        s = torch.where(accept, torch.where(h >= left, span, s + step), s)
        h = step * _factor(error, last, accept, shortened)
        last = torch.where(accept, error.clamp(min=1e-4), last)
        shortened = ~accept
    if bool((s < span).any()):
        raise DivergenceError(
            f"The adaptive solver needed more than {max_steps} steps for {int((s < span).sum())} of {len(s)} events.",
            hint="Loosen rtol and atol, or take a fixed grid: solver='rk4'. If that diverges too, train on: the "
            "velocity field is too rough.",
        )
    return x


def _trial(
    f: Velocity, s: Tensor, x: Tensor, k: Tensor, step: Tensor, rtol: float, atol: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The state after one step, the velocity there, and the error in units of the tolerance."""
    h = expand(step, x)
    stages = [k]
    for c, row in zip(_C, _A, strict=True):
        stages.append(f(s + c * step, x + h * _combine(row, stages)))
    x_new = x + h * _combine(_B, stages)
    stages.append(f(s + step, x_new))
    error = _norm(h * _combine(_E, stages), x.abs().maximum(x_new.abs()), rtol, atol)
    return x_new, stages[-1], torch.where(torch.isfinite(error), error, _HOPELESS)


def _factor(error: Tensor, last: Tensor, accept: Tensor, shortened: Tensor) -> Tensor:
    """By how much the next step is longer: PI control after an accepted step, the plain rule after a rejected one."""
    error = error.clamp(min=1e-8)
    after_accept = (_SAFETY * error**-_I * last**_P).clamp(_SHRINK, _GROW)
    after_accept = torch.where(shortened, after_accept.clamp(max=1.0), after_accept)
    after_reject = (_SAFETY * error ** (-1 / 5)).clamp(_SHRINK, 1.0)
    return torch.where(accept, after_accept, after_reject)


def _first_step(f: Velocity, x: Tensor, k: Tensor, rtol: float, atol: float) -> Tensor:
    """A first step per event, from the sizes of the state, its velocity and its acceleration (Hairer II.4)."""
    size, speed = (_norm(value, x.abs(), rtol, atol) for value in (x, k))
    h0 = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed.clamp(min=1e-5))
    bend = f(h0, x + expand(h0, x) * k) - k
    acceleration = _norm(bend, x.abs(), rtol, atol) / h0
    steep = speed.maximum(acceleration)
    h1 = torch.where(steep <= 1e-15, (1e-3 * h0).clamp(min=1e-6), (0.01 / steep.clamp(min=1e-15)) ** (1 / 5))
    return h1.minimum(100 * h0)


def _combine(weights: tuple[float, ...], stages: list[Tensor]) -> Tensor:
    terms = [weight * stage for weight, stage in zip(weights, stages, strict=True) if weight]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _norm(value: Tensor, size: Tensor, rtol: float, atol: float) -> Float[Tensor, " batch"]:
    scaled = value / (atol + rtol * size)
    return scaled.reshape(len(scaled), scaled.shape[1:].numel()).square().mean(-1).sqrt()
