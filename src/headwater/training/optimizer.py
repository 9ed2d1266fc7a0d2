"""AdamW for one player, with a flat named state that restores exactly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from headwater.models.base import Player
from headwater.settings import OptimizerSettings

__all__ = ["PlayerOptimizer"]

_FUSED = ("cpu", "cuda", "mps", "xpu")


class PlayerOptimizer:
    """AdamW over a player's parameters; weight decay on matrices only (not biases, gains, offsets).

    Reference:
        Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019), https://arxiv.org/abs/1711.05101.

    Args:
        player: Whose parameters; its ``lr_scale`` and ``betas`` take effect here.
        settings: The section ``optimizer``.
        names: Name of each parameter in the model, by identity, for the saved state.
    """

    def __init__(self, player: Player, settings: OptimizerSettings, names: Mapping[int, str]) -> None:
        self.player = player
        self._base = settings.lr * player.lr_scale
        self._named = {f"{player.name}/{names[id(p)]}": p for p in player.parameters}
        matrices = [p for p in player.parameters if p.ndim >= 2]
        others = [p for p in player.parameters if p.ndim < 2]
        groups = [
            {"params": params, "weight_decay": decay}
            for params, decay in ((matrices, settings.weight_decay), (others, 0.0))
            if params
        ]
        device = player.parameters[0].device.type
        self._adam = torch.optim.AdamW(
            groups,
            lr=self._base,
            betas=player.betas or settings.betas,
            eps=settings.eps,
            fused=device in _FUSED,
        )
        self._fused = device in _FUSED

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The player's parameters."""
        return self.player.parameters

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def forget_gradients(self) -> None:
        """Drop the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def step(self, factor: float, finite: Tensor) -> None:
        """One update at ``lr * lr_scale * factor``; nothing happens where ``finite`` is false.

        The fused kernel reads the flag on the device, so that the check costs no synchronization.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._base * factor
        if self._fused:
            self._adam.found_inf = finite.logical_not().to(torch.float32)  # type: ignore[attr-defined]
            self._adam.step()
        elif bool(finite):
            self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """The moments and step counts as ``player/parameter/moment``; empty before the first step."""
        return {
            f"{name}/{key}": value.detach()
            for name, parameter in self._named.items()
            for key, value in self._adam.state.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Set exactly the state that :meth:`state` gave."""
        self._adam.state.clear()
        for name, parameter in self._named.items():
            keys = ("step", "exp_avg", "exp_avg_sq")
            found = {key: state[f"{name}/{key}"] for key in keys if f"{name}/{key}" in state}
            if found:
                self._adam.state[parameter] = {
                    key: value.to(parameter.device, copy=True) for key, value in found.items()
                }
