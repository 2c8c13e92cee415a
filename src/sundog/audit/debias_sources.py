"""Opening and splitting the images of a debiasing run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sundog.audit.align import align_labels
from sundog.audit.training import open_train_validation, open_whole_or_split
from sundog.core.errors import DataError
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet


@dataclass(frozen=True)
class Sources:
    """The image sets before anything is planted, and how they were split."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    split: str


def open_sources(
    source: str,
    validation: str | None = None,
    test: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    download: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Sources:
    """Open the three sets; without ``test``, half of the validation images are kept for it.

    Copies of an image stay on one side: an image that is also among the test images is left out of
    training and validation, and one that is among the validation images out of training.
    ``limit`` counts training images.

    Raises:
        DataError: nothing usable there, too little to be split, or classes that the training
            images do not have.
    """
    train, held, _ = open_train_validation(
        source,
        validation,
        limit=None,
        seed=seed,
        download=download,
        path_column=path_column,
        label_column=label_column,
    )
    if limit is not None and limit < len(train):
        draw = np.random.default_rng(derive_seed(seed, "limit"))
        train = train.subset(np.sort(draw.permutation(len(train))[:limit]))
    if test is not None:
        judged = open_whole_or_split(
            test,
            "test",
            seed=seed,
            download=download,
            path_column=path_column,
            label_column=label_column,
        )
    else:
        side = np.array([derive_seed(seed, "test", i) % 2 == 0 for i in held.ids])
        if side.all() or not side.any():
            raise DataError(
                f"The validation images of {source!r}",
                expected="enough to be halved: one part to choose by, one for the numbers",
                got=f"{len(held)}",
                hint="Give more images, or the two parts with --validation and --test.",
            )
        judged, held = held.subset(np.flatnonzero(side)), held.subset(np.flatnonzero(~side))
    seen = len(train) + len(held)
    held = _without(held, judged, "validation")
    train = _without(train, judged, "training")
    train = _without(train, held, "training")
    said = (
        f"trained on {len(train)} images; of the others, {len(held)} are for choosing and "
        f"refitting, {len(judged)} for the numbers"
    )
    if copies := seen - len(train) - len(held):
        said += f"; {copies} copies of images of a later part were left out of an earlier one"
    return Sources(train, _as_trained(held, train), _as_trained(judged, train), said)


def _as_trained(images: ImageSet, train: ImageSet) -> ImageSet:
    """Return a later part with the classes of the training images; it may lack some of them."""
    try:
        return aligned_to(images, train.class_names)
    except DataError as error:
        raise DataError(
            f"Image set {images.name!r}",
            expected="of the training set's classes",
            got=str(images.class_names)[:150],
            hint="Rename its classes, or leave out those that the training images do not have.",
        ) from error


def _without(images: ImageSet, later: ImageSet, name: str) -> ImageSet:
    """Return the images that are not among those of a later part.

    Raises:
        DataError: none is left.
    """
    theirs = set(later.ids)
    kept = np.array([i not in theirs for i in images.ids], dtype=bool)
    if kept.all():
        return images
    if not kept.any():
        raise DataError(
            f"The {name} images",
            expected="others than those the numbers or the choice are over",
            got=f"the same {len(images)} images",
            hint="Give other images with --validation or --test, or leave these out: then some "
            "are held back.",
        )
    return images.subset(np.flatnonzero(kept))


def aligned_to(image_set: ImageSet, names: tuple[str, ...]) -> ImageSet:
    """Return the image set with labels as the named classes are numbered.

    Raises:
        DataError: a labelled class that is not among them.
    """
    labels = align_labels(
        image_set.labels,
        set_names=image_set.class_names,
        classifier_names=names,
        class_count=len(names),
    )
    return image_set.relabelled(labels, names)
