"""A U-Net over pictures of any number of channels, any height and width, modulated by an embedding."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.modulated import modulate

__all__ = ["UNet"]

_GROUP = 8  # channels normalized together; widths are multiples of it
_HEAD = 32  # channels of an attention head, at most


class _Residual(nn.Module):
    """Two convolutions with group norms, the second norm modulated; the block starts as its skip connection."""

    def __init__(self, channels: int, out: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(channels // _GROUP, channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm2 = nn.GroupNorm(out // _GROUP, out, affine=False)
        self.modulation = nn.Linear(condition, 2 * out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(
        self, x: Float[Tensor, "batch channels h w"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out h w"]:
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        h = nn.functional.silu(modulate(self.norm2(h), self.modulation(c)))
        out: Tensor = self.skip(x) + self.conv2(h)
        return out


class _Attention(nn.Module):
    """Every position looks at every other; plain products, since forward-mode derivatives stop at fused attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(max(1, channels // _HEAD), channels)
        self.norm = nn.GroupNorm(channels // _GROUP, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.exit = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.exit.weight)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
        batch, channels, height, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width).unbind(1)
        weights = torch.softmax(q.mT @ k / math.sqrt(channels / self.heads), dim=-1)
        mixed = (v @ weights.mT).reshape(batch, channels, height, width)
        return x + torch.as_tensor(self.exit(mixed))


class _Stage(nn.Module):
    """A residual block, and attention where the picture is small enough for it."""

    def __init__(self, channels: int, out: int, condition: int, *, attention: bool) -> None:
        super().__init__()
        self.residual = _Residual(channels, out, condition)
        self.attention = _Attention(out) if attention else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch channels h w"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out h w"]:
        out: Tensor = self.attention(self.residual(x, c))
        return out


class UNet(nn.Module):
    """Down through ``levels`` resolutions and up again, with skip connections between equal resolutions.

    Channels double at each halving, four times ``channels`` at most. A picture whose sides are not multiples of
    ``2 ** (levels - 1)`` is padded with zeros at the right and below, and the output is cropped. The output starts
    at zero.

    Args:
        shape: Channels, height and width of a picture.
        channels: Width at full resolution, a multiple of 8.
        levels: Number of resolutions; fewer are used where a side would fall under four.
        layers: Residual blocks per level and direction.
        condition: Length of the embedding that modulates every residual block.
        attention: The greatest number of positions (height times width) with attention.

    References: U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger, Fischer & Brox, 2015),
    https://arxiv.org/abs/1505.04597; Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
    https://arxiv.org/abs/2006.11239; Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
    https://arxiv.org/abs/2105.05233.

    >>> UNet((3, 5, 7), channels=8, levels=2, layers=1, condition=4)(torch.zeros(2, 3, 5, 7), torch.zeros(2, 4)).shape
    torch.Size([2, 3, 5, 7])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        channels: int,
        levels: int,
        layers: int,
        condition: int,
        attention: int = 64,
    ) -> None:
        super().__init__()
        colors, height, width = shape
        self.levels = max(1, min(levels, int(math.log2(max(min(height, width), 4))) - 1))
        step = 2 ** (self.levels - 1)
        self.padding = (-height % step, -width % step)
        sides = [((height + self.padding[0]) >> level, (width + self.padding[1]) >> level) for level in range(levels)]
        widths = [channels * min(2**level, 4) for level in range(self.levels)]
        attend = [h * w <= attention for h, w in sides[: self.levels]]

        self.entry = nn.Conv2d(colors, channels, 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        current, skips = channels, [channels]
        for level, out in enumerate(widths):
            if level:
                self.shrink.append(nn.Conv2d(current, current, 3, stride=2, padding=1))
                skips.append(current)
            stages = nn.ModuleList()
            for _ in range(layers):
                stages.append(_Stage(current, out, condition, attention=attend[level]))
                current = out
                skips.append(out)
            self.down.append(stages)
        self.middle = _Stage(current, current, condition, attention=attend[-1])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            stages = nn.ModuleList()
            for _ in range(layers + 1):
                stages.append(_Stage(current + skips.pop(), out, condition, attention=attend[level]))
                current = out
            self.up.append(stages)
            if level:
                self.grow.append(nn.Conv2d(current, current, 3, padding=1))
        self.norm = nn.GroupNorm(current // _GROUP, current)
        self.exit = nn.Conv2d(current, colors, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        assert self.exit.bias is not None
        nn.init.zeros_(self.exit.bias)

    def forward(
        self, x: Float[Tensor, "batch channels h w"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch channels h w"]:
        height, width = x.shape[-2:]
        c = nn.functional.silu(c)
        h = self.entry(nn.functional.pad(x, (0, self.padding[1], 0, self.padding[0])))
        skips = [h]
        for level, stages in enumerate(self.down):
            if level:
                h = self.shrink[level - 1](h)
                skips.append(h)
            for stage in stages:  # type: ignore[attr-defined]
                h = stage(h, c)
                skips.append(h)
        h = self.middle(h, c)
        for level, stages in enumerate(self.up):
            for stage in stages:  # type: ignore[attr-defined]
                h = stage(torch.cat([h, skips.pop()], dim=1), c)
            if level < self.levels - 1:
                h = self.grow[level](nn.functional.interpolate(h, scale_factor=2.0, mode="nearest"))
        out: Tensor = self.exit(nn.functional.silu(self.norm(h)))
        return out[..., :height, :width]
