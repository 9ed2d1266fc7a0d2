"""Heads: what turns a network's numbers into a distribution per element, chosen by support."""

from headwater.distributions.heads.discrete import (
    bernoulli_log_prob,
    bernoulli_sample,
    categorical_log_prob,
    categorical_sample,
)
from headwater.distributions.heads.gaussian import (
    gaussian_log_prob,
    gaussian_mixture_log_prob,
    gaussian_mixture_sample,
    gaussian_sample,
    smooth_clamp,
)
from headwater.distributions.heads.head import Head
from headwater.distributions.heads.heads import Heads, numbers_from_maps
from headwater.distributions.heads.logistic import (
    discretized_logistic_mixture_log_prob,
    discretized_logistic_mixture_sample,
)

__all__ = [
    "Head",
    "Heads",
    "bernoulli_log_prob",
    "bernoulli_sample",
    "categorical_log_prob",
    "categorical_sample",
    "discretized_logistic_mixture_log_prob",
    "discretized_logistic_mixture_sample",
    "gaussian_log_prob",
    "gaussian_mixture_log_prob",
    "gaussian_mixture_sample",
    "gaussian_sample",
    "numbers_from_maps",
    "smooth_clamp",
]
