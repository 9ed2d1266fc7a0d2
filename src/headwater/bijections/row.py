"""A row whose elements live in different sets: each is moved by a map of its own kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.circular import Circular
from headwater.bijections.univariate import Univariate
from headwater.networks.columns import Columns

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

    def __init__(self, maps: Sequence[Univariate]) -> None:
        super().__init__()
        kinds = list({id(map_): map_ for map_ in maps}.values())
        members = [[i for i, map_ in enumerate(maps) if map_ is kind] for kind in kinds]
        self.maps = nn.ModuleList(kinds)
        self.group = tuple(next(g for g, own in enumerate(members) if i in own) for i in range(len(maps)))
        self.sizes = tuple(map_.size for map_ in maps)
        self.inputs = tuple(2 if isinstance(map_, Circular) else 1 for map_ in maps)
        self.elements = nn.ModuleList(Columns(own, of=len(maps)) for own in members)
        self.numbers = nn.ModuleList(Columns(_places(own, self.sizes), of=sum(self.sizes)) for own in members)
        flat = [i for own in members for i in own]
        self.order = Columns.inverse(flat)
        self.feature_order = Columns.inverse(_places(flat, self.inputs))

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
        for map_, elements in zip(self.maps, self.elements, strict=True):
            parts.append(_seen(elements(x), map_).flatten(1))
        seen: Tensor = self.feature_order(torch.cat(parts, dim=1))
        return seen

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
        for map_, elements, numbers in zip(self.maps, self.elements, self.numbers, strict=True):
            assert isinstance(map_, Univariate)
            own = elements(x)
            y, ladj = (map_.inverse if inverse else map_.forward)(own, numbers(theta).reshape(*own.shape, map_.size))
            moved.append(y)
            total = total + ladj.sum(dim=1)
        return self.order(torch.cat(moved, dim=1)), total


def _seen(x: Tensor, map_: nn.Module) -> Tensor:
    """The numbers of each element along a last axis."""
    return torch.stack([torch.cos(x), torch.sin(x)], dim=-1) if isinstance(map_, Circular) else x[..., None]


def _places(members: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Where the numbers of these elements stand."""
    starts = [0, *accumulate(sizes)]
    return [n for i in members for n in range(starts[i], starts[i + 1])]
