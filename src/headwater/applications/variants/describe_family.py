"""The family in a protein's report: its sequences on the plane of codes, and sequences drawn from the models."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8

from headwater.applications.variants.ensemble import Ensemble
from headwater.applications.variants.latent_map import LatentMap, latent_map
from headwater.applications.variants.nearest import nearest_identity
from headwater.applications.variants.report_content import SampledSequence
from headwater.data.alignments.info import ALPHABET
from headwater.data.dataset import Dataset
from headwater.models.base import Latent
from headwater.rng import Rng
from headwater.runs.run import Run

__all__ = ["codes_of", "samples_of"]

_SAMPLES = 8
_ENCODED = 1024
_SAMPLERS = ("pairwise", "potts", "vae")


def _natural(dataset: Dataset) -> UInt8[np.ndarray, "n sites"]:
    return np.asarray(dataset.storage, dtype=np.uint8)


def codes_of(ensemble: Ensemble, dataset: Dataset, seed: int) -> LatentMap | None:
    """The family and samples of the first member that has codes, on the plane."""
    run = next((ensemble.run(m.name) for m in ensemble.members if isinstance(ensemble.run(m.name).model, Latent)), None)
    if run is None:
        return None
    natural = _natural(dataset)
    known = natural < len(ALPHABET)
    identity = ((natural == ensemble.wild_type) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    sampled = run.codec.decode(run.sample_events(256, seed=seed)).cpu().numpy().astype(np.uint8)
    return latent_map(
        _encode(run, natural),
        identity,
        _encode(run, ensemble.wild_type[None])[0],
        _encode(run, sampled),
        name=ensemble.name,
    )


@torch.no_grad()
def _encode(run: Run, codes: UInt8[np.ndarray, "n sites"]) -> Float[np.ndarray, "n latent"]:
    model = run.model
    assert isinstance(model, Latent)
    device, found = next(model.parameters()).device, []
    for start in range(0, len(codes), _ENCODED):
        raw = torch.from_numpy(codes[start : start + _ENCODED]).to(device)
        x, _ = run.codec.encode(raw, Rng.of(0, len(raw), start=start, device=device))
        found.append(model.encode(x).double().cpu().numpy())
    return np.concatenate(found)


def samples_of(ensemble: Ensemble, dataset: Dataset, seed: int) -> tuple[SampledSequence, ...]:
    """A few sequences of one member of each kind that samples well."""
    natural, found = _natural(dataset), []
    for kind in _SAMPLERS:
        member = next((m for m in ensemble.members if m.kind == kind), None)
        if member is None:
            continue
        run = ensemble.run(member.name)
        drawn = run.codec.decode(run.sample_events(_SAMPLES, seed=seed)).cpu().numpy().astype(np.uint8)
        identity, nearest = nearest_identity(drawn, natural)
        for codes, share, row in zip(drawn, identity, nearest, strict=True):
            found.append(
                SampledSequence(
                    "".join(ALPHABET[code] for code in codes),
                    float(share),
                    f"row {int(row) + 1} of the alignment, by {member.name}",
                    float((codes == ensemble.wild_type).mean()),
                )
            )
    return tuple(found)
