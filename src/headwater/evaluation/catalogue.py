"""What each figure is called, which way is better, and how to read it; one table for all who show figures."""

from __future__ import annotations

from typing import Literal, NamedTuple

from headwater.models.base import Paper

__all__ = ["CATALOGUE", "Entry", "entry"]

Better = Literal["higher", "lower", "half", "one"]


class Entry(NamedTuple):
    """A figure: its key in files, its names on screen, and its meaning.

    ``better``: ``half`` and ``one`` for figures whose best value is 1/2 or 1. ``decimals``: digits shown.
    """

    key: str
    title: str
    short: str
    better: Better
    decimals: int
    meaning: str
    papers: tuple[Paper, ...] = ()


_HEUSEL = Paper(
    "Heusel2017",
    "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
    "Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter",
    2017,
    "https://arxiv.org/abs/1706.08500",
)
_BINKOWSKI = Paper(
    "Binkowski2018",
    "Demystifying MMD GANs",
    "Binkowski, Sutherland, Arbel & Gretton",
    2018,
    "https://arxiv.org/abs/1801.01401",
)
_KYNKAANNIEMI = Paper(
    "Kynkaanniemi2019",
    "Improved Precision and Recall Metric for Assessing Generative Models",
    "Kynkaanniemi, Karras, Laine, Lehtinen & Aila",
    2019,
    "https://arxiv.org/abs/1904.06991",
)
_NAEEM = Paper(
    "Naeem2020",
    "Reliable Fidelity and Diversity Metrics for Generative Models",
    "Naeem, Oh, Uh, Choi & Yoo",
    2020,
    "https://arxiv.org/abs/2002.09797",
)
_LOPEZ = Paper(
    "LopezPaz2017",
    "Revisiting Classifier Two-Sample Tests",
    "Lopez-Paz & Oquab",
    2017,
    "https://arxiv.org/abs/1610.06545",
)
_XU = Paper(
    "Xu2019",
    "Modeling Tabular Data using Conditional GAN",
    "Xu, Skoularidou, Cuesta-Infante & Veeramachaneni",
    2019,
    "https://arxiv.org/abs/1907.00503",
)
_MEEHAN = Paper(
    "Meehan2020",
    "A Non-Parametric Test to Detect Data-Copying in Generative Models",
    "Meehan, Chaudhuri & Dasgupta",
    2020,
    "https://arxiv.org/abs/2004.05675",
)
_ALAA = Paper(
    "Alaa2022",
    "How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models",
    "Alaa, van Breugel, Saveliev & van der Schaar",
    2022,
    "https://arxiv.org/abs/2102.08921",
)

CATALOGUE: dict[str, Entry] = {
    found.key: found
    for found in (
        Entry(
            "log_likelihood",
            "Log-likelihood",
            "nats",
            "higher",
            3,
            "Mean log-probability (or log-density) of held-out events in nats, in the data's own units. One nat more "
            "means that held-out data is e times as likely. A lower bound (>=) may only understate the model.",
        ),
        Entry(
            "bits_per_dim",
            "Bits per dimension",
            "bits/dim",
            "lower",
            3,
            "The same in bits per raw element: what a lossless compressor built on the model would need.",
        ),
        Entry(
            "frechet",
            "Fréchet distance",
            "Frechet",
            "lower",
            3,
            "Distance between Gaussians fitted to the features of generated and of held-out events. With few events it "
            "is far from zero even for real data: read it beside the floor, two real sets of the same size. It is not "
            "the FID: that one needs the Inception network.",
            (_HEUSEL,),
        ),
        Entry(
            "kernel",
            "Kernel distance",
            "kernel",
            "lower",
            4,
            "Unbiased squared maximum mean discrepancy of the features: zero on average for equal distributions at any "
            "number of events, so it may come out slightly negative.",
            (_BINKOWSKI,),
        ),
        Entry(
            "precision",
            "Precision",
            "prec.",
            "higher",
            3,
            "Share of generated events that lie among real ones: fidelity.",
            (_KYNKAANNIEMI,),
        ),
        Entry(
            "recall",
            "Recall",
            "recall",
            "higher",
            3,
            "Share of real events that lie among generated ones: variety.",
            (_KYNKAANNIEMI,),
        ),
        Entry(
            "density",
            "Density",
            "dens.",
            "one",
            3,
            "Fidelity that one outlier cannot raise; about 1 for real data, more when samples crowd the middle.",
            (_NAEEM,),
        ),
        Entry(
            "coverage",
            "Coverage",
            "cover.",
            "higher",
            3,
            "Share of real neighbourhoods that hold a generated event: variety, robust to outliers.",
            (_NAEEM,),
        ),
        Entry(
            "two_sample",
            "Two-sample test, area under the curve",
            "C2ST",
            "half",
            3,
            "How well a classifier tells generated from real events it has not seen: 0.5 is a perfect generator, 1 one "
            "that never fools it.",
            (_LOPEZ,),
        ),
        Entry(
            "recognition",
            "Label recognition",
            "labels",
            "higher",
            3,
            "Share of events generated for a label in which a classifier trained on real ones sees that label.",
        ),
        Entry(
            "columns",
            "Column fidelity",
            "columns",
            "higher",
            3,
            "Mean over columns of one minus the Kolmogorov-Smirnov distance (numbers) or the total variation distance "
            "(categories), missing values included.",
        ),
        Entry(
            "pairs",
            "Pair fidelity",
            "pairs",
            "higher",
            3,
            "Mean over pairs of columns of how alike their correlation (numbers) or their joint table (others) is.",
        ),
        Entry(
            "utility",
            "Utility",
            "utility",
            "higher",
            3,
            "Held-out score (mean F1 of classes, or R2) of a learner trained on generated rows; the floor is "
            "the same learner trained on as many real rows.",
            (_XU,),
        ),
        Entry(
            "copies",
            "Exact copies",
            "copies",
            "lower",
            0,
            "Generated events equal to a training event; the floor counts held-out events that are.",
            (_MEEHAN, _ALAA),
        ),
        Entry(
            "closest",
            "Distance to the closest record",
            "closest",
            "one",
            3,
            "Median distance of generated events to the nearest training event over the same of held-out events: 1 "
            "means that they are as far from the training data as fresh real data; well below 1 is memorization.",
            (_MEEHAN, _ALAA),
        ),
        Entry("speed", "Samples per second", "samples/s", "higher", 0, "Generated events per second on this machine."),
    )
}


def entry(key: str) -> Entry:
    """The entry of a key; a key of a newer version is shown under its own name."""
    return CATALOGUE.get(key) or Entry(key, key, key, "higher", 3, "")
