"""A residual network whose derivatives in chosen directions come along with its value."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.time import fourier

__all__ = ["TangentMLP"]


class TangentMLP(nn.Module):
    r"""``f(x, c)`` and, on request, ``(df/dx) e`` for several directions e in the same pass.

    ``h_0 = tanh(a_0)``, ``h_l = h_{l-1} + tanh(a_l)``, ``f = V h_L`` with ``a_l = (W_l h_{l-1}) (1 + g_l) + s_l``.
    Gains ``g`` and shifts ``s`` of all layers are one linear map of the condition c. The first layer sees
    ``[x, cos(w x), sin(w x)]``: Fourier features put sharp densities within reach of a smooth network.

    The derivatives follow the value through the layers, ``da = (W dh) (1 + g)`` and ``d tanh(a) = (1 - tanh(a)^2) da``,
    in plain operations: a loss that contains them is differentiated once, not twice, and compiles.

    Args:
        features: Length of x and of f.
        condition: Length of c.
        width: Hidden width.
        layers: Hidden layers.
        waves: Frequencies per element of x; angular frequencies are ``pi/2 * 2**j``.

    The output starts at zero. Reference for features: Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains (Tancik et al., 2020), https://arxiv.org/abs/2006.10739.

    >>> net = TangentMLP(3, 2, width=16, layers=2)
    >>> f, along = net.derive(torch.zeros(5, 3), torch.zeros(5, 2), torch.ones(4, 5, 3))
    >>> f.shape, along.shape
    (torch.Size([5, 3]), torch.Size([4, 5, 3]))
    """

    frequencies: Tensor

    def __init__(self, features: int, condition: int, *, width: int = 64, layers: int = 3, waves: int = 0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.pi / 2 * 2.0 ** torch.arange(waves), persistent=False)
        self.entry = nn.Linear(features * (1 + 2 * waves), width, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers - 1))
        self.modulation = nn.Linear(condition, 2 * width * layers)
        self.exit = nn.Linear(width, features)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(
        self, x: Float[Tensor, "batch features"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch features"]:
        """The value alone."""
        pieces = self._pieces(c)
        h = torch.tanh(self.entry(self._lift(x)) * pieces[0] + pieces[1])
        for number, layer in enumerate(self.hidden, 1):
            h = h + torch.tanh(layer(h) * pieces[2 * number] + pieces[2 * number + 1])
        out: Tensor = self.exit(h)
        return out

    def derive(
        self,
        x: Float[Tensor, "batch features"],
        c: Float[Tensor, "batch condition"],
        directions: Float[Tensor, "directions batch features"],
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "directions batch features"]]:
        """``f(x, c)``, and ``(df/dx) e`` for every direction e."""
        pieces = self._pieces(c)
        h = torch.tanh(self.entry(self._lift(x)) * pieces[0] + pieces[1])
        dh = self.entry(self._lift_along(x, directions)) * (pieces[0] * (1 - h.square()))
        for number, layer in enumerate(self.hidden, 1):
            gain, shift = pieces[2 * number], pieces[2 * number + 1]
            value = torch.tanh(layer(h) * gain + shift)
            h, dh = h + value, dh + layer(dh) * (gain * (1 - value.square()))
        return self.exit(h), nn.functional.linear(dh, self.exit.weight)

    def _pieces(self, c: Tensor) -> tuple[Tensor, ...]:
        """Factor and shift of every layer in turn."""
        gains_and_shifts = self.modulation(c).chunk(2 * (1 + len(self.hidden)), dim=1)
        return tuple(piece if number % 2 else 1 + piece for number, piece in enumerate(gains_and_shifts))

    def _lift(self, x: Tensor) -> Tensor:
        return torch.cat([x, fourier(x, self.frequencies).flatten(1)], dim=1)

    def _lift_along(self, x: Tensor, directions: Tensor) -> Tensor:
        angle = x[..., None] * self.frequencies
        slopes = torch.cat([-angle.sin(), angle.cos()], dim=-1) * self.frequencies.repeat(2)
        return torch.cat([directions, (directions[..., None] * slopes).flatten(2)], dim=2)
