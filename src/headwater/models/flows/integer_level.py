"""A level of an integer discrete flow: couplings that shift codes, and the density of the codes that leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from headwater.bijections.parameters import ContextParameters
from headwater.bijections.shift import Code, ring_shift, ring_unshift
from headwater.distributions.heads import numbers_from_maps
from headwater.models.flows.integer_codes import CodeHeads, Codes, Conditioner, Integer
from headwater.networks.columns import Columns
from headwater.rng import Rng

__all__ = ["CodeDensity", "Level", "ShiftCoupling"]

_UNIT = 0.03


@final
class ShiftCoupling(nn.Module):
    """``z_A = x_A`` and ``z_B = (x_B + round(t(x_A, c))) mod K``: a bijection of the codes, which has no Jacobian.

    The network ``t`` works in units of a few hundredths of the range, so that a step of its optimizer is less than a
    whole one, and starts at zero, so that the coupling starts as the identity. For what stands for its gradients
    see :mod:`headwater.bijections.shift`.

    IDF++: Analyzing and Improving Integer Discrete Flows for Lossless Compression (van den Berg, Gritsenko,
    Dehghani, Sønderby & Salimans, 2021), https://arxiv.org/abs/2006.12459: why to start as the identity.

    Args:
        codes: The channels it takes.
        moved: ``B``; at least one channel must stay.
        context: Length of the context vector; 0 for none.
        sizes: ``width``, ``blocks`` and ``activation`` of the network.
    """

    sizes: Float[Tensor, "moved *ones"]

    def __init__(self, codes: Codes, moved: Sequence[int], *, context: int = 0, **sizes: Any) -> None:
        super().__init__()
        count = len(codes.segments)
        kept = sorted(set(range(count)) - set(moved))
        assert kept, "a coupling must keep a channel"
        self.kept, self.moved = Columns(kept, of=count), Columns(moved, of=count)
        self.restore = Columns.inverse([*kept, *moved])
        self.register_buffer("sizes", codes.take(moved).sizes(), persistent=False)
        self.shift = Conditioner(codes.take(kept), len(moved), context=context, zero_init=True, **sizes)

    def forward(self, x: Code, context: Tensor | None) -> Code:
        """``z``, with the gradients of :func:`headwater.bijections.shift.ring_shift`."""
        stay = x.map(self.kept)
        move = x.map(self.moved)
        z = stay.join(ring_shift(move, self._shift(stay, context), self.sizes))
        return z.map(self.restore)

    def inverse(self, z: Tensor, context: Tensor | None) -> Tensor:
        """``x``, without gradients."""
        stay = self.kept(z)
        move = ring_unshift(self.moved(z), self._shift(Code.of(stay), context), self.sizes)
        return self.restore(torch.cat([stay, move], dim=1))

    def _shift(self, stay: Code, context: Tensor | None) -> Tensor:
        shift: Tensor = self.shift(stay, context)
        return shift * (_UNIT * self.sizes)

    def extra_repr(self) -> str:
        return f"{len(self.kept)} kept, {len(self.moved)} moved"


@final
class CodeDensity(nn.Module):
    """``p(z | rest, c)``: a head per code, with numbers from the codes that stay, or free ones where none do.

    Args:
        codes: ``z``.
        rest: The codes it depends on; None for the last ones.
        mixtures: Components of a discretized logistic mixture.
        integer: Head of whole numbers, see :class:`headwater.distributions.heads.Heads`.
        context: Length of the context vector; 0 for none.
        sizes: ``width``, ``blocks`` and ``activation`` of the network.
    """

    def __init__(
        self, codes: Codes, rest: Codes | None, *, mixtures: int, integer: Integer, context: int = 0, **sizes: Any
    ) -> None:
        super().__init__()
        self.heads = CodeHeads(codes, mixtures, integer)
        self.shape = (len(codes.segments), *codes.grid)
        numbers = sum(self.heads.heads.parameter_sizes)
        self.network: Conditioner | None = None
        self.free: ContextParameters | None = None
        if rest is None:
            self.free = ContextParameters(torch.zeros(numbers), context=context, **sizes)
        else:
            each = numbers // (codes.grid[0] * codes.grid[1]) if codes.grid else numbers
            self.network = Conditioner(rest, each, context=context, **sizes)

    def log_prob(self, z: Code, rest: Code | None, context: Tensor | None) -> Float[Tensor, " batch"]:
        """``log p(z | rest, c)`` per event in nats."""
        params = self._numbers(z.up, rest, context)
        return self.heads.log_prob(params, z.map(lambda copy: copy.flatten(1))).sum(dim=1)

    def sample(
        self, like: Tensor, rest: Tensor | None, context: Tensor | None, rng: Rng, *, temperature: float
    ) -> Tensor:
        """A draw per row of ``rng``, shaped as channels, in the dtype and on the device of ``like`` ``(rows, 0)``."""
        params = self._numbers(like, None if rest is None else Code.of(rest), context)
        return self.heads.heads.sample(params, rng, temperature=temperature).reshape(-1, *self.shape)

    def _numbers(self, like: Tensor, rest: Code | None, context: Tensor | None) -> Tensor:
        if self.network is None:
            assert self.free is not None
            free: Tensor = self.free(len(like), context)
            return free.to(like.dtype)
        assert rest is not None
        out: Tensor = self.network(rest, context)
        return numbers_from_maps(out, self.shape[0]) if len(self.shape) == 3 else out


@final
class Level(nn.Module):
    """Couplings, after which half of the channels leave; at the last level all do.

    Args:
        codes: The channels that arrive; maps are squeezed first.
        couplings: How many.
        order_seed: Seed of which channels move and which leave.
        last: Whether this is the last level.
        mixtures, integer: Of the :class:`CodeDensity` of the channels that leave.
        context: Length of the context vector; 0 for none.
        sizes: ``width``, ``blocks`` and ``activation`` of the networks.
    """

    def __init__(
        self,
        codes: Codes,
        *,
        couplings: int,
        order_seed: int,
        last: bool,
        mixtures: int,
        integer: Integer,
        context: int = 0,
        **sizes: Any,
    ) -> None:
        super().__init__()
        codes = codes.squeezed() if codes.grid else codes
        count = len(codes.segments)
        orders = torch.Generator().manual_seed(order_seed)
        moves = _moves(count, couplings, orders)
        self.couplings = nn.ModuleList(ShiftCoupling(codes, moved, context=context, **sizes) for moved in moves)
        order = torch.randperm(count, generator=orders).tolist()
        self.leaving = count if last else count // 2
        self.order, self.back = Columns(order, of=count), Columns.inverse(order)
        gone, stay = codes.take(order[: self.leaving]), codes.take(order[self.leaving :])
        self.rest = None if last else stay
        self.squeezes = bool(codes.grid)
        self.density = CodeDensity(gone, self.rest, mixtures=mixtures, integer=integer, context=context, **sizes)

    def split(self, x: Code, context: Tensor | None) -> tuple[Code, Code | None]:
        """The channels that leave and those that stay (None at the last level)."""
        z = x.map(lambda copy: functional.pixel_unshuffle(copy, 2)) if self.squeezes else x
        for coupling in self.couplings:
            z = coupling(z, context)
        z = z.map(self.order)
        gone = z.map(lambda copy: copy[:, : self.leaving])
        return gone, None if self.rest is None else z.map(lambda copy: copy[:, self.leaving :])

    def join(self, z: Tensor, rest: Tensor | None, context: Tensor | None) -> Tensor:
        """The inverse of :meth:`split`, of plain codes."""
        x = self.back(z if rest is None else torch.cat([z, rest], dim=1))
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, ShiftCoupling)
            x = coupling.inverse(x, context)
        return functional.pixel_shuffle(x, 2) if self.squeezes else x


def _moves(count: int, couplings: int, orders: torch.Generator) -> list[list[int]]:
    """Which channels each coupling moves: a random half, then the other half; a single channel never moves."""
    found: list[list[int]] = []
    while count > 1 and len(found) < couplings:
        order = torch.randperm(count, generator=orders).tolist()
        found += [order[: count // 2], order[count // 2 :]]
    return found[:couplings]
