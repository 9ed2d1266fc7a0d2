"""The bases that a flow can be given by name."""

from __future__ import annotations

from typing import Literal

from headwater.distributions.base import Base
from headwater.distributions.mixture import GaussianMixtureBase
from headwater.distributions.normal import StandardNormal
from headwater.distributions.resampled import Resampled
from headwater.distributions.student_t import StudentT
from headwater.distributions.uniform import Uniform

__all__ = ["BaseName", "build_base"]

BaseName = Literal["normal", "student-t", "mixture", "uniform", "resampled"]


def build_base(name: BaseName, features: int, *, components: int = 8, degrees: float | None = None) -> Base:
    """The base of this name on vectors of so many elements; the uniform one on the unit box.

    Args:
        name: Which.
        features: Length of the vectors.
        components: Of a mixture.
        degrees: Of freedom of a t distribution; None: learned.

    >>> build_base("student-t", 3)
    StudentT(3, degrees=learned)
    """
    if name == "student-t":
        return StudentT(features, degrees=degrees)
    if name == "mixture":
        return GaussianMixtureBase(features, components=components)
    plain: dict[str, type[StandardNormal] | type[Uniform] | type[Resampled]]
    plain = {"normal": StandardNormal, "uniform": Uniform, "resampled": Resampled}
    return plain[name](features)
