"""flowjax: its premade flows, compiled by ``equinox.filter_jit`` with donated buffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
import paramax
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow, masked_autoregressive_flow

from benchmarks.peers.shared import BINS, BOUND, HIDDEN, LEARNING_RATE, TASKS, TRANSFORMS, batch_order, training_data

__all__ = ["MODES", "SHARED", "TASKS_OF", "build", "forget", "graphs", "precision", "reduces", "versions"]

MODES = ("jit",)
TASKS_OF = {"jit": tuple(TASKS)}
SHARED = False

_PRODUCTS = {"float32": "highest", "bfloat16": "bfloat16"}


def versions() -> dict[str, str]:
    """Of what runs here."""
    return {name: version(name) for name in ("flowjax", "jax", "jaxlib", "equinox", "optax")}


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Of matrix products, as ``jax_default_matmul_precision`` says it; part of the key of compiled code."""
    with jax.default_matmul_precision(_PRODUCTS[name]):
        yield


def reduces() -> bool:
    """Whether asking for bfloat16 changes a product here (XLA ignores it on processors)."""
    a = jr.normal(jr.key(0), (512, 256))

    def product(name: str) -> jax.Array:
        with precision(name):
            return jax.jit(jnp.matmul)(a, a.T)

    return bool((product("float32") != product("bfloat16")).any())


def graphs() -> int:
    """Not counted: one call compiles."""
    return 0


def forget() -> None:
    """Drop compiled code."""
    jax.clear_caches()


def build(work: str, features: int, mode: str) -> FlowjaxFlow:
    """A premade flow, inverted so that scoring is the fast way."""
    sizes: dict[str, Any] = {
        "key": jr.key(0),
        "base_dist": Normal(jnp.zeros(features)),
        "flow_layers": TRANSFORMS,
        "nn_width": HIDDEN[0],
        "nn_depth": len(HIDDEN),
        "invert": True,
    }
    # "knots" are inner knots: seven of them make eight bins.
    spline = {"transformer": RationalQuadraticSpline(knots=BINS - 1, interval=BOUND)}
    if work == "coupling-spline":
        flow = coupling_flow(**sizes, **spline)
    else:
        flow = masked_autoregressive_flow(**sizes, **({} if work == "maf" else spline))
    return FlowjaxFlow(flow, features)


class FlowjaxFlow:
    """Parameters, optimizer state and jitted functions."""

    explain = None

    def __init__(self, flow: Any, features: int) -> None:
        self.network = f"plain {list(HIDDEN)}; random permutations; splines also learn their two outer slopes"
        flow = eqx.tree_at(lambda f: f.base_dist, flow, replace_fn=paramax.non_trainable)
        self._params, static = eqx.partition(
            flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
        )
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self._params))
        optimizer = optax.adam(LEARNING_RATE)
        self._state, self._steps = optimizer.init(self._params), 0
        data, order = jnp.asarray(training_data(features)), jnp.asarray(batch_order())
        self._rows = data[order[0]]

        def loss(params: Any, x: jax.Array) -> jax.Array:
            return -eqx.combine(params, static).log_prob(x).mean()

        def step(params: Any, state: Any, data: jax.Array, order: jax.Array, number: jax.Array) -> Any:
            x = data[order[number % len(order)]]
            value, gradient = jax.value_and_grad(loss)(params, x)
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, value

        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._data, self._order = data, order
        self._log_prob = jax.jit(lambda params, x: eqx.combine(params, static).log_prob(x))
        self._sample = jax.jit(lambda params, key, n: eqx.combine(params, static).sample(key, (n,)), static_argnums=2)
        self._joint = jax.jit(
            lambda params, key, n: eqx.combine(params, static).sample_and_log_prob(key, (n,)), static_argnums=2
        )

    def train_step(self) -> jax.Array:
        self._params, self._state, value = self._step(self._params, self._state, self._data, self._order, self._steps)
        self._steps += 1
        return value

    def log_prob(self, x: jax.Array) -> jax.Array:
        return self._log_prob(self._params, x)

    def sample(self, n: int) -> jax.Array:
        return self._sample(self._params, self._key(), n)

    def sample_and_log_prob(self, n: int) -> tuple[jax.Array, jax.Array]:
        return self._joint(self._params, self._key(), n)

    def rows(self) -> jax.Array:
        return self._rows

    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)

    def _key(self) -> jax.Array:
        self._steps += 1
        return jr.key(self._steps)
