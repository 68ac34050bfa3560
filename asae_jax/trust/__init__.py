"""When not to believe a trained network: pure NumPy, from its scores and pooled features.

Everything here is fitted on examples that the network was not trained on, and says how many they were.
"""

from asae_jax.trust.conformal import METHODS as CONFORMAL_METHODS
from asae_jax.trust.conformal import Conformal, fit_conformal
from asae_jax.trust.files import FILE, FOLDER, read_trust, write_trust
from asae_jax.trust.gaussians import ClassGaussians, fit_class_gaussians
from asae_jax.trust.intervals import wilson_interval
from asae_jax.trust.judge import Judgement, Trust
from asae_jax.trust.neighbours import Neighbours
from asae_jax.trust.ood import METHODS as OUTLIER_METHODS
from asae_jax.trust.ood import Outliers, fit_outliers, fit_reference
from asae_jax.trust.reliability import Reliability, measure_reliability, reliability_bins
from asae_jax.trust.selective import Abstention, RiskCoverage, choose_abstention, risk_coverage
from asae_jax.trust.temperature import Temperature, fit_temperature, soften

__all__ = [
    "CONFORMAL_METHODS",
    "FILE",
    "FOLDER",
    "OUTLIER_METHODS",
    "Abstention",
    "ClassGaussians",
    "Conformal",
    "Judgement",
    "Neighbours",
    "Outliers",
    "Reliability",
    "RiskCoverage",
    "Temperature",
    "Trust",
    "choose_abstention",
    "fit_class_gaussians",
    "fit_conformal",
    "fit_outliers",
    "fit_reference",
    "fit_temperature",
    "measure_reliability",
    "read_trust",
    "reliability_bins",
    "risk_coverage",
    "soften",
    "wilson_interval",
    "write_trust",
]
