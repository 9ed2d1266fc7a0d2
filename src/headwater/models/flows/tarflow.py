"""Transformer autoregressive flow: causal transformers over patches, in alternating directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection
from headwater.bijections.causal_transformer import Solver, TransformerAutoregressive
from headwater.bijections.combinators import Compose
from headwater.bijections.marginal import Marginal
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.permutation import Permutation
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.errors import UsageError
from headwater.models.base import Batch, Losses, Paper
from headwater.models.flows.model import AbstractFlow, FlowConfig, FlowSampling
from headwater.networks.patches import choose_patch
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["TarFlow", "TarFlowConfig", "TarFlowSampling"]


class TarFlowConfig(FlowConfig):
    """Architecture of a transformer autoregressive flow, and the noise it is trained with."""

    blocks: int | None = Field(
        None,
        ge=1,
        le=64,
        description="transformers, each reading in the other direction than the last; None: 1, or 8 of affine maps",
    )
    map: Literal["affine", "spline", "mixture"] = Field(
        "spline", description="how an element moves: affine as in the paper, by a spline, or by a mixture of logistics"
    )
    marginal: int | None = Field(
        None,
        ge=0,
        le=64,
        description="bins of a spline before the transformers that is laid by the data, one per"
        " channel or column; 0: none; None: 32 for pictures, none for rows",
    )
    bins: int | None = Field(None, ge=2, le=64, description="spline: bins; None: 8 for pictures, 16 for rows")
    bound: float = Field(4.0, gt=0, le=100, description="the splines act on [-bound, bound], beyond is the identity")
    components: int = Field(8, ge=1, le=64, description="mixture: logistics")
    patch: tuple[int, int] | None = Field(
        None, description="height and width of a token's patch; None: at least 4 pixels, at most 200 tokens"
    )
    width: int = Field(64, ge=1, le=8192, description="size of a token")
    depth: int = Field(3, ge=1, le=64, description="layers of each transformer")
    heads: int = Field(4, ge=1, le=64, description="attention heads; must divide width")
    reach: int = Field(3, ge=0, le=16, description="pixels around a patch that its token is shown directly; 0: none")
    inner: int = Field(
        96,
        ge=0,
        le=8192,
        description="hidden units of the network that goes through a patch's pixels; 0: as in the"
        " paper, pixels of a patch are independent given the earlier patches",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="standard deviation of Gaussian noise added to encoded events while training:"
        " better samples, a worse likelihood",
    )


class TarFlowSampling(FlowSampling):
    """How to draw from a transformer autoregressive flow."""

    guidance: float = Field(
        1.0, ge=0, le=100, description="1: as trained; above: more typical of the context; 0: context ignored"
    )
    denoise: bool | None = Field(
        None, description="take the noise of training away by the score; None: where there was noise"
    )
    solver: Solver = Field("sweep", description="sweep: patch after patch; jacobi: all patches at once, repeatedly")
    tolerance: float = Field(1e-5, ge=0, description="jacobi: an event is done when nothing in it moves by more")


@final
class TarFlow(AbstractFlow):
    """``blocks`` autoregressive maps over the patches of a picture, with the picture turned round between them.

    A causal transformer reads the patches so far and says how the elements of the next one move; the next
    block reads them from the other end. Rows are read element by element. The likelihood is exact.

    With ``noise`` σ it is a density of events with Gaussian noise, ``y = x + σ ε``; its log-likelihood at an event is
    exact for that density, which the score's protocol names, and samples are taken back by ``x = y + σ² ∇_y log p(y)``.

    Raises:
        UnsupportedEventError: an element of the event is not an unbounded real.
        UsageError: the patch does not divide the picture, or ``heads`` does not divide ``width``.

    >>> from headwater.events import ContextSpec, EventSpec
    >>> config = TarFlowConfig(width=8, depth=1, heads=2, inner=8)
    >>> model = TarFlow(config, EventSpec.real(1, 4, 4), ContextSpec())
    >>> model.sample(2, rng=Rng.of(0, 2)).shape
    torch.Size([2, 1, 4, 4])
    """

    Config = TarFlowConfig
    Sampling = TarFlowSampling
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "zhai2024tarflow",
            "Normalizing Flows are Capable Generative Models",
            "Shuangfei Zhai, Ruixiang Zhang, Preetum Nakkiran, David Berthelot, Jiatao Gu, Huangjie Zheng, Tianrong"
            " Chen, Miguel Angel Bautista, Navdeep Jaitly, Josh Susskind",
            2024,
            "https://arxiv.org/abs/2412.06329",
        ),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "training": {"batch_size": 256, "ema": 0.999},
        "optimizer": {"lr": 2e-3, "betas": (0.9, 0.98), "weight_decay": 0.05, "clip": 1.0},
    }
    picture_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "training": {"batch_size": 32, "ema": 0.995},
        "optimizer": {"lr": 3e-3},
    }

    config: TarFlowConfig

    def bijection(self, features: int, context: int) -> Bijection:
        config, (shape, patch) = self.config, self._layout()
        marginal = 32 if config.marginal is None and self.event.is_image else config.marginal or 0
        parts: list[Bijection] = []
        if marginal:
            parts.append(
                Marginal(features, shape[0] if self.event.is_image else features, bins=marginal, bound=config.bound)
            )
        for number in range(config.blocks or (8 if config.map == "affine" else 1)):
            parts += [Permutation.reverse(features)] if number else []  # the picture turned round: last patch first
            parts.append(
                TransformerAutoregressive(
                    self._map(),
                    shape,
                    patch,
                    context=context,
                    width=config.width,
                    depth=config.depth,
                    heads=config.heads,
                    reach=config.reach if self.event.is_image else 0,
                    inner=config.inner,
                )
            )
        return Compose(*parts)

    def _map(self) -> Univariate:
        config = self.config
        if config.map == "affine":
            return Affine()
        if config.map == "mixture":
            return MixtureCDF(config.components)
        return RationalQuadratic(config.bins or (8 if self.event.is_image else 16), config.bound)

    def _layout(self) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """The event as a picture, and its patch, after everything that does not fit was refused."""
        config, event = self.config, self.event
        if config.width % config.heads:
            raise UsageError(
                f"model.heads={config.heads} does not divide model.width={config.width}.",
                hint=f"Try model.heads={next(h for h in range(config.heads, 0, -1) if config.width % h == 0)}.",
            )
        if not event.is_image:
            return (1, 1, event.size), (1, 1)
        channels, height, width = event.shape
        patch = config.patch or choose_patch(height, width)
        if min(patch) < 1 or height % patch[0] or width % patch[1]:
            raise UsageError(
                f"A patch of {patch[0]} x {patch[1]} does not divide pictures of {height} x {width}.",
                hint=f"Leave model.patch out, or try {choose_patch(height, width)}.",
            )
        return (channels, height, width), patch

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x = batch.x.flatten(1)
        if self.config.noise:
            x = x + self.config.noise * rng.normal("noise", x.shape[1], dtype=x.dtype)
        nll = -self.flow.log_prob(x, self.given(batch.context, x), rng).mean()
        return Losses(nll / self.event.size, {"nll": nll.detach()})

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="scoring")
        noise = self.config.noise
        protocol = {"density": f"of events with noise of standard deviation {noise:g}"} if noise else {}
        score = self.flow.score(x.flatten(1), self.given(context, x))
        return replace(score, protocol={**score.protocol, **protocol})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """``n`` new events.

        Options: ``temperature``, ``guidance``, ``denoise``, ``solver``, ``tolerance`` (see :class:`TarFlowSampling`).

        Raises:
            ConfigError: an unknown option or a value outside its bounds.
            UsageError: guidance without a context, or denoising where there was no noise.
        """
        chosen = TarFlowSampling.parse(options, where="sampling")
        self._refuse(chosen)
        like = next(self.parameters())
        x = self.flow.base.sample(rng, temperature=chosen.temperature, dtype=like.dtype)
        given = self.given(context, x)
        free = None if chosen.guidance == 1 else self.given(None, x)
        assert isinstance(self.flow.bijection, Compose)
        for part in reversed(self.flow.bijection.parts):
            if isinstance(part, TransformerAutoregressive):
                x, _ = part.generate(
                    x,
                    given,
                    guidance=chosen.guidance,
                    free=free,
                    solver=chosen.solver,
                    tolerance=chosen.tolerance,
                )
            else:
                assert isinstance(part, Permutation | Marginal)
                x, _ = part.inverse(x)
        if self.config.noise and chosen.denoise is not False:
            x = self._denoised(x, given)
        return x.reshape(-1, *self.event.shape)

    def _denoised(self, y: Tensor, given: Tensor | None) -> Tensor:
        """``y + σ² ∇_y log p(y)``, the mean of the event given the noisy one (Tweedie's formula)."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.flow.log_prob(y, given).sum(), y)
        return y.detach() + self.config.noise**2 * score

    def _refuse(self, chosen: TarFlowSampling) -> None:
        if chosen.guidance != 1 and not self.context.size:
            raise UsageError(
                "Guidance needs a context, and this model was trained without one.",
                hint="Leave out guidance, or train on data with labels.",
            )
        if chosen.denoise and not self.config.noise:
            raise UsageError(
                "There is no noise to take away: this model was trained with model.noise=0.",
                hint="Leave out denoise, or train with model.noise=0.05.",
            )
