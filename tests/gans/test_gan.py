from __future__ import annotations

import torch

from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.gans.augment import adapted_probability, augment
from headwater.models.gans.gan import GAN, GANConfig
from headwater.models.gans.losses import discriminator_loss, generator_loss, gradient_penalty
from headwater.rng import Rng


def test_losses_are_mirror_images() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    assert torch.equal(discriminator_loss(real, fake), generator_loss(fake, real))


def test_gradient_penalty_of_a_linear_score() -> None:
    x = torch.randn(5, 3, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 0.5])
    assert torch.allclose(gradient_penalty(x @ weight, x), weight.square().sum().expand(5))


def test_penalty_gradient_agrees_with_finite_differences() -> None:
    model = GAN(GANConfig(latent=2, width=8, blocks=1), EventSpec.real(2), ContextSpec()).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    batch, rng = Batch(torch.randn(6, 2, dtype=torch.float64)), Rng.of(0, 6)
    weight = model.discriminator.net.entry.weight
    (analytic,) = torch.autograd.grad(model.loss(batch, "discriminator", rng).total, weight)
    step = 1e-6
    with torch.no_grad():
        weight[0, 0] += step
    up = model.loss(batch, "discriminator", rng).total.item()
    with torch.no_grad():
        weight[0, 0] -= 2 * step
    down = model.loss(batch, "discriminator", rng).total.item()
    assert abs((up - down) / (2 * step) - analytic[0, 0].item()) < 1e-6


def test_augmentation_never_happens_at_zero_and_always_at_one() -> None:
    x = Rng.of(1, 40).normal("x", 1, 8, 8)
    assert torch.equal(augment(x, torch.tensor(0.0), Rng.of(0, 40)), x)
    changed = augment(x, torch.tensor(1.0), Rng.of(0, 40))
    assert ((changed != x).flatten(1).any(1)).all()


def test_augmentation_passes_gradients() -> None:
    x = torch.zeros(10, 1, 8, 8, requires_grad=True)
    augment(x, torch.tensor(0.8), Rng.of(0, 10)).sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


def test_probability_rises_only_while_overfitting() -> None:
    p = torch.tensor(0.5)
    assert adapted_probability(p, torch.tensor(0.9), target=0.6, rate=0.1, most=0.8) == torch.tensor(0.6)
    assert adapted_probability(p, torch.tensor(0.2), target=0.6, rate=0.1, most=0.8) == torch.tensor(0.4)
    assert adapted_probability(p, torch.tensor(0.9), target=0.6, rate=0.9, most=0.8) == torch.tensor(0.8)


def test_it_learns_two_separate_modes() -> None:
    """The reason for pairing: a GAN of this size must not drop a mode of a two-mode line."""
    torch.manual_seed(0)
    model = GAN(GANConfig(latent=4, width=32, blocks=1, gamma=0.2), EventSpec.real(1), ContextSpec())
    optimizers = {p.name: torch.optim.Adam(p.parameters, lr=2e-3, betas=(0.0, 0.99)) for p in model.players()}
    for step in range(600):
        rng = Rng.of(step, 128)
        x = torch.sign(rng.normal("side", 1)) * 2 + 0.1 * rng.normal("x", 1)
        for player in model.players():
            total = model.loss(Batch(x), player.name, rng.fold(player.name)).total
            optimizers[player.name].zero_grad()
            total.backward(inputs=list(player.parameters))
            optimizers[player.name].step()
    samples = model.sample(1000, rng=Rng.of(0, 1000)).detach().flatten()
    near = [((samples - mode).abs() < 0.6).float().mean().item() for mode in (-2.0, 2.0)]
    assert min(near) > 0.3, near
