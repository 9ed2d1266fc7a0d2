"""What the three torch peers and we share: precision, compiling, and a flow from three functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.shared import LEARNING_RATE, batch_order, training_data

__all__ = ["PlainTraining", "TorchFlow", "forget", "graphs", "parameter_count", "precision", "reduces", "versions_of"]

# Five layers times both directions times both gradient modes outgrow the default of 8, after which a
# function silently runs uncompiled; and nothing of a peer is to be lost that way.
torch._dynamo.config.recompile_limit = 128
torch._dynamo.config.accumulated_recompile_limit = 1024


@contextmanager
def precision(name: str) -> Iterator[None]:
    """``bfloat16``: operands of float32 matrix products are rounded to bfloat16, sums stay float32."""
    matmul: Any = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16" if name == "bfloat16" else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def reduces() -> bool:
    """Whether asking for bfloat16 changes a product here."""
    a = torch.randn(512, 256)

    def product(name: str) -> Tensor:
        with precision(name):
            return a @ a.T

    return bool((product("float32") != product("bfloat16")).any())


def graphs() -> int:
    """Graphs that Dynamo has handed to a compiler in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def forget() -> None:
    """Drop compiled code, so that one work's versions do not count against the next one's limit."""
    torch._dynamo.reset()


def versions_of(*names: str) -> dict[str, str]:
    """Installed versions."""
    return {name: version(name) for name in names}


def parameter_count(module: torch.nn.Module) -> int:
    """Trainable numbers, masked ones included."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class PlainTraining:
    """``-mean log_prob``, backward, fused Adam, on the next minibatch of resident data."""

    def __init__(self, module: torch.nn.Module, log_prob: Callable[[Tensor], Tensor], data: Tensor) -> None:
        self.log_prob, self.data, self.order = log_prob, data, torch.from_numpy(batch_order())
        self.adam = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=True)
        self.steps = 0

    def __call__(self) -> Tensor:
        x = self.data[self.order[self.steps % len(self.order)]]
        self.steps += 1
        loss = -self.log_prob(x).mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        return loss.detach()


class TorchFlow:
    """A flow from its functions; where asked, each is compiled on its own."""

    def __init__(
        self,
        module: torch.nn.Module,
        features: int,
        network: str,
        *,
        log_prob: Callable[[Tensor], Tensor],
        sample: Callable[[int], Tensor],
        joint: Callable[[int], tuple[Tensor, Tensor]],
        mode: str,
        fullgraph: bool = False,
        training: Callable[[Tensor], Callable[[], Tensor]] | None = None,
        compile_sampling: bool = True,
    ) -> None:
        data = torch.from_numpy(training_data(features))
        self.network, self.parameters = network, parameter_count(module)
        self._rows = data[torch.from_numpy(batch_order()[0])].clone()
        plain = log_prob
        self.explain = lambda: _explain(plain, self._rows)
        if mode == "compiled":
            log_prob = torch.compile(log_prob, fullgraph=fullgraph)
            if compile_sampling:
                sample, joint = torch.compile(sample), torch.compile(joint)
        self._log_prob, self._sample, self._joint = log_prob, sample, joint
        self.train_step = training(data) if training else PlainTraining(module, log_prob, data)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        return self._log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self._sample(n)

    @torch.no_grad()
    def sample_and_log_prob(self, n: int) -> tuple[Tensor, Tensor]:
        return self._joint(n)

    def rows(self) -> Tensor:
        return self._rows

    def wait(self, result: Any) -> None:
        """Nothing: on a processor all is done when a call returns."""


def _explain(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, int]:
    found = torch._dynamo.explain(log_prob)(x)
    forget()
    return int(found.graph_count), int(found.graph_break_count)
