"""What a head is: one family of distributions for a group of elements, computed all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["ALL", "Head"]

ALL = slice(None)


class Head(nn.Module, ABC):
    """A distribution per element of a group, each read from ``size`` numbers of a network.

    Numbers near zero must mean a sensible distribution, and any finite numbers a
    finite one: scales are bounded smoothly, mixtures start spread out.

    Args:
        elements: The segment each element of the group belongs to.

    Attributes:
        size: Network numbers per element.
        feature_size: Network-ready features per element.
    """

    size: int
    feature_size: int

    @abstractmethod
    def log_prob(
        self, params: Float[Tensor, "batch k p"], x: Float[Tensor, "batch k"], at: slice = ALL
    ) -> Float[Tensor, "batch k"]:
        """``log p(x_i)`` of the group's elements ``at``, in nats."""

    @abstractmethod
    def sample(
        self, params: Float[Tensor, "batch k p"], rng: Rng, temperature: float, at: slice = ALL
    ) -> Float[Tensor, "batch k"]:
        """A draw of each element; ``temperature`` below one narrows it."""

    @abstractmethod
    def mode(self, params: Float[Tensor, "batch k p"], at: slice = ALL) -> Float[Tensor, "batch k"]:
        """The most typical value of each element, always inside the support."""

    @abstractmethod
    def mean(self, params: Float[Tensor, "batch k p"], at: slice = ALL) -> Float[Tensor, "batch k"]:
        """The expected value, for pictures and plots; may lie between the values of a discrete support."""

    @abstractmethod
    def features(self, x: Float[Tensor, "batch k"], at: slice = ALL) -> Float[Tensor, "batch k f"]:
        """The elements as a network likes them: of order one, categories one-hot."""

    def constant(self, name: str, elements: Sequence[Segment], field: str) -> None:
        """Keep a number of each element's segment as a buffer that is not saved: the event spec holds it."""
        values: list[Any] = [getattr(element, field) for element in elements]
        self.register_buffer(name, torch.tensor(values, dtype=torch.get_default_dtype()), persistent=False)

    def split(self, params: Float[Tensor, "batch k p"], mixtures: int) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, locations and log-scales, each ``(batch, k, mixtures)``."""
        logits, means, log_scales = params.reshape(*params.shape[:-1], 3, mixtures).unbind(-2)
        return logits, means, log_scales
