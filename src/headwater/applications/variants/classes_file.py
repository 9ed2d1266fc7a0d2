"""Parameters of classification: two groups of scores of each protein and of all, as plain JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from headwater.applications.variants.mixture import Mixture
from headwater.applications.variants.notice import NOTICE
from headwater.config import Config
from headwater.errors import CheckpointError, ConfigError, DataError, UsageError, did_you_mean
from headwater.runs.files import read_json, refuse_existing, write_json

__all__ = ["EVE_THRESHOLDS", "Classifier", "entropy"]

EVE_THRESHOLDS = {0.25: 0.3443, 0.5: 0.5199, 0.75: 0.6272}
"""Uncertainties (nats) up to which EVE keeps a class, by the share of its own variants that this retains."""


class Classifier(Config):
    r"""Parameters of classification; plain JSON on disk.

    .. math:: P = a\, P_{\text{global}} + (1 - a)\, P_{\text{local}}

    with ``a = 0.7`` where a mixture of many proteins is known, as in EVE; the local mixture alone where it is not,
    the global one alone for a protein that was not fitted.

    Reference:
        Disease variant prediction with deep generative models of evolutionary data (Frazer et al., 2021),
        https://doi.org/10.1038/s41586-021-04043-8.
    """

    format: Literal["headwater variant classes"] = "headwater variant classes"
    version: Literal[1] = 1
    notice: str = NOTICE
    shared: Mixture | None = Field(None, description="of all proteins' scores together")
    local: dict[str, Mixture] = Field({}, description="of each protein's scores")
    share: float = Field(0.7, ge=0, le=1, description="weight of the global mixture")
    monotone: bool = Field(True, description="a better score is never called more pathogenic; EVE: false")
    proteins: int = Field(ge=1, description="proteins fitted together")
    scores: int = Field(ge=1, description="scores of them")
    uncertainties: tuple[float, ...] = Field(
        min_length=101, max_length=101, description="their 0th to 100th percentile"
    )
    notes: tuple[str, ...] = Field((), description="what to know before relying on the classes")

    def probability(self, protein: str, score: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """The chance of being pathogenic; NaN where there is no score.

        Raises:
            DataError: the protein was not fitted and there is no global mixture.
        """
        own = self.local.get(protein)
        if own is None and self.shared is None:
            raise DataError(
                f"There are no class parameters of the protein {protein!r}, nor global ones.",
                hint=did_you_mean(protein, self.local),
            )
        if own is None or self.shared is None:
            return (own or self.shared).probability(score, monotone=self.monotone)  # type: ignore[union-attr]
        parts = [mixture.probability(score, monotone=self.monotone) for mixture in (self.shared, own)]
        return self.share * parts[0] + (1 - self.share) * parts[1]

    def threshold(self, retained: float, rule: Literal["own", "eve"] = "own") -> float:
        """The uncertainty up to which a class is kept, so that ``retained`` of the variants fitted keep theirs.

        Raises:
            UsageError: a share outside 0 .. 1, or one for which EVE ships no threshold.
        """
        if rule == "eve":
            if retained not in EVE_THRESHOLDS:
                known = ", ".join(map(str, EVE_THRESHOLDS))
                raise UsageError(f"EVE has no threshold that retains {retained:g}.", hint=f"It has: {known}.")
            return EVE_THRESHOLDS[retained]
        if not 0 <= retained <= 1:
            raise UsageError(f"Expected a share of variants between 0 and 1, got {retained:g}.", hint="Try 0.75.")
        return float(np.interp(retained, np.linspace(0, 1, 101), self.uncertainties))

    def write(self, path: Path | str, *, exist_ok: bool = False) -> Path:
        """Write as JSON.

        Raises:
            UsageError: the file exists, or is not called ``.json``.
        """
        target = Path(path)
        if target.suffix.lower() != ".json":
            raise UsageError(f"Class parameters cannot be kept as {target.suffix or target.name!r}.", hint="Use .json.")
        refuse_existing(target, exist_ok=exist_ok)
        write_json(target, self.model_dump(mode="json"))
        return target

    @classmethod
    def read(cls, path: Path | str) -> Classifier:
        """Read what :meth:`write` wrote.

        Raises:
            DataError: missing, damaged, or something else.
        """
        source = Path(path)
        try:
            return cls.parse(read_json(source), where=str(source))
        except (ConfigError, CheckpointError) as error:
            raise DataError(
                f"{source} does not hold class parameters: {error.message}", hint="Give what `variants classify` wrote."
            ) from None


def entropy(p: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    r""":math:`-p \ln p - (1 - p) \ln (1 - p)` in nats, 0 at both ends; NaN stays NaN.

    >>> entropy(np.array([0.0, 0.5, 0.3204])).round(4).tolist()
    [0.0, 0.6931, 0.6272]
    """
    tiny = np.finfo(np.float64).tiny
    return -p * np.log(np.maximum(p, tiny)) - (1 - p) * np.log(np.maximum(1 - p, tiny))
