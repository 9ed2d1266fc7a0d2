"""Simulation-based inference: a simulator in, the posterior of its parameters for any observation out."""

from headwater.applications.inference.calibration import Calibration, calibrate
from headwater.applications.inference.figure import write_calibration
from headwater.applications.inference.fit import fit_posterior
from headwater.applications.inference.posterior import Posterior
from headwater.applications.inference.simulations import Simulations, simulate

__all__ = ["Calibration", "Posterior", "Simulations", "calibrate", "fit_posterior", "simulate", "write_calibration"]
