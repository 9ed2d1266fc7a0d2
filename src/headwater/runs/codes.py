"""Codes of raw data and data of codes: a VAE's latent, a flow's or an ODE's noise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.data.codec import Codec
from headwater.errors import UsageError
from headwater.models.base import GenerativeModel, Invertible, Latent
from headwater.rng import Rng
from headwater.runs.sampling import model_device, model_dtype

__all__ = ["decode_codes", "encode_raw"]


@torch.no_grad()
def encode_raw(
    model: GenerativeModel, codec: Codec, raw: Tensor, labels: Tensor | None, seed: int
) -> Float[Tensor, "batch latent"]:
    """The code of each raw row, on the CPU; ``seed`` is that of the codec's own noise.

    Raises:
        UsageError: the model has no codes.
    """
    device = model_device(model)
    events, _ = codec.encode(raw.to(device), Rng.of(seed, len(raw), device=device).fold("encode"))
    events = events.to(model_dtype(model))
    context = codec.encode_context(None if labels is None else labels.to(device), len(raw))
    if isinstance(model, Latent):
        return model.encode(events, context=context).cpu()
    if isinstance(model, Invertible):
        return model.to_noise(events, context=context).cpu()
    raise _no_codes(model)


@torch.no_grad()
def decode_codes(
    model: GenerativeModel, codec: Codec, z: Float[Tensor, "batch latent"], labels: Tensor | None
) -> Float[Tensor, "batch *event"]:
    """The event of each code, in the model's encoding.

    Raises:
        UsageError: the model has no codes.
    """
    z = z.to(device=model_device(model), dtype=model_dtype(model))
    context = codec.encode_context(None if labels is None else labels.to(z.device), len(z))
    if isinstance(model, Latent):
        return model.decode(z, context=context)
    if isinstance(model, Invertible):
        return model.from_noise(z, context=context)
    raise _no_codes(model)


def _no_codes(model: GenerativeModel) -> UsageError:
    return UsageError(
        f"{type(model).__name__} has no codes: it neither encodes nor inverts.",
        hint="Flows (nsf), VAEs (vae) and flow-matching have.",
    )
