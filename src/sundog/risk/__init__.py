"""Risk per image: representation, epistemic and aleatoric, behind one wrapper.

``sundog.risk.NAME`` loads a name from its file on first use; functions whose file has their
own name (``accuracy_vs_risk``) are taken from it, or from ``sundog``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sundog.risk.correlation import risk_correlations as risk_correlations
    from sundog.risk.detection import detection_scores as detection_scores
    from sundog.risk.ensemble import EnsembleModel as EnsembleModel
    from sundog.risk.ensemble_training import train_ensemble as train_ensemble
    from sundog.risk.evidential import Evidential as Evidential
    from sundog.risk.extremes import risk_extremes as risk_extremes
    from sundog.risk.fit_options import FitOptions as FitOptions
    from sundog.risk.gaussian_mixture import ClassGaussians as ClassGaussians
    from sundog.risk.gaussian_mixture import GaussianMixtureDensity as GaussianMixtureDensity
    from sundog.risk.histogram import Histogram as Histogram
    from sundog.risk.histogram_vae import HistogramVAE as HistogramVAE
    from sundog.risk.information import split_information as split_information
    from sundog.risk.label_errors import label_error_scores as label_error_scores
    from sundog.risk.laplace import Laplace as Laplace
    from sundog.risk.logit_scores import Energy as Energy
    from sundog.risk.logit_scores import Entropy as Entropy
    from sundog.risk.logit_scores import GeneralisedEntropy as GeneralisedEntropy
    from sundog.risk.logit_scores import MaximumProbability as MaximumProbability
    from sundog.risk.mc_dropout import MCDropout as MCDropout
    from sundog.risk.model import RiskModel as RiskModel
    from sundog.risk.mve import MVE as MVE
    from sundog.risk.nearest_neighbours import NearestNeighbours as NearestNeighbours
    from sundog.risk.output import RiskOutput as RiskOutput
    from sundog.risk.output import concat_outputs as concat_outputs
    from sundog.risk.registry import METHODS as METHODS
    from sundog.risk.relative_mahalanobis import RelativeMahalanobis as RelativeMahalanobis
    from sundog.risk.reverse_neighbours import ReverseNeighbours as ReverseNeighbours
    from sundog.risk.selective import selective_scores as selective_scores
    from sundog.risk.store import load_risk_model as load_risk_model
    from sundog.risk.store import save_risk_model as save_risk_model
    from sundog.risk.vae import VAE as VAE
    from sundog.risk.vae_recipe import HistogramVAETraining as HistogramVAETraining
    from sundog.risk.virtual_logit import VirtualLogit as VirtualLogit
    from sundog.risk.wrapping import wrap as wrap

_HOMES = {
    "ClassGaussians": "gaussian_mixture",
    "Energy": "logit_scores",
    "EnsembleModel": "ensemble",
    "Entropy": "logit_scores",
    "Evidential": "evidential",
    "FitOptions": "fit_options",
    "GaussianMixtureDensity": "gaussian_mixture",
    "GeneralisedEntropy": "logit_scores",
    "Histogram": "histogram",
    "HistogramVAE": "histogram_vae",
    "HistogramVAETraining": "vae_recipe",
    "Laplace": "laplace",
    "MCDropout": "mc_dropout",
    "METHODS": "registry",
    "MVE": "mve",
    "MaximumProbability": "logit_scores",
    "NearestNeighbours": "nearest_neighbours",
    "RelativeMahalanobis": "relative_mahalanobis",
    "ReverseNeighbours": "reverse_neighbours",
    "RiskModel": "model",
    "RiskOutput": "output",
    "VAE": "vae",
    "VirtualLogit": "virtual_logit",
    "concat_outputs": "output",
    "detection_scores": "detection",
    "label_error_scores": "label_errors",
    "load_risk_model": "store",
    "risk_correlations": "correlation",
    "risk_extremes": "extremes",
    "save_risk_model": "store",
    "selective_scores": "selective",
    "split_information": "information",
    "train_ensemble": "ensemble_training",
    "wrap": "wrapping",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a name from its file on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
