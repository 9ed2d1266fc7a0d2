"""A row whose elements live in different sets: each is moved by a map of its own kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.circular import Circular
from headwater.bijections.univariate import Univariate

__all__ = ["UnivariateRow"]


class UnivariateRow(nn.Module):
    """Applies ``g_i`` to element ``i``; elements that share a map object are moved together.

    Args:
        maps: The map of each element.

    Attributes:
        sizes: Parameters of each element; they stand one element after another.
        inputs: How many numbers a network sees of each element: an angle as cosine and sine, so
            that 0 and 2 pi look alike; others as they are.
    """

    order: Int64[Tensor, " features"]
    feature_order: Int64[Tensor, " inputs"]

    def __init__(self, maps: Sequence[Univariate]) -> None:
        super().__init__()
        kinds = list({id(map_): map_ for map_ in maps}.values())
        members = [[i for i, map_ in enumerate(maps) if map_ is kind] for kind in kinds]
        self.maps = nn.ModuleList(kinds)
        self.group = tuple(next(g for g, own in enumerate(members) if i in own) for i in range(len(maps)))
        self.sizes = tuple(map_.size for map_ in maps)
        self.inputs = tuple(2 if isinstance(map_, Circular) else 1 for map_ in maps)
        for g, own in enumerate(members):
            self.register_buffer(f"elements_{g}", torch.tensor(own), persistent=False)
            self.register_buffer(f"numbers_{g}", _places(own, self.sizes), persistent=False)
        flat = [i for own in members for i in own]
        self.register_buffer("order", torch.argsort(torch.tensor(flat)), persistent=False)
        self.register_buffer("feature_order", torch.argsort(_places(flat, self.inputs)), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch features"], theta: Float[Tensor, "batch numbers"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """``(g(x; θ), sum of the log-slopes)``."""
        return self._apply_maps(x, theta, inverse=False)

    def inverse(
        self, z: Float[Tensor, "batch features"], theta: Float[Tensor, "batch numbers"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """``(g^-1(z; θ), sum of the log-slopes)``."""
        return self._apply_maps(z, theta, inverse=True)

    def seen(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch inputs"]:
        """What a network sees of the row."""
        parts = []
        for g, map_ in enumerate(self.maps):
            own = x.index_select(1, getattr(self, f"elements_{g}"))
            parts.append(_seen(own, map_).flatten(1))
        return torch.cat(parts, dim=1).index_select(1, self.feature_order)

    def element(self, index: int) -> Univariate:
        """The map of element ``index``."""
        map_ = self.maps[self.group[index]]
        assert isinstance(map_, Univariate)
        return map_

    def seen_of(self, index: int, x: Float[Tensor, " batch"]) -> Float[Tensor, "batch inputs"]:
        """What a network sees of element ``index``."""
        return _seen(x, self.maps[self.group[index]])

    def _apply_maps(self, x: Tensor, theta: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        moved, total = [], x.new_zeros(x.shape[0])
        for g, map_ in enumerate(self.maps):
            assert isinstance(map_, Univariate)
            own = x.index_select(1, getattr(self, f"elements_{g}"))
            numbers = theta.index_select(1, getattr(self, f"numbers_{g}")).view(*own.shape, map_.size)
            y, ladj = (map_.inverse if inverse else map_.forward)(own, numbers)
            moved.append(y)
            total = total + ladj.sum(dim=1)
        return torch.cat(moved, dim=1).index_select(1, self.order), total


def _seen(x: Tensor, map_: nn.Module) -> Tensor:
    """The numbers of each element along a last axis."""
    return torch.stack([torch.cos(x), torch.sin(x)], dim=-1) if isinstance(map_, Circular) else x[..., None]


def _places(members: Sequence[int], sizes: Sequence[int]) -> Int64[Tensor, " total"]:
    """Where the numbers of these elements stand."""
    starts = [0, *accumulate(sizes)]
    return torch.tensor([n for i in members for n in range(starts[i], starts[i + 1])], dtype=torch.int64)
