"""Solvers of ``dx/dt = v(t, x)``: one function per algorithm, one signature, so that any solver drops into any model.

``solver(velocity, x, times) -> x`` carries a batch of states from ``times[0]`` to
``times[-1]``, in either direction. The fixed ones step from each time to the next;
:func:`dopri5` chooses its own steps, for each event its own.
"""

from headwater.distributions.solvers.adaptive import dopri5
from headwater.distributions.solvers.fixed import FIXED, ORDERS, euler, heun, midpoint, rk4
from headwater.distributions.solvers.state import Velocity, expand

__all__ = ["FIXED", "ORDERS", "Velocity", "dopri5", "euler", "expand", "heun", "midpoint", "rk4"]
