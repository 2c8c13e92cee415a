"""The doctor's check of the normalisation: detected from accuracy, or from what batch norm says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.audit.doctor_result import Check
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.models.batch_norm_fit import Fit, compare_fits, first_batch_norm
from sundog.models.classifier import Classifier
from sundog.models.normalisation_test import (
    NormalisationTest,
    NormalisationTrial,
    compare_normalisations,
)
from sundog.models.normalisations import (
    Normalisation,
    given_normalisation,
    has_colour,
    other_normalisations,
)

ALPHA = 0.01
"""Of the claim that another normalisation is right."""
LEAST_IMAGES = 20
FITTED = 64
"""Images whose moments are compared."""
CLEARLY = 4.0
"""Another normalisation must fit the first batch norm so many times better."""
POOR = 0.05
"""Nats per channel from which the given normalisation fits badly at all."""
PERFECT = 0.02
"""Nats per channel up to which another normalisation fits so well that it is no coincidence."""
MISSED = 0.1
"""Nats per channel from which the given one then is wrong."""
NAME = "normalisation: as trained"
EXPECTED = "no other normalisation does better"


@dataclass(frozen=True)
class BatchNormEvidence:
    """What the first batch norm says.

    Attributes:
        divergence: as given, nats per channel; 0 is a perfect fit.
        fits: of the other normalisations.
        best: one that fits far better; None if none does.
        layer: its name.
    """

    divergence: float
    fits: tuple[Fit, ...]
    best: Fit | None
    layer: str


def ask_batch_norm(
    classifier: Classifier, images: Images, *, seed: int = 0
) -> BatchNormEvidence | None:
    """Return what the first batch norm says of the images; None for a network without one.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1].
        seed: of the images that are asked, and the bootstrap.
    """
    others = other_normalisations(classifier, colour=has_colour(images))
    running = first_batch_norm(classifier, images[:1].to(classifier.device))
    if running is None or len(images) < LEAST_IMAGES or not others:
        return None
    order = torch.randperm(len(images), generator=generator(seed, "batch norm"))[:FITTED]
    given, fits = compare_fits(
        classifier,
        images[order],
        others,
        running=running,
        level=1 - ALPHA / len(others),
        seed=seed,
    )
    far = [
        fit
        for fit in fits
        if fit.gain.low > 0 and given > POOR and given > CLEARLY * fit.divergence
    ]
    best = min(far, key=lambda fit: fit.divergence, default=None)
    return BatchNormEvidence(divergence=given, fits=fits, best=best, layer=running.name)


def normalisation_check(
    classifier: Classifier,
    images: Images,
    labels: Int64[np.ndarray, "n"],
    scores: Float[Tensor, "n columns"],
    *,
    columns: Sequence[int],
    model: object = None,
    seed: int = 0,
) -> tuple[Check, Normalisation | None]:
    """Return whether another normalisation makes the classifier right more often, and which.

    With enough labels accuracy decides. Without, or where accuracy cannot tell, the first batch
    norm is asked: another normalisation that fits what it remembers perfectly is a fault, one that
    fits far better a warning.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1].
        labels: class of each image in 0..k - 1, -1 = unlabelled.
        scores: logits of all the network's outputs, as given.
        columns: the output of each class.
        model: what was opened, for the advice.
        seed: of every draw.
    """
    whole = classifier.with_classes(None, None)
    others = other_normalisations(whole, colour=has_colour(images))
    evidence = ask_batch_norm(whole, images, seed=seed)
    known = np.flatnonzero(labels >= 0)
    test = None
    if len(known) >= LEAST_IMAGES and len(np.unique(labels[known])) > 1:
        predicted = scores[:, list(columns)].argmax(dim=1).numpy()
        test = compare_normalisations(
            whole,
            images[torch.from_numpy(known)],
            labels[known],
            (predicted == labels)[known],
            others,
            columns=columns,
            fits=evidence.fits if evidence is not None else (),
            alpha=ALPHA,
            seed=seed,
        )
    check = _judge(classifier, test, evidence, model)
    if check.status != "fail":
        return check, None
    if test is not None and test.best is not None:
        return check, test.best.normalisation
    return check, evidence.best.normalisation if evidence and evidence.best else None


def _judge(
    classifier: Classifier,
    test: NormalisationTest | None,
    evidence: BatchNormEvidence | None,
    model: object,
) -> Check:
    given = given_normalisation(classifier)
    said = f"mean {_numbers(given.mean)}, std {_numbers(given.std)}"
    if test is not None and test.best is not None:
        return _better(classifier, test, test.best, said, model)
    measured = {} if test is None else {"accuracy": test.accuracy}
    if evidence is not None and evidence.best is not None and not _worse(test, evidence.best):
        fit = evidence.best
        also = "" if test is None else f"; accuracy cannot tell ({_nearest(test, fit)})"
        perfect = fit.divergence <= PERFECT and evidence.divergence > MISSED
        return Check(
            NAME,
            "fail" if perfect else "warn",
            f"{said}: what the first batch norm {evidence.layer!r} is given is "
            f"{evidence.divergence:.2g} nats from training, and {fit.divergence:.2g} with "
            f"{fit.normalisation.words} (gain {fit.gain}){also}",
            EXPECTED,
            normalisation_fix(fit.normalisation, model)
            + ("" if perfect else ", unless these images are of another kind than in training"),
            {**measured, "gain in nats": fit.gain},
        )
    if test is not None:
        if all(trial.difference.high >= 0 for trial in test.trials):
            return Check(
                NAME,
                "unsure",
                f"{said}: accuracy {_share(test)} does not differ from that of any of "
                f"{len(test.trials)} others",
                EXPECTED,
                "cannot tell: give more labelled images",
                measured,
            )
        runner = max(test.trials, key=lambda trial: trial.difference.value)
        return Check(
            NAME,
            "ok",
            f"{said}: accuracy {_share(test)}; the best of {len(test.trials)} others, "
            f"{runner.normalisation.name}, {_difference(runner)}",
            EXPECTED,
            measured=measured,
        )
    if evidence is not None:
        fits = evidence.divergence <= POOR
        return Check(
            NAME,
            "ok" if fits else "unsure",
            f"{said}: {evidence.divergence:.2g} nats from what the first batch norm "
            f"{evidence.layer!r} was trained on; none of {len(evidence.fits)} others is far better",
            EXPECTED,
            "" if fits else "cannot tell: the images may be of another kind; give labelled ones",
        )
    return Check(
        NAME,
        "unsure",
        f"{said}: too few labelled images, and no batch norm to ask",
        EXPECTED,
        "cannot tell: give labelled images",
    )


def _better(
    classifier: Classifier,
    test: NormalisationTest,
    best: NormalisationTrial,
    said: str,
    model: object,
) -> Check:
    way = best.normalisation
    twice = way.name == "none" and any(value != 0 for value in classifier.mean.flatten().tolist())
    return Check(
        NAME,
        "fail",
        f"{said}: accuracy {_share(test)}; with {way.words} {_difference(best)}, "
        f"p = {best.adjusted:.2g} (McNemar, Holm over {len(test.trials)})",
        EXPECTED,
        normalisation_fix(way, model)
        + ("; the network may normalise by itself, so that it happened twice" if twice else ""),
        {
            "accuracy": test.accuracy,
            "accuracy with it": best.accuracy,
            "difference": best.difference,
        },
    )


def _worse(test: NormalisationTest | None, fit: Fit) -> bool:
    """Return whether accuracy speaks clearly against what batch norm says."""
    if test is None:
        return False
    return any(
        trial.normalisation == fit.normalisation and trial.difference.high < 0
        for trial in test.trials
    )


def _nearest(test: NormalisationTest, fit: Fit) -> str:
    trial = next(t for t in test.trials if t.normalisation == fit.normalisation)
    return _difference(trial)


def _difference(trial: NormalisationTrial) -> str:
    found = trial.difference
    return (
        f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}] "
        f"(n = {found.n})"
    )


def _share(test: NormalisationTest) -> str:
    found = test.accuracy
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}] (n = {found.n})"


def normalisation_fix(way: Normalisation, model: object) -> str:
    """Return what to do so that the network is fed in this way."""
    if way.swapped:
        return (
            "swap red and blue: wrap the network, or read the images with the other order "
            f"({way.words}: mean {_numbers(way.mean)}, std {_numbers(way.std)})"
        )
    if isinstance(model, (str, Path)) and (Path(model) / "classifier.json").is_file():
        return (
            f'set "mean" to [{_numbers(way.mean)}] and "std" to [{_numbers(way.std)}] in '
            f"{Path(model) / 'classifier.json'}"
        )
    return f"--mean {_numbers(way.mean)} --std {_numbers(way.std)}"


def _numbers(values: Sequence[float]) -> str:
    short = [f"{value:.4g}" for value in values]
    return short[0] if len(set(short)) == 1 else ",".join(short)
