"""From free noise to the reals that a discrete value stands for, given that value: increasing maps onto a region."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["argmax_threshold", "cell_threshold", "sign_threshold"]


def sign_threshold(
    u: Float[Tensor, "*shape"], bit: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``v = +-softplus(u)``, above zero where ``bit`` is one; ``log|dv/du| = log sigma(u)``.

    Args:
        u: Any reals.
        bit: Zeros and ones.

    >>> sign_threshold(torch.zeros(2), torch.tensor([0.0, 1.0]))[0]
    tensor([-0.6931,  0.6931])
    """
    return (2 * bit - 1) * functional.softplus(u), functional.logsigmoid(u)


def argmax_threshold(
    u: Float[Tensor, "*shape classes"], chosen: Float[Tensor, "*shape classes"]
) -> tuple[Float[Tensor, "*shape classes"], Float[Tensor, "*shape"]]:
    """``v_x = u_x`` and ``v_i = u_x - softplus(u_x - u_i)``, so that ``argmax v = x``.

    ``log|det dv/du| = sum_{i != x} log sigma(u_x - u_i)``.

    Argmax Flows and Multinomial Diffusion: Learning Categorical Distributions (Hoogeboom, Nielsen, Jaini,
    Forré & Welling, 2021), section 4.1, https://arxiv.org/abs/2102.05379.

    Args:
        u: Any reals.
        chosen: ``x``, one-hot.

    >>> v, _ = argmax_threshold(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 0.0]))
    >>> int(v.argmax())
    0
    """
    top = (u * chosen).sum(dim=-1, keepdim=True)
    above = top - u
    v = torch.where(chosen > 0, u, top - functional.softplus(above))
    return v, ((1 - chosen) * functional.logsigmoid(above)).sum(dim=-1)


def cell_threshold(
    u: Float[Tensor, "*shape"],
    below: Float[Tensor, "*shape"],
    share: Float[Tensor, "*shape"],
    above: Float[Tensor, "*shape"],
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``v = logit w`` with ``w = below + share sigma(u)``: the real line cut into a cell per value.

    With ``1 - w = above + share sigma(-u)``, summed on its own so that neither end rounds away:
    ``log dv/du = log share + log sigma(u) + log sigma(-u) - log w - log(1 - w)``.

    Variational dequantization: Flow++ (Ho, Chen, Srinivas, Duan & Abbeel, 2019), section 3.1,
    https://arxiv.org/abs/1902.00275, there with cells of one length.

    Args:
        u: Any reals.
        below, share, above: The length of ``[0, 1]`` before, in and after the cell; their sum is one.

    >>> half = torch.tensor(0.5)
    >>> v, ladj = cell_threshold(torch.tensor(0.0), 0 * half, half, half)  # w = 1/4
    >>> round(float(torch.sigmoid(v)), 4)
    0.25
    """
    inside, outside = functional.logsigmoid(u), functional.logsigmoid(-u)
    log_w, log_rest = torch.log(below + share * inside.exp()), torch.log(above + share * outside.exp())
    return log_w - log_rest, torch.log(share) + inside + outside - log_w - log_rest
