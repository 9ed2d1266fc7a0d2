"""What training needs in memory: the model, its average, an optimizer per player, the batches."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset
from headwater.models.base import ClosedForm, DataInitialized, GenerativeModel
from headwater.runs.build import build_model
from headwater.settings import RunSettings
from headwater.training.distributed import Ranks
from headwater.training.ema import Ema
from headwater.training.feed import Feed, model_dtype
from headwater.training.optimizer import PlayerOptimizer

__all__ = ["Workshop", "assemble"]

_COPIES = 5  # weights, gradients, two moments, average


@dataclass(frozen=True, eq=False)
class Workshop:
    """The parts of a training process; the same in every process of a run."""

    model: GenerativeModel
    ema: Ema
    optimizers: tuple[PlayerOptimizer, ...]
    feed: Feed
    device: torch.device


def assemble(
    dataset: Dataset, codec: Codec, settings: RunSettings, ranks: Ranks, device: torch.device, *, initialize: bool
) -> Workshop:
    """Build everything from the seed.

    Args:
        dataset: The rows and their splits.
        codec: Fitted to the dataset; a copy goes to ``device``.
        settings: Of the run, defaults merged in.
        ranks: The processes; all start from the weights of rank 0.
        device: Where to compute.
        initialize: Let the model see its first batch; not where weights are restored anyway.
    """
    torch.manual_seed(settings.seed)
    dtype = model_dtype(settings)
    feed = Feed(dataset, copy.deepcopy(codec).to(device=device, dtype=dtype), settings, device, ranks)
    model = build_model(settings.model, codec.event, codec.context, copies=_COPIES).to(device=device, dtype=dtype)
    model.train()
    if initialize and isinstance(model, DataInitialized):
        with torch.no_grad():
            model.initialize(*feed.first(model.first_events))
    ranks.broadcast_([*(p.detach() for p in model.parameters()), *model.buffers()])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizers = tuple(PlayerOptimizer(player, settings.optimizer, names) for player in model.players())
    decay = 0.0 if isinstance(model, ClosedForm) else settings.training.ema
    return Workshop(model, Ema(model, decay), optimizers, feed, device)
