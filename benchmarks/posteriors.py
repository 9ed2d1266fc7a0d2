"""Posteriors fitted by reverse KL against long Hamiltonian chains: means, spreads, quantiles, and what the weights say.

    python -m benchmarks.posteriors [--steps 1500] [--only banana,logistic,schools]

Three posteriors: a banana on the plane; logistic regression with an intercept on ten measurements of scikit-learn's
breast cancer data (569 patients, 11 parameters); the eight schools of Rubin (1981), not centred (10 parameters: mean,
log spread, eight effects). Each is fitted with RealNVP by ``fit_to_density``. The reference is Hamiltonian Monte Carlo
with split R-hat; the banana is known exactly as well (log-evidence log pi = 1.1447), and there it is the chains that
are off. Errors are in units of the reference's standard deviation, the largest over parameters, for the flow's samples
as they are and weighted by importance.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import write
from headwater.distributions.chains import run_chains
from headwater.distributions.importance import ImportanceWeights
from headwater.events import ContextSpec, EventSpec
from headwater.models.flows.realnvp import RealNVP, RealNVPConfig
from headwater.rng import Rng
from headwater.training.anneal import anneal
from headwater.training.reverse_kl import fit_to_density, weigh

QUANTILES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
CHAINS = 32


def banana(x: Tensor) -> Tensor:
    """Curved and two units wide."""
    return -0.5 * x[:, 0].square() - 2.0 * (x[:, 1] - x[:, 0].square()).square()


def logistic() -> Callable[[Tensor], Tensor]:
    """Weights of standardized measurements, priors N(0, 2.5^2)."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    x = torch.as_tensor(data.data[:, :10], dtype=torch.float32)
    x = torch.cat([torch.ones(len(x), 1), (x - x.mean(0)) / x.std(0)], dim=1)
    sign = 2 * torch.as_tensor(data.target, dtype=torch.float32) - 1

    def log_joint(w: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(sign * (w @ x.T)).sum(1) - 0.5 * (w / 2.5).square().sum(1)

    return log_joint


def schools(x: Tensor) -> Tensor:
    """``y_j ~ N(mu + tau eta_j, s_j)``, ``eta ~ N(0, 1)``, ``mu ~ N(0, 5)``, ``tau ~ half-Cauchy(5)`` by its log."""
    y = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    s = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    mu, log_tau, eta = 5 * x[:, :1], x[:, 1:2], x[:, 2:]
    tau = log_tau.exp()
    prior = -0.5 * x[:, :1].square() - torch.log1p((tau / 5).square()) + log_tau
    return (prior - 0.5 * ((y - mu - tau * eta) / s).square().sum(1, keepdim=True)).squeeze(1) - 0.5 * eta.square().sum(
        1
    )


def weighted_quantiles(samples: Tensor, shares: Tensor) -> Tensor:
    """Quantiles of each column, ``(quantiles, columns)``."""
    order = samples.argsort(0)
    below = shares[order].cumsum(0)
    places = torch.searchsorted(below.T.contiguous(), QUANTILES.double().repeat(samples.shape[1], 1))
    return samples.gather(0, order.gather(0, places.T.clamp(max=len(samples) - 1)))


def errors(samples: Tensor, shares: Tensor, mean: Tensor, std: Tensor, quantiles: Tensor) -> dict[str, float]:
    """Largest errors over parameters, in reference standard deviations; spreads as ratios minus one."""
    own_mean = shares @ samples
    own_std = (shares @ (samples - own_mean).square()).sqrt()
    return {
        "mean": round(float(((own_mean - mean) / std).abs().max()), 4),
        "std": round(float((own_std / std - 1).abs().max()), 4),
        "quantiles": round(float(((weighted_quantiles(samples, shares) - quantiles) / std).abs().max()), 4),
    }


def measure(log_density: Callable[[Tensor], Tensor], features: int, steps: int, draws: int) -> dict[str, Any]:
    """One posterior."""
    torch.manual_seed(0)
    config = RealNVPConfig(transforms=8, width=64, blocks=1, activation="silu")
    flow = RealNVP(config, EventSpec.real(features), ContextSpec())
    losses = fit_to_density(flow, log_density, steps=steps)
    start = 2 * Rng.of(7, CHAINS).normal("start", features)
    chains = run_chains(log_density, start, steps=draws, warmup=1_000, leapfrogs=16)
    reference = chains.samples.double()
    mean, std = reference.mean(0), reference.std(0)
    quantiles = reference.quantile(QUANTILES.double(), dim=0)
    found: dict[str, ImportanceWeights] = {
        "importance": weigh(flow, log_density, 20_000),
        "annealed": anneal(flow, log_density, 4_000, temperatures=8),
    }
    figures: dict[str, Any] = {
        "parameters": features,
        "steps": steps,
        "loss": round(sum(losses[-50:]) / 50, 4),
        "reference": {
            "draws": len(reference),
            "rhat": round(float(chains.rhat.max()), 4),
            "stderr_of_means": round(float((chains.stderr / std).max()), 4),
            "acceptance": round(float(chains.acceptance.mean()), 3),
        },
    }
    plain = found["importance"].samples.double()
    even = torch.full((len(plain),), 1 / len(plain), dtype=torch.float64)
    figures["flow"] = errors(plain, even, mean, std, quantiles)
    for name, weights in found.items():
        shares = torch.softmax(weights.log_weights.double(), 0)
        figures[name] = {
            **errors(weights.samples.double(), shares, mean, std, quantiles),
            "effective_share": round(weights.effective_share, 4),
            "log_evidence": round(weights.log_evidence, 4),
            "log_evidence_stderr": round(weights.log_evidence_stderr, 4),
        }
    return figures


def main() -> None:
    """Run all and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--only", default="banana,logistic,schools")
    arguments = parser.parse_args()
    cases = {"banana": (banana, 2), "logistic": (logistic(), 11), "schools": (schools, 10)}
    figures: dict[str, Any] = {}
    for name in arguments.only.split(","):
        log_density, features = cases[name]
        figures[name] = measure(log_density, features, arguments.steps, arguments.draws)
        print(name, figures[name], flush=True)
        write("posteriors", f"python -m benchmarks.posteriors --steps {arguments.steps}", figures)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
