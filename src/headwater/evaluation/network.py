"""The one small network behind feature extractors: convolutions for pictures, a perceptron for vectors."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from headwater.config import Config

__all__ = ["FeatureNet", "FeatureNetConfig", "train_classifier"]


class FeatureNetConfig(Config):
    """Architecture of :class:`FeatureNet`; it travels with the weights."""

    shape: tuple[int, ...] = Field(description="(channels, height, width) or (d,)", min_length=1, max_length=3)
    width: int = Field(32, ge=1, le=1024, description="channels of the first convolution, or hidden width / 4")
    features: int = Field(64, ge=1, le=4096, description="length of the feature vector")
    classes: int = Field(1, ge=1, le=100_000, description="labels that the head tells apart")


@final
class FeatureNet(nn.Module):
    """Body, ``features`` numbers, and a linear head over ``classes`` labels.

    Pictures pass convolutions that halve them until they are at most 4 pixels wide, then
    a linear layer; vectors two hidden layers.

    >>> FeatureNet(FeatureNetConfig(shape=(1, 8, 8), classes=10)).features(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """

    def __init__(self, config: FeatureNetConfig) -> None:
        super().__init__()
        self.config = config
        layers, size = (_convolutions if len(config.shape) == 3 else _perceptron)(config)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, config.features), nn.SiLU())
        self.head = nn.Linear(config.features, config.classes)

    def features(self, x: Float[Tensor, "batch *inputs"]) -> Float[Tensor, "batch features"]:
        """What the body makes of each input."""
        return torch.as_tensor(self.body(x))

    def forward(self, x: Float[Tensor, "batch *inputs"]) -> Float[Tensor, "batch classes"]:
        return torch.as_tensor(self.head(self.features(x)))


def _convolutions(config: FeatureNetConfig) -> tuple[list[nn.Module], int]:
    channels, height, width = config.shape
    out = config.width
    stride = 2 if max(height, width) > 16 else 1
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 3, stride, padding=1), nn.SiLU()]
    height, width = -(-height // stride), -(-width // stride)
    while max(height, width) > 4:
        grown = min(2 * out, 4 * config.width)
        layers += [nn.Conv2d(out, grown, 3, 2, padding=1), nn.SiLU()]
        out, height, width = grown, -(-height // 2), -(-width // 2)
    return layers, out * height * width


def _perceptron(config: FeatureNetConfig) -> tuple[list[nn.Module], int]:
    (size,) = config.shape
    hidden = 4 * config.width
    return [nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()], hidden


def train_classifier(
    network: FeatureNet,
    inputs: Float[np.ndarray, "n *inputs"],
    labels: Int64[np.ndarray, " n"],
    *,
    seed: int,
    steps: int,
    batch_size: int = 64,
) -> None:
    """Minimize the cross-entropy by AdamW with a one-cycle learning rate; the same on every call with a seed."""
    random = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    network.train()
    order = np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        while len(order) < batch_size:
            order = np.concatenate([order, random.permutation(len(inputs))])
        rows, order = order[:batch_size], order[batch_size:]
        logits = network(torch.from_numpy(inputs[rows]))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels[rows]), label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.eval()
