"""A trained model out of a run folder: codec, model and weights, each checked against the other."""

from __future__ import annotations

import torch

from headwater.data.codec import Codec
from headwater.models.base import GenerativeModel
from headwater.runs.build import build_model
from headwater.runs.checkpoint import Checkpoint
from headwater.runs.folder import RunFolder
from headwater.runs.weights import load_state
from headwater.settings import RunSettings

__all__ = ["open_codec", "open_model"]


def open_codec(folder: RunFolder, settings: RunSettings, device: torch.device) -> Codec:
    """The codec of ``codec.json``, in the precision of training."""
    codec = Codec.from_json(folder.read_json("codec.json")).to(device)
    return codec.double() if settings.training.precision == "float64" else codec


def open_model(settings: RunSettings, codec: Codec, checkpoint: Checkpoint, device: torch.device) -> GenerativeModel:
    """The model in eval mode, without gradients.

    The average may hold parameters only; buffers then come from the model's own state.

    Raises:
        CheckpointError: the weights do not fit the settings (a diff by name) or are not finite.
    """
    model = build_model(settings.model, codec.event, codec.context)
    if settings.training.precision == "float64":
        model = model.double()
    tensors = {**checkpoint.groups.get("model", {}), **checkpoint.groups.get("ema", {})}
    load_state(model, tensors, where=f"The weights of {checkpoint.path}")
    return model.to(device).eval().requires_grad_(False)
