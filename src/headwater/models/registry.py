"""Names of models: one line each, nothing imported until it is used; plug-ins by entry point."""

from __future__ import annotations

import fnmatch
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple

from headwater.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from headwater.models.base import GenerativeModel

__all__ = ["ENTRY_POINT_GROUP", "Entry", "find", "load_class", "names"]

ENTRY_POINT_GROUP = "headwater.models"


class Entry(NamedTuple):
    """A registered model: where it is and what one should know before choosing it."""

    name: str
    family: str
    target: str
    summary: str
    origin: str = "headwater"


_BUILT_IN = tuple(
    Entry(name, family, f"headwater.models.{module}", summary)
    for name, family, module, summary in (
        ("nsf", "flow", "flows.nsf:NSF", "neural spline flow, coupling or autoregressive; exact likelihood"),
        ("realnvp", "flow", "flows.realnvp:RealNVP", "affine couplings; exact likelihood, fast both ways"),
        ("nice", "flow", "flows.nice:NICE", "additive couplings; exact likelihood, fast both ways"),
        ("maf", "flow", "flows.maf:MAF", "affine autoregressive flow; exact likelihood"),
        ("iaf", "flow", "flows.iaf:IAF", "inverse autoregressive flow; fast to sample, slow to score"),
        ("spline", "flow", "flows.spline:SplineFlow", "linear, quadratic or cubic splines; exact likelihood"),
        ("flowpp", "flow", "flows.flowpp:FlowPP", "couplings by mixtures of logistics; exact likelihood"),
        ("naf", "flow", "flows.naf:NAF", "neural autoregressive flow, sigmoidal or deep dense; exact likelihood"),
        ("unaf", "flow", "flows.unaf:UNAF", "integrals of positive networks; exact likelihood"),
        ("bnaf", "flow", "flows.bnaf:BNAF", "block neural autoregressive flow; exact likelihood, slow samples"),
        ("sos", "flow", "flows.sos:SOS", "sum-of-squares polynomials; exact likelihood"),
        ("bernstein", "flow", "flows.bernstein:BernsteinFlow", "Bernstein polynomials; exact likelihood"),
        ("planar", "flow", "flows.planar:PlanarFlow", "planar flow; exact likelihood, for smooth densities"),
        ("radial", "flow", "flows.radial:RadialFlow", "radial flow; exact likelihood, for smooth densities"),
        ("sylvester", "flow", "flows.sylvester:SylvesterFlow", "Sylvester flow; exact likelihood"),
        ("residual", "flow", "flows.residual:ResidualFlow", "identity plus a contraction; exact likelihood"),
        ("gaussianization", "flow", "flows.gaussianization:GaussianizationFlow", "rotations and quantiles; exact"),
        ("ffjord", "flow", "flows.ffjord:FFJORD", "continuous flow of a free-form field; likelihood by the ODE"),
        ("otflow", "flow", "flows.otflow:OTFlow", "continuous flow of a potential; likelihood by the ODE"),
        ("glow", "flow", "flows.glow:Glow", "Glow and Real NVP for pictures, multi-scale; bound or exact likelihood"),
        ("tarflow", "flow", "flows.tarflow:TarFlow", "causal transformers over patches; exact likelihood"),
        ("idf", "flow", "flows.idf:IDF", "integer discrete flow: whole numbers, categories; exact, lossless"),
        ("argmax", "flow", "flows.argmax:ArgmaxFlow", "one flow for rows of reals, whole numbers, categories; bound"),
        ("manifold", "flow", "flows.manifold:ManifoldFlow", "angles, unit vectors, compositions; exact likelihood"),
        ("flow-mixture", "flow", "flows.mixture:FlowMixture", "several flows, weighted; exact likelihood"),
        ("vae", "vae", "vaes.vae:VAE", "variational autoencoder with a head per support; likelihood bound"),
        (
            "bayesian-vae",
            "vae",
            "vaes.bayesian:BayesianVAE",
            "Bayesian decoder over categorical sites, of EVE and DeepSequence; likelihood bound",
        ),
        ("gan", "gan", "gans.gan:GAN", "relativistic GAN with R1 and R2 penalties; samples, no likelihood"),
        (
            "flow-matching",
            "diffusion",
            "diffusions.flow_matching:FlowMatching",
            "ODE samplers, guidance, likelihood",
        ),
        (
            "made",
            "autoregressive",
            "autoregressives.made:MADE",
            "masked network for vectors, tables; exact likelihood",
        ),
        (
            "pixel-transformer",
            "autoregressive",
            "autoregressives.pixel_transformer:PixelTransformer",
            "transformer over pixels; exact likelihood",
        ),
        ("pairwise", "autoregressive", "autoregressives.pairwise:Pairwise", "fields and couplings in order; exact"),
        (
            "potts",
            "energy",
            "energies.potts:Potts",
            "fields and couplings of categorical sites; compares, no likelihood",
        ),
        ("sites", "baseline", "baselines.sites:Sites", "categorical sites on their own, sharing what they know; exact"),
        ("independent", "baseline", "baselines.independent:Independent", "every column on its own: the floor to beat"),
        (
            "gaussian-mixture",
            "baseline",
            "baselines.gaussian_mixture:GaussianMixture",
            "full-covariance Gaussian mixture by scikit-learn",
        ),
        (
            "kernel-density",
            "baseline",
            "baselines.kernel_density:KernelDensity",
            "Gaussian kernel density, bandwidth by held-out likelihood",
        ),
    )
)


def _entries() -> dict[str, Entry]:
    found = {entry.name: entry for entry in _BUILT_IN}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        origin = point.dist.name if point.dist else "plug-in"
        if point.name in found:
            raise UsageError(
                f"The plug-in {origin!r} registers {point.name!r}, which {found[point.name].origin!r} has already.",
                hint=f"Remove one of them: pip uninstall {origin}",
            )
        found[point.name] = Entry(point.name, "plug-in", point.value, f"from {origin}", origin)
    return found


def names(pattern: str = "*") -> tuple[Entry, ...]:
    """All registered models whose name or family matches a shell pattern.

    >>> [entry.name for entry in names("autoregressive")]
    ['made', 'pixel-transformer', 'pairwise']
    """
    return tuple(
        entry
        for entry in _entries().values()
        if fnmatch.fnmatchcase(entry.name, pattern) or fnmatch.fnmatchcase(entry.family, pattern)
    )


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UsageError: no such model; offers the nearest names. Nothing is imported.
    """
    entries = _entries()
    if name not in entries:
        raise UsageError(
            f"No model is called {name!r}.",
            hint=f"{did_you_mean(name, entries)} `headwater models` lists them; a plug-in must be installed first.",
        )
    return entries[name]


def load_class(name: str) -> type[GenerativeModel]:
    """Import the class behind a registered name (never a name found in a file's content)."""
    from headwater.models.base import GenerativeModel

    entry = find(name)
    module, _, attribute = entry.target.partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    if not (isinstance(cls, type) and issubclass(cls, GenerativeModel)):
        raise UsageError(f"{entry.target} of {entry.origin!r} is not a GenerativeModel.")
    return cls
