"""Fitting the risk methods of a wrapped classifier: one pass, then heads, or all together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from sundog.core.errors import InputError
from sundog.data.image_set import ImageSet
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.prepared import CACHE_BYTES, PreparedImages
from sundog.models.train import train_classifier
from sundog.risk.estimator import Estimator, PostHoc, Trained
from sundog.risk.fit_options import FitOptions
from sundog.risk.head_training import HeadTraining
from sundog.risk.images import Source
from sundog.risk.joint_training import JointTraining, head_or_none
from sundog.risk.one_pass import pass_all

Train = Literal["heads", "all"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit made, beside the estimators, which it fitted in place.

    Attributes:
        classifier: the one that was given, or its trained copy.
        parts: the trained methods' modules by name.
        table: features, logits and labels of the training images under it.
    """

    classifier: Classifier
    parts: nn.ModuleDict
    table: FeatureTable


def fit_methods(
    classifier: Classifier,
    estimators: Sequence[Estimator],
    data: Source,
    *,
    train: Train = "heads",
    options: FitOptions | None = None,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    out_dir: str | os.PathLike[str] | None = None,
    resume: bool = True,
    cache_bytes: int = CACHE_BYTES,
    progress: bool | None = None,
) -> Fitted:
    """Fit risk methods on training images.

    Post-hoc methods are fitted on one pass. Trained methods get gradient steps: ``heads`` leaves
    the classifier as it is, bit for bit, and trains their own parts on its features; ``all``
    trains a copy of the classifier too, with cross-entropy plus the methods' losses.

    Args:
        classifier: in eval mode.
        estimators: fitted in place.
        data: labelled images: an image set, prepared images, or a loader of ``(images, labels)``.
        train: ``heads`` or ``all`` (an image set is needed then).
        options: of the trained methods; None = the defaults.
        size: (height, width) or side in pixels; ``classifier.input_size`` if None.
        resize: ``pad``, ``crop`` or ``stretch``.
        out_dir: folder of checkpoints; a fit that was killed goes on there. None writes nothing.
        resume: False starts anew.
        cache_bytes: memory for resized images.
        progress: show progress; None = on a terminal.

    Raises:
        InputError: options out of range, no label where a method needs one, too few images.
        LayerError: no feature layer.
        ModelStateError: a loss that is not finite, a classifier in train mode.
    """
    options = options or FitOptions()
    if train not in ("heads", "all"):
        raise InputError("train", expected="heads or all", got=repr(train))
    classifier.require_eval()
    if isinstance(data, ImageSet):
        goal = size or classifier.input_size
        many = any(isinstance(estimator, Trained) for estimator in estimators)
        kept = cache_bytes if many else 0  # one pass needs no cache
        data = PreparedImages(data, size=goal, resize=resize, cache_bytes=kept, workers=2)
    trained = [estimator for estimator in estimators if isinstance(estimator, Trained)]
    needs_features = any(estimator.needs_features for estimator in estimators)
    folder = Path(out_dir) if out_dir is not None else None
    parts = nn.ModuleDict()
    if trained and train == "all":
        classifier, parts = _train_all(
            classifier, trained, data, options, folder, resume=resume, progress=progress
        )
    table = pass_all(
        classifier,
        data,
        needs_features=needs_features,
        batch_size=options.batch_size,
        progress=progress,
    )
    _check_labels(estimators, table)
    if trained and train == "heads":
        work = HeadTraining(classifier, trained, data, table, options)
        work.run(folder, resume=resume, progress=progress)
        parts = work.parts
    for estimator in trained:
        estimator.end_fit(table)
    _fit_post_hoc(classifier, estimators, table, seed=options.seed)
    return Fitted(classifier=classifier, parts=parts.eval(), table=table)


def fit_on_table(
    classifier: Classifier, estimators: Sequence[Estimator], table: FeatureTable, *, seed: int = 0
) -> None:
    """Fit post-hoc methods on features and logits that are already there.

    Raises:
        InputError: a method that is trained by gradient steps, or labels that are missing.
    """
    trained = [e.name for e in estimators if isinstance(e, Trained) and not e.fitted]
    if trained:
        raise InputError(
            f"Risk method {trained[0]!r}",
            expected="fitted on images",
            got="features and logits",
            hint="Use model.fit(training_images).",
        )
    _check_labels(estimators, table)
    _fit_post_hoc(classifier, estimators, table, seed=seed)


def _fit_post_hoc(
    classifier: Classifier, estimators: Sequence[Estimator], table: FeatureTable, *, seed: int
) -> None:
    head = head_or_none(classifier)
    for estimator in estimators:
        if isinstance(estimator, PostHoc):
            estimator.fit(table, head=head, seed=seed)


def _check_labels(estimators: Sequence[Estimator], table: FeatureTable) -> None:
    needing = [e.name for e in estimators if e.needs_labels]
    unlabelled = int((table.labels < 0).sum())
    if needing and unlabelled:
        raise InputError(
            f"Risk method {needing[0]!r}",
            expected="labelled training images",
            got=f"{unlabelled} of {len(table)} without a label",
            hint="Keep the labelled ones with image_set.subset(...), or use a method that needs "
            "no label, such as knn.",
        )
    classes = table.logits.shape[1]
    if int(table.labels.max()) >= classes:
        raise InputError(
            "labels",
            expected=f"below {classes}, the classifier's number of classes",
            got=str(int(table.labels.max())),
        )


def _train_all(
    classifier: Classifier,
    trained: list[Trained],
    data: Source,
    options: FitOptions,
    folder: Path | None,
    *,
    resume: bool,
    progress: bool | None,
) -> tuple[Classifier, nn.ModuleDict]:
    if not isinstance(data, PreparedImages):
        raise InputError(
            "data",
            expected="an image set, to train the classifier too",
            got=type(data).__name__,
            hint="Use from_torch_dataset(...), or train='heads'.",
        )
    recipe = JointTraining(trained)
    run = train_classifier(
        classifier,
        data.image_set,
        epochs=options.epochs,
        seed=options.seed,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        batch_size=options.batch_size,
        size=data.image_size,
        resize=data.resize,
        evaluate_every=options.epochs,
        recipe=recipe,
        out_dir=folder,
        device=classifier.device,
        resume=resume,
        progress=progress,
    )
    return run.classifier, nn.ModuleDict({e.name: recipe.parts[e.name] for e in trained})
