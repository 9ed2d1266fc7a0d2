"""Buffers that a model changes while it trains (an adaptive probability) stay equal over processes."""

from __future__ import annotations

from headwater.models.base import GenerativeModel
from headwater.training.distributed import Ranks

__all__ = ["LiveBuffers"]


class LiveBuffers:
    """Averages over processes the floating-point buffers that were written to since training began.

    Constant buffers (masks, grids) are recognised by their version counter and cost nothing.
    """

    def __init__(self, model: GenerativeModel, ranks: Ranks) -> None:
        self._model, self._ranks = model, ranks
        self._seen = self._versions() if ranks.world > 1 else {}

    def _versions(self) -> dict[str, tuple[int, int]]:
        return {name: (id(b), b._version) for name, b in self._model.named_buffers() if b.is_floating_point()}

    def average(self) -> None:
        """After a step; does nothing on one process."""
        if self._ranks.world == 1:
            return
        live = [
            b
            for name, b in self._model.named_buffers()
            if b.is_floating_point() and self._changed(name, b._version, id(b))
        ]
        if live:
            self._ranks.average_(live, live[0].new_zeros(0), doing="averaging buffers")

    def _changed(self, name: str, version: int, identity: int) -> bool:
        return self._seen.get(name) != (identity, version)
