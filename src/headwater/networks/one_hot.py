"""Categorical events as one-hot rows: classes padded to the widest element, a missing value an all-zero row."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headwater.errors import UnsupportedEventError
from headwater.events import EventSpec, Support
from headwater.rng import Rng

__all__ = ["OneHot"]

_MOST = 256
_NUMBERS = 8_000_000


class OneHot(nn.Module):
    r"""Features and likelihood of ``L`` discrete elements of at most ``C`` classes.

    .. math:: h_{ic}(x) = [x_i = c], \qquad
              \log p(x_i) = \sum_c h_{ic} \eta_{ic} - o_i \log \sum_{c \in A_i} e^{\eta_{ic}}

    ``A_i`` are the element's own classes and ``o_i`` is 1 where it has a value. The class that stands for a missing
    value is none of them: its row of features is zero, its log-probability is 0, and it is never drawn.

    Args:
        event: Categorical, binary or integer elements, these of at most 256 values.
        model: Who asks, for the message.

    Raises:
        UnsupportedEventError: an element is not discrete or has too many values.

    >>> from headwater.events import Segment
    >>> residue = Segment(support=Support.CATEGORICAL, size=2, classes=4, missing=True)
    >>> one_hot = OneHot(EventSpec(shape=(2,), segments=(residue,)))
    >>> one_hot.features(torch.tensor([[1.0, 3.0]])).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]
    """

    allowed: Bool[Tensor, "sites classes"]
    low: Float[Tensor, " sites"]

    def __init__(self, event: EventSpec, *, model: str = "this model") -> None:
        super().__init__()
        counts: list[int] = []
        low: list[float] = []
        for segment in event.segments:
            count = segment.cardinality if segment.support.discrete else None
            if count is None or count > _MOST:
                what = segment.support.value if count is None else f"{segment.support.value} of {count} values"
                raise UnsupportedEventError(
                    f"{model!r} models categories, got an element of support {what}"
                    f"{f' ({segment.name})' if segment.name else ''}.",
                    hint="Use model=made, which takes reals, whole numbers and categories; "
                    "`headwater models` lists the others.",
                )
            counts += [count - segment.missing] * segment.size
            low += [segment.low if segment.support is Support.INTEGER and segment.low else 0.0] * segment.size
        self.sites, self.classes = event.size, max(counts)
        allowed = torch.arange(self.classes) < torch.tensor(counts)[:, None]
        self.register_buffer("allowed", allowed, persistent=False)
        self.register_buffer("low", torch.tensor(low), persistent=False)

    def features(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch sites classes"]:
        """One-hot rows; zeros where a value is missing."""
        codes = x.flatten(1) - self.low.to(x.dtype)
        number = torch.arange(self.classes, device=x.device, dtype=x.dtype)
        return ((codes[:, :, None] == number) & self.allowed).to(x.dtype)

    def counts(
        self, x: Float[Tensor, "batch *event"], weight: Float[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "sites classes"]:
        """How often each class is seen, in float64, each event counting ``weight`` times; a few events at a time."""
        total = torch.zeros(self.sites, self.classes, dtype=torch.float64, device=x.device)
        rows = max(1, _NUMBERS // (self.sites * self.classes))
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            seen = self.features(x[part]).double()
            total += seen.sum(dim=0) if weight is None else torch.einsum("b,blc->lc", weight[part].double(), seen)
        return total

    def observed(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch sites"]:
        """1 where there is a value, else 0."""
        codes = x.flatten(1) - self.low.to(x.dtype)
        return (codes < self.allowed.sum(dim=1)).to(x.dtype)

    def log_prob(
        self, logits: Float[Tensor, "batch sites classes"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch sites"]:
        """``log p(x_i)`` of each element in nats; 0 where its value is missing."""
        chosen = (self.features(x) * logits).sum(dim=2)
        return chosen - self.observed(x) * torch.logsumexp(self.masked(logits), dim=2)

    def masked(self, logits: Float[Tensor, "*batch sites classes"]) -> Float[Tensor, "*batch sites classes"]:
        """Logits with minus infinity for classes that an element does not have."""
        return logits.masked_fill(~self.allowed, -torch.inf)

    def sample(self, logits: Float[Tensor, "batch sites classes"], rng: Rng) -> Float[Tensor, "batch sites"]:
        """One draw per element, as codes of the event; never a missing value."""
        drawn = rng.categorical("class", self.masked(logits)).to(logits.dtype)
        return drawn + self.low.to(logits.dtype)

    def extra_repr(self) -> str:
        return f"sites={self.sites}, classes={self.classes}"
