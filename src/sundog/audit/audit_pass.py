"""The one pass of an audit: every image is decoded once and goes through the classifier once.

The pass gives logits, features and the scores of all taggers that look at images. The numbers of
an image are kept on disk by its id as they come (:mod:`sundog.concepts.score_cache`), so that a
killed pass goes on where it stopped, and whoever needs them later reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sundog.audit.subject import Subject
from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.score_cache import Matrix
from sundog.concepts.score_images import Scorer, score_images
from sundog.concepts.tag_images import scorer_of
from sundog.concepts.tag_scores import TagScores
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import ModelStateError
from sundog.core.shapes import Images
from sundog.data.image_set import ImageSet
from sundog.data.transforms import resize_image
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, forward_features
from sundog.models.fingerprint import model_fingerprint

WORKERS = 2
"""Threads that decode."""


@dataclass(frozen=True, eq=False)
class ImagePass:
    """What one pass over the images of a subject gave.

    Attributes:
        table: logits, features and labels (as the classifier numbers them) of every image that can
            be decoded; 0 features if the classifier has no feature layer.
        scores: of all tags, one row per image of the set; None without taggers.
        notes: on taggers that were left out.
    """

    table: FeatureTable
    scores: TagScores | None = None
    notes: tuple[str, ...] = ()


def network_scorer(subject: Subject) -> Scorer:
    """Return logits and features as what a scorer gives: ``rows -> float32[n, classes + d]``.

    Batches are filled up to the subject's batch size, so that the numbers of an image do not
    depend on its neighbours. One blank image tells how many features there are.
    """
    classifier = subject.classifier
    classifier.require_eval()
    with torch.no_grad():
        probe = torch.zeros(1, 3, *subject.size, device=classifier.device)
        width = _outputs(classifier, probe).shape[1]

    def score(rows: Rows) -> Matrix:
        images = [resize_image(p, subject.size, resize=subject.resize) for p in rows.images]
        found = run_fixed(
            lambda batch: _outputs(classifier, batch),
            images,
            batch_size=subject.batch_size,
            device=classifier.device,
        ).numpy()
        bad = int((~np.isfinite(found)).any(axis=1).sum())
        if bad:
            raise ModelStateError(
                f"The output of {classifier.name!r}",
                expected="finite",
                got=f"NaN or infinity for {bad} of {len(rows)} images",
                hint="Check its weights and its normalisation (--mean, --std).",
            )
        return found

    return Scorer(
        name="classifier",
        identity={
            "classifier": model_fingerprint(classifier),
            "feature_layer": classifier.feature_layer,
            "size": list(subject.size),
            "resize": subject.resize,
            "batch_size": subject.batch_size,
            "version": 1,
        },
        width=width,
        score=score,
    )


def _outputs(classifier: Classifier, images: Images) -> Float[Tensor, "batch outputs"]:
    """Return logits and features beside each other, in float32."""
    if classifier.feature_layer is None:
        return classifier(images).float()
    features, logits = forward_features(classifier, images)
    return torch.cat([logits.float(), features.float()], dim=1)


def pass_images(
    subject: Subject,
    *,
    cache: Path,
    taggers: Sequence[Tagger] = (),
    progress: bool | None = None,
    description: str = "Reading images",
) -> FeatureTable:
    """Return logits and features of every image; what the cache holds is not computed again.

    Args:
        subject: images and classifier.
        cache: folder of numbers per image; the scores of the taggers are there afterwards.
        taggers: fitted; those that look at images share the pass.
        progress: None shows it on a terminal.
        description: of the progress bar.

    Raises:
        DataError: not one image can be decoded.
        ModelStateError: logits or features that are not finite, or a classifier in train mode.
    """
    scorers = [scorer_of(tagger) for tagger in taggers if tagger.needs_images]
    found, *_ = score_images(
        subject.image_set,
        [network_scorer(subject), *scorers],
        cache=cache,
        batch_size=subject.batch_size,
        workers=WORKERS,
        progress=progress,
        description=description,
    )
    rows = np.flatnonzero(found.decoded)
    values = torch.from_numpy(found.scores[rows])
    classes = len(subject.class_names)
    return FeatureTable(
        features=values[:, classes:],
        logits=values[:, :classes],
        labels=torch.from_numpy(subject.labels[rows]),
        indices=torch.from_numpy(rows),
        ids=_ids(subject.image_set, rows),
    )


def _ids(image_set: ImageSet, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(image_set.ids[i] for i in rows.tolist())
