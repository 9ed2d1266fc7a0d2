"""Named feature extractors: what distances are measured on, with the hash that every score is stamped with."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped

from headwater.errors import CheckpointError, DataError
from headwater.evaluation.network import FeatureNet, FeatureNetConfig, train_classifier
from headwater.evaluation.spaces import Space
from headwater.runs.weights import load_state, read_safetensors, write_safetensors

__all__ = ["Extractor", "classifier", "identity", "random_features", "user_weights", "write_weights"]

_CHUNK = 1024
_CLASSIFIER_ROWS = 20_000
_MOST_BYTES = 2**30
_trained: OrderedDict[str, FeatureNet] = OrderedDict()


@final
class Extractor:
    """Raw events in, standardized features out; always on the CPU, so that figures do not depend on a device.

    Features have mean 0 and variance 1 on the training rows, so a Frechet distance of
    ``d`` features is in units of their variance.

    Attributes:
        name: Such as ``classifier`` or ``identity``.
        fingerprint: Hash of everything that decides the features; scores with another one do not compare.
    """

    def __init__(self, name: str, space: Space, network: FeatureNet | None, train: np.ndarray) -> None:
        self.name = name
        self.space = space
        self.network = network
        self._mean, self._scale = np.zeros(1), np.ones(1)
        if network is not None:
            known = self.features(train[:: max(1, len(train) // 10_000)])
            self._mean, spread = known.mean(axis=0), known.std(axis=0)
            self._scale = np.where(spread > 1e-6, spread, 1.0)
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        digest = hashlib.sha256(f"{self.name} {self.space.fingerprint}".encode())
        if self.network is not None:
            digest.update(self.network.config.model_dump_json().encode())
            for name, value in self.network.state_dict().items():
                digest.update(name.encode() + value.numpy().tobytes())
        return digest.hexdigest()[:12]

    def features(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
        """Float64 features of raw events ``(n, *raw_shape)``."""
        if self.network is None:
            return self.space.vectors(raw).astype(np.float64)
        found: list[np.ndarray] = []
        with torch.inference_mode():
            for start in range(0, len(raw), _CHUNK):
                inputs = torch.from_numpy(self.space.inputs(raw[start : start + _CHUNK]))
                found.append(self.network.features(inputs).double().numpy())
        return (np.concatenate(found) - self._mean) / self._scale

    def labels(self, raw: Shaped[np.ndarray, "n *shape"]) -> Int64[np.ndarray, " n"]:
        """The label the classifier reads off each event."""
        assert self.network is not None
        found: list[np.ndarray] = []
        with torch.inference_mode():
            for start in range(0, len(raw), _CHUNK):
                inputs = torch.from_numpy(self.space.inputs(raw[start : start + _CHUNK]))
                found.append(self.network(inputs).argmax(dim=1).numpy())
        return np.concatenate(found)

    def __repr__(self) -> str:
        return f"Extractor({self.name}, {self.fingerprint})"


def identity(space: Space, train: Shaped[np.ndarray, "n *shape"]) -> Extractor:
    """No network: the vectors of the space themselves."""
    return Extractor("identity", space, None, train)


def _initialized(config: FeatureNetConfig, seed: int) -> FeatureNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureNet(config).eval()


def random_features(space: Space, train: Shaped[np.ndarray, "n *shape"], *, seed: int = 0) -> Extractor:
    """A network of random weights: no labels needed, blind to nothing in particular.

    Reference:
        Reliable Fidelity and Diversity Metrics for Generative Models (Naeem, Oh, Uh, Choi
        & Yoo, 2020), https://arxiv.org/abs/2002.09797, section 4.2.
    """
    shape = space.inputs(train[:1]).shape[1:]
    return Extractor(f"random(seed {seed})", space, _initialized(FeatureNetConfig(shape=shape), seed), train)


def classifier(
    space: Space,
    train: Shaped[np.ndarray, "n *shape"],
    labels: Int64[np.ndarray, " n"],
    *,
    seed: int = 0,
    steps: int = 500,
) -> Extractor:
    """A small network trained on the labels of the training rows; kept in memory, so once per process.

    Args:
        space: Where its inputs live.
        train: Raw training events, of which at most 20,000, evenly spread, are used.
        labels: Their labels, 0 and up; negative ones (no label) are left out.
        seed: Of weights and order.
        steps: Batches of 64.

    Raises:
        DataError: fewer than two labels occur.
    """
    chosen = np.flatnonzero(labels >= 0)
    chosen = chosen[:: max(1, len(chosen) // _CLASSIFIER_ROWS)]
    events, known = train[chosen], np.ascontiguousarray(labels[chosen], dtype=np.int64)
    if len(np.unique(known)) < 2:
        raise DataError("A classifier needs at least two labels.", hint="Evaluate with extractor='random'.")
    inputs = space.inputs(events)
    config = FeatureNetConfig(shape=inputs.shape[1:], classes=int(labels.max()) + 1)
    digest = hashlib.sha256(f"{space.fingerprint} {seed} {steps} {config.model_dump_json()}".encode())
    digest.update(inputs.tobytes() + known.tobytes())
    key = digest.hexdigest()
    if key not in _trained:
        network = _initialized(config, seed)
        train_classifier(network, inputs, known, seed=seed, steps=steps)
        _trained[key] = network
        while len(_trained) > 4:
            _trained.popitem(last=False)
    return Extractor(f"classifier(seed {seed})", space, _trained[key], train)


def write_weights(extractor: Extractor, path: Path) -> None:
    """Write the network of an extractor as safetensors, for :func:`user_weights`."""
    assert extractor.network is not None
    write_safetensors(path, extractor.network.state_dict())


def user_weights(space: Space, train: Shaped[np.ndarray, "n *shape"], path: Path) -> Extractor:
    """A user's own weights for :class:`FeatureNet`, as :func:`write_weights` writes them.

    Only safetensors is read: nothing in the file is executed. Width, features and
    classes are those of the file's tensors, the input's shape is that of the data.

    Raises:
        CheckpointError: damaged, or not the weights of such a network for such events.
        UnsafeFileError: a format that can execute code, or too large.
    """
    tensors = read_safetensors(path, limit_bytes=_MOST_BYTES)
    first, head = tensors.get("body.0.weight"), tensors.get("head.weight")
    if first is None or head is None or head.ndim != 2:
        raise CheckpointError(
            f"{path}: expected the weights of a FeatureNet, got tensors {', '.join(sorted(tensors)[:8])}.",
            hint="Make such a file with headwater.evaluation.extractors.write_weights.",
        )
    shape = space.inputs(train[:1]).shape[1:]
    width = max(1, first.shape[0] // (1 if len(shape) == 3 else 4))
    classes, features = head.shape
    config = FeatureNetConfig.parse(
        {"shape": shape, "width": width, "features": features, "classes": classes}, where=str(path)
    )
    network = FeatureNet(config).eval()
    load_state(network, tensors, where=str(path))
    return Extractor(f"user({path.name})", space, network, train)
