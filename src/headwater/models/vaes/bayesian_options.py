"""Settings, options and references of the Bayesian VAE."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headwater.models.base import ModelConfig, Options, Paper

__all__ = ["PAPERS", "BayesianSampling", "BayesianScoring", "BayesianVAEConfig"]


class BayesianVAEConfig(ModelConfig):
    """Settings of ``bayesian-vae``."""

    encoder: tuple[int, ...] = Field((512, 128), min_length=1, description="hidden widths of the encoder")
    latent: int = Field(16, ge=1, le=4096, description="length of the code")
    decoder: tuple[int, ...] = Field((64, 256), min_length=1, description="hidden widths of the decoder")
    convolution: int | None = Field(40, ge=1, description="rows of the dictionary that all sites share; None: none")
    temperature: bool = Field(True, description="one learned factor on all logits")
    sparsity: bool = Field(False, description="scales between hidden units and sites, nearly all of them off")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of code and hidden units dropped in training (decoder)")
    final: Literal["relu", "sigmoid"] = Field("relu", description="activation of the decoder's last hidden layer")
    bayesian: bool = Field(True, description="Gaussian weights in the decoder; false: plain ones")
    prior: Literal["scaled", "standard"] = Field(
        "scaled", description="of weights, N(0, s^2 / inputs) or N(0, s^2); EVE's is the latter"
    )
    prior_scale: float = Field(1.0, gt=0, description="s of the weights' prior")
    log_variance: float = Field(-6.0, le=0, description="of the decoder's weights at the start, less the prior's")
    variance_rate: float = Field(10.0, gt=0, description="how much faster than other parameters log-variances move")
    likelihood: Literal["categorical", "eve"] = Field(
        "categorical", description="eve: binary cross-entropy of log-probabilities, as EVE trains; no likelihood"
    )
    kl_weight: float | None = Field(
        None, ge=0, description="factor on the divergence of weights; None: (elements / events)^2, at most 1"
    )
    warmup: float = Field(0.0, ge=0, le=1, description="share of the training in which that factor rises from zero")
    kl_latent: float = Field(1.0, ge=0, description="factor on the divergence of codes")

    @model_validator(mode="after")
    def _groups_are_whole(self) -> BayesianVAEConfig:
        if self.sparsity and self.decoder[-1] % 4:
            raise ValueError(f"with sparsity the decoder's last width is a multiple of 4, got {self.decoder[-1]}")
        return self


class BayesianSampling(Options):
    """Options of :meth:`BayesianVAE.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="spread of each element given the code")
    latent_temperature: float = Field(1.0, ge=0, le=10, description="spread of the codes")


class BayesianScoring(Options):
    """Budget of :meth:`BayesianVAE.log_prob`."""

    draws: int = Field(64, ge=1, le=1_000_000, description="importance samples of code and weights per event")


PAPERS = (
    Paper(
        "riesselman2018deepsequence",
        "Deep generative models of genetic variation capture the effects of mutations",
        "Riesselman, Ingraham & Marks",
        2018,
        "https://doi.org/10.1038/s41592-018-0138-4",
    ),
    Paper(
        "frazer2021eve",
        "Disease variant prediction with deep generative models of evolutionary data",
        "Frazer, Notin, Dias, Gomez, Min, Brock, Gal & Marks",
        2021,
        "https://doi.org/10.1038/s41586-021-04043-8",
    ),
    Paper(
        "kingma2015local",
        "Variational Dropout and the Local Reparameterization Trick",
        "Kingma, Salimans & Welling",
        2015,
        "https://arxiv.org/abs/1506.02557",
    ),
)
