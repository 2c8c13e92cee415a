"""The table of risk methods, which the command line, the documentation and the tests read."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.parameters import check_parameters
from sundog.risk.estimator import Estimator
from sundog.risk.output import Field

Kind = Literal["post-hoc", "trained", "sampling"]


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        name: as in ``wrap(classifier, name)``.
        summary: one line.
        gives: the risks it returns.
        kind: ``post-hoc`` is fitted on features and logits, ``trained`` by gradient steps,
            ``sampling`` asks the network several times.
        passes: backbone passes per image at inference.
        source: the paper.
        home: module and class.
    """

    name: str
    summary: str
    gives: tuple[Field, ...]
    kind: Kind
    passes: str
    source: str
    home: str


def make_estimator(name: str, **parameters: Any) -> Estimator:
    """Return an unfitted risk method.

    Raises:
        UnknownNameError: no such method; suggests the nearest.
        InputError: a parameter that it does not have, or a value out of range.
    """
    if name == "ensemble":
        raise InputError(
            "Risk method 'ensemble'",
            expected="several classifiers",
            got="one",
            hint="wrap([first, second, ...], 'ensemble'), or --members on the command line; "
            "sundog.train_ensemble trains them.",
        )
    if name not in METHODS:
        raise UnknownNameError("risk method", name, METHODS)
    module, _, attribute = METHODS[name].home.partition(":")
    kind: type[Estimator] = getattr(importlib.import_module(module), attribute)
    check_parameters(name, kind, parameters)
    return kind(**parameters)


_ROWS = (
    Method(
        name="knn",
        summary="distance to the k-th nearest training image in feature space",
        gives=("representation", "epistemic"),
        kind="post-hoc",
        passes="1",
        source="Sun et al., 2022, arXiv 2204.06507",
        home="sundog.risk.nearest_neighbours:NearestNeighbours",
    ),
    Method(
        name="reverse_knn",
        summary="how many training images count its neighbours among their own: rare groups",
        gives=("representation",),
        kind="post-hoc",
        passes="1",
        source="Radovanovic, Nanopoulos & Ivanovic, 2015, IEEE TKDE 27",
        home="sundog.risk.reverse_neighbours:ReverseNeighbours",
    ),
    Method(
        name="gmm",
        summary="log-density of a Gaussian mixture of the training features",
        gives=("representation", "epistemic"),
        kind="post-hoc",
        passes="1",
        source="Dempster, Laird & Rubin, 1977, JRSS B 39",
        home="sundog.risk.gaussian_mixture:GaussianMixtureDensity",
    ),
    Method(
        name="ddu",
        summary="log-density of one Gaussian per class",
        gives=("representation", "epistemic"),
        kind="post-hoc",
        passes="1",
        source="Mukhoti et al., 2021, arXiv 2102.11582",
        home="sundog.risk.gaussian_mixture:ClassGaussians",
    ),
    Method(
        name="rmds",
        summary="relative Mahalanobis distance: to the nearest class, minus to all images",
        gives=("epistemic",),
        kind="post-hoc",
        passes="1",
        source="Ren et al., 2021, arXiv 2106.09022",
        home="sundog.risk.relative_mahalanobis:RelativeMahalanobis",
    ),
    Method(
        name="vim",
        summary="virtual logit: the part of the features that the training images do not use",
        gives=("epistemic",),
        kind="post-hoc",
        passes="1",
        source="Wang et al., 2022, arXiv 2203.10807",
        home="sundog.risk.virtual_logit:VirtualLogit",
    ),
    Method(
        name="msp",
        summary="1 minus the largest probability",
        gives=("epistemic",),
        kind="post-hoc",
        passes="1",
        source="Hendrycks & Gimpel, 2016, arXiv 1610.02136",
        home="sundog.risk.logit_scores:MaximumProbability",
    ),
    Method(
        name="gen",
        summary="generalised entropy of the largest probabilities",
        gives=("epistemic",),
        kind="post-hoc",
        passes="1",
        source="Liu et al., 2023, CVPR",
        home="sundog.risk.logit_scores:GeneralisedEntropy",
    ),
    Method(
        name="energy",
        summary="minus the log-sum-exp of the logits",
        gives=("epistemic",),
        kind="post-hoc",
        passes="1",
        source="Liu et al., 2020, arXiv 2010.03759",
        home="sundog.risk.logit_scores:Energy",
    ),
    Method(
        name="entropy",
        summary="entropy of the predicted probabilities",
        gives=("aleatoric",),
        kind="post-hoc",
        passes="1",
        source="Shannon, 1948; Mukhoti et al., 2021, arXiv 2102.11582",
        home="sundog.risk.logit_scores:Entropy",
    ),
    Method(
        name="histogram",
        summary="product of a histogram per feature, in log space: a cheap baseline",
        gives=("representation",),
        kind="post-hoc",
        passes="1",
        source="Amini et al., 2019, AIES; Lolla et al., 2023, arXiv 2308.00231",
        home="sundog.risk.histogram:Histogram",
    ),
    Method(
        name="laplace",
        summary="Laplace posterior of the last layer",
        gives=("epistemic", "aleatoric"),
        kind="post-hoc",
        passes="1",
        source="Kristiadi et al., 2020, arXiv 2002.10118; Daxberger et al., 2021, arXiv 2106.14806",
        home="sundog.risk.laplace:Laplace",
    ),
    Method(
        name="mc_dropout",
        summary="predictions of networks thinned by their own dropout",
        gives=("epistemic", "aleatoric"),
        kind="sampling",
        passes="1 to 20",
        source="Gal & Ghahramani, 2016, arXiv 1506.02142",
        home="sundog.risk.mc_dropout:MCDropout",
    ),
    Method(
        name="mve",
        summary="a learned variance of each logit, by sampling logits",
        gives=("aleatoric",),
        kind="trained",
        passes="1",
        source="Kendall & Gal, 2017, arXiv 1703.04977",
        home="sundog.risk.mve:MVE",
    ),
    Method(
        name="evidential",
        summary="a Dirichlet over the class probabilities, learned as evidence",
        gives=("epistemic", "aleatoric"),
        kind="trained",
        passes="1",
        source="Sensoy, Kaplan & Kandemir, 2018, arXiv 1806.01768",
        home="sundog.risk.evidential:Evidential",
    ),
    Method(
        name="vae",
        summary="reconstruction error of a variational autoencoder on the features",
        gives=("epistemic",),
        kind="trained",
        passes="1",
        source="Kingma & Welling, 2013, arXiv 1312.6114",
        home="sundog.risk.vae:VAE",
    ),
    Method(
        name="histogram_vae",
        summary="density of an autoencoder's latents by histograms, and its reconstruction error",
        gives=("representation", "epistemic"),
        kind="trained",
        passes="1",
        source="Amini et al., 2019, AIES; Lolla et al., 2023, arXiv 2308.00231",
        home="sundog.risk.histogram_vae:HistogramVAE",
    ),
    Method(
        name="ensemble",
        summary="several networks that differ by their seed: what they disagree on",
        gives=("epistemic", "aleatoric"),
        kind="sampling",
        passes="one per member",
        source="Lakshminarayanan, Pritzel & Blundell, 2017, arXiv 1612.01474",
        home="sundog.risk.ensemble:EnsembleModel",
    ),
)

METHODS: dict[str, Method] = {row.name: row for row in _ROWS}
"""Name → row, in the order of the documentation."""
