"""Opening what a risk run looks at: scored images, training images, foreign images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sundog.audit.subject import Subject, make_subject, open_subject
from sundog.core.errors import DataError, InputError
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set


@dataclass(frozen=True, eq=False)
class RiskSubjects:
    """Images seen through one classifier.

    Attributes:
        scored: the images to score.
        fit_on: the training images; None: the scored ones.
        outlying: images of another kind, or None.
        said: what the methods are fitted on, in words.
    """

    scored: Subject
    fit_on: Subject | None
    outlying: Subject | None
    said: str


def open_risk_subjects(
    source: str,
    *,
    model: str,
    fit_on: str | None = None,
    outlying: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    download: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
    **options: Any,
) -> RiskSubjects:
    """Open images and classifier by name; see :func:`~sundog.audit.subject.open_subject`.

    Without ``fit_on``, the methods are fitted on the source's own train split if ``split`` names
    another one, else on the scored images.

    Raises:
        SundogError: bad input, in plain words.
    """
    reading: dict[str, Any] = {
        "seed": seed,
        "download": download,
        "path_column": path_column,
        "label_column": label_column,
    }
    scored = open_subject(source, model=model, split=split, limit=limit, **reading, **options)

    def seen(name: str, part: str | None) -> Subject:
        return _through(scored, load_image_set(name, split=part, **reading))

    foreign = None
    if outlying is not None:
        images = load_image_set(outlying, seed=seed, download=download)
        blank = images.relabelled(np.full(len(images), -1), ())
        foreign = _through(scored, blank)
    if fit_on is not None:
        try:
            training = seen(fit_on, "train")
        except (DataError, InputError):
            training = seen(fit_on, None)
        said = f"The methods are fitted on {len(training.image_set)} images from {fit_on}."
    elif split not in (None, "train", "all"):
        training = seen(source, "train")
        said = f"The methods are fitted on the {len(training.image_set)} images of split 'train'."
    else:
        return RiskSubjects(
            scored, None, foreign, "The methods are fitted on the scored images themselves."
        )
    return RiskSubjects(scored, training, foreign, said)


def _through(scored: Subject, image_set: ImageSet) -> Subject:
    """Return other images seen as the scored ones are."""
    made = make_subject(
        image_set,
        scored.classifier,
        size=scored.size[0],
        resize=scored.resize,
        batch_size=scored.batch_size,
    )
    return replace(made, size=scored.size)
