"""``sundog risk``: fit risk methods, score every image, and write what the risks are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sundog.audit.align import match_classes
from sundog.audit.aligned_set import aligned_set
from sundog.audit.group_column import ImageGroups, image_groups
from sundog.audit.risk_content import risk_content
from sundog.audit.risk_measures import measure_risks, write_measures
from sundog.audit.risk_scores import score_images
from sundog.audit.subject import Subject
from sundog.core.errors import DataError, InputError, UnknownNameError
from sundog.core.files import write_json
from sundog.core.run_folder import RunFolder
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.fingerprint import model_fingerprint
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page
from sundog.report.risk_page import risk_page
from sundog.risk.accuracy_vs_risk import AccuracyVsRisk
from sundog.risk.ensemble import ENSEMBLE_FILE, EnsembleModel
from sundog.risk.estimator import PostHoc
from sundog.risk.fit import Train
from sundog.risk.fit_options import FitOptions
from sundog.risk.metrics_table import RiskMetrics
from sundog.risk.model import RiskModel
from sundog.risk.output import RiskOutput
from sundog.risk.store import RISK_FILE, load_risk_model, save_risk_model
from sundog.risk.wrapping import DEFAULT_METHODS, wrap

Methods = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, eq=False, repr=False)
class RiskRun(PageInNotebook):
    """What :func:`score_risks` wrote.

    Attributes:
        path: the run folder.
        page: the HTML page.
        content: what it says.
        model: the fitted risk model, also in ``model/``.
        output: prediction and risks of every image that could be decoded.
        table: a row per image; also ``tables/risks.parquet``.
        metrics: accuracy, calibration, selective prediction, detection, correlations; None
            without labels.
        windows: accuracy along each risk; empty without labels.
        notes: what a reader must know.
    """

    path: Path
    page: Path
    content: Page
    model: RiskModel | EnsembleModel
    output: RiskOutput
    table: pd.DataFrame
    metrics: RiskMetrics | None
    windows: dict[str, AccuracyVsRisk]
    notes: tuple[str, ...]


def score_risks(
    subject: Subject,
    out_dir: str | Path,
    *,
    methods: Methods | Sequence[str] = DEFAULT_METHODS,
    members: Sequence[Classifier] = (),
    fit_on: Subject | None = None,
    outlying: Subject | None = None,
    group_column: str | None = None,
    classes: Sequence[str] | None = None,
    train: Train = "heads",
    options: FitOptions | None = None,
    windows: int = 10,
    shown: int = 25,
    passed: FeatureTable | None = None,
    fit_passed: FeatureTable | None = None,
    progress: bool | None = None,
    command: str = "",
) -> RiskRun:
    """Fit risk methods on training images, score every image, and write tables and a page.

    Args:
        subject: images to score and classifier.
        out_dir: run folder; an interrupted run goes on where it stopped.
        methods: names, or (name, parameters); a risk is taken from the first that gives it.
        members: other classifiers of the same classes: together with the subject's an ensemble,
            whose disagreement is its epistemic risk.
        fit_on: training images with the same classifier; None fits on the scored images, each
            left out of its own estimate by the methods that can do so.
        outlying: images of another kind, to measure how well the risks tell them.
        group_column: metadata column; groups are class x value.
        classes: whose precision and recall are drawn; all if None.
        train: ``heads`` leaves the classifier as it is; ``all`` trains a copy with the methods.
        options: of trained methods, and the seed.
        windows: of accuracy against risk.
        shown: images at each end of a risk.
        passed: features and logits of the scored images, if they are there already: methods that
            need no more do not ask the classifier again.
        fit_passed: the same of ``fit_on``.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words.
    """
    options = options or FitOptions()
    asked = [(m, {}) if isinstance(m, str) else (m[0], dict(m[1])) for m in methods]
    arguments = {
        "methods": [[name, given] for name, given in asked],
        "members": [model_fingerprint(member) for member in members],
        "train": train,
        "options": {k: v for k, v in vars(options).items() if k != "seed"},
        "fit_on": None if fit_on is None else fit_on.fingerprints()["data_fingerprint"],
        "outlying": None if outlying is None else outlying.fingerprints()["data_fingerprint"],
        "group_column": group_column,
        "classes": None if classes is None else list(classes),
        "windows": windows,
        "shown": shown,
        "size": list(subject.size),
        "resize": subject.resize,
    }
    notes = list(subject.notes())
    groups = None if group_column is None else image_groups(subject, group_column)
    classes = None if classes is None else _shown_classes(classes, subject.class_names)
    _refuse_copies([subject.classifier, *members])
    with RunFolder.open(
        out_dir,
        kind="risk",
        arguments=arguments,
        seeds={"seed": options.seed},
        **subject.fingerprints(),
    ) as folder:
        model = _fitted(
            subject,
            members,
            fit_on,
            asked,
            folder,
            train=train,
            options=options,
            passed=passed if fit_on is None else fit_passed,
            progress=progress,
        )
        own = fit_on is None and isinstance(model, RiskModel)
        notes += _overlap(subject, fit_on, model)
        if passed is not None and isinstance(model, RiskModel) and _on_arrays(model, passed):
            output = replace(model.score_arrays(passed, own=own), indices=passed.indices)
        else:
            output = score_images(
                model,
                aligned_set(subject),
                folder,
                size=subject.size,
                resize=subject.resize,
                batch_size=subject.batch_size,
                own=own,
                progress=progress,
            )
        rows = _rows(output)
        foreign = None
        if outlying is not None:
            foreign = score_images(
                model,
                outlying.image_set,
                folder,
                table="outlying",
                size=subject.size,
                resize=subject.resize,
                batch_size=subject.batch_size,
                progress=progress,
            )
        labels = subject.labels[rows]
        table = _table(subject, output, rows, groups)
        folder.write_result("risks", table)
        known = labels >= 0
        metrics: RiskMetrics | None = None
        along: dict[str, AccuracyVsRisk] = {}
        if known.any():
            metrics, along = measure_risks(
                subject,
                output,
                rows,
                groups=groups,
                foreign=foreign,
                classes=classes,
                windows=windows,
                seed=options.seed,
            )
            write_measures(folder, metrics, along)
        else:
            notes.append("The images have no labels: only the risks themselves are shown.")
        if skipped := len(subject.image_set.skipped):
            notes.append(f"{skipped} images could not be read and have no risk.")
        content = risk_page(
            risk_content(
                subject,
                model,
                output,
                rows,
                metrics=metrics,
                windows=along,
                groups=groups,
                fit_on=fit_on,
                shown=shown,
                notes=notes,
                command=command,
            )
        )
        page = write_page(content, folder.path / "index.html")
        write_json(folder.path / "notes.json", {"notes": notes})
        folder.finish()
    return RiskRun(
        path=folder.path,
        page=page,
        content=content,
        model=model,
        output=output,
        table=table,
        metrics=metrics,
        windows=along,
        notes=tuple(notes),
    )


def _shown_classes(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the classes as the subject spells them: ``golf_ball`` is ``golf ball``."""
    found = match_classes(asked, known)
    for place, name in enumerate(asked):
        if place not in found:
            raise UnknownNameError("class", name, known)
    return [known[place] for place in sorted(set(found.values()))]


def _refuse_copies(members: Sequence[Classifier]) -> None:
    """Refuse an ensemble in which a network is there twice: its copies always agree."""
    prints = [model_fingerprint(member) for member in members]
    if len(set(prints)) < len(prints):
        raise InputError(
            "members",
            expected="different networks, trained from different seeds",
            got="one of them twice",
            hint="Train others: sundog train --seed 1, --seed 2, ...",
        )


def _fitted(
    subject: Subject,
    members: Sequence[Classifier],
    fit_on: Subject | None,
    methods: Sequence[tuple[str, dict[str, Any]]],
    folder: RunFolder,
    *,
    train: Train,
    options: FitOptions,
    passed: FeatureTable | None,
    progress: bool | None,
) -> RiskModel | EnsembleModel:
    """Return the fitted model: read back if an earlier run of this folder had fitted it."""
    stored = folder.path / "model"
    if (stored / ENSEMBLE_FILE).is_file():
        return EnsembleModel.load(stored)
    if (stored / RISK_FILE).is_file():
        given = subject.classifier if train == "heads" else None
        return load_risk_model(stored, classifier=given)
    source = fit_on or subject
    if model_fingerprint(source.classifier) != model_fingerprint(subject.classifier):
        raise InputError(
            "fit_on", expected="images seen through the same classifier", got="another one"
        )
    names = [name for name, _ in methods]
    several = {name: given for name, given in methods if given}
    parameters = methods[0][1] if len(methods) == 1 else several
    made: RiskModel | EnsembleModel
    if members:
        made = wrap([subject.classifier, *members], names, **parameters)
    else:
        made = wrap(subject.classifier, names, **parameters)
    if passed is not None and isinstance(made, RiskModel) and _on_arrays(made, passed):
        made.fit_arrays(passed, seed=options.seed)
    else:
        made.fit(
            aligned_set(source),
            train=train,
            options=options,
            size=subject.size,
            resize=subject.resize,
            out_dir=folder.path / "fit",
            progress=progress,
        )
    if isinstance(made, EnsembleModel):
        made.save(stored)
    else:
        save_risk_model(made, stored, image_size=subject.size)
    return made


def _on_arrays(model: RiskModel, passed: FeatureTable) -> bool:
    """Return whether features and logits are all that the methods need, and are there."""
    return all(isinstance(e, PostHoc) and not e.needs_images for e in model.estimators) and (
        passed.features.shape[1] > 0 or not model.needs_features
    )


def _rows(output: RiskOutput) -> np.ndarray[Any, np.dtype[np.int64]]:
    if output.indices is None:
        raise DataError("The scored images", expected="with their positions", got="none")
    return output.indices.numpy()


def _overlap(
    subject: Subject, fit_on: Subject | None, model: RiskModel | EnsembleModel
) -> list[str]:
    if fit_on is None:
        inner = model.estimators if isinstance(model, RiskModel) else ()
        able = [
            e.name
            for e in inner
            if isinstance(e, PostHoc) and type(e).score_own is not PostHoc.score_own
        ]
        left_out = f"an image is left out of its own estimate by {', '.join(able) or 'no method'}"
        return [
            f"The methods were fitted on the scored images themselves: {left_out}, and the "
            "classifier may have been trained on them: accuracy and risk can look too good."
        ]
    both = set(subject.image_set.ids) & set(fit_on.image_set.ids)
    if not both:
        return []
    return [
        f"{len(both)} of {len(subject.image_set)} scored images are also among the images that "
        "the methods were fitted on: their representation looks too high."
    ]


def _table(
    subject: Subject,
    output: RiskOutput,
    rows: np.ndarray[Any, np.dtype[np.int64]],
    groups: ImageGroups | None,
) -> pd.DataFrame:
    names, labels = subject.class_names, subject.labels[rows]
    predicted = output.predicted.numpy()
    chosen = output.probabilities[torch.arange(len(output)), output.predicted]
    frame = pd.DataFrame(
        {
            "id": [subject.image_set.ids[i] for i in rows.tolist()],
            "source": [subject.image_set.sources[i] for i in rows.tolist()],
            "label": [names[c] if c >= 0 else "" for c in labels.tolist()],
            "predicted": [names[c] for c in predicted.tolist()],
            "correct": pd.array(
                [bool(p == c) if c >= 0 else None for p, c in zip(predicted, labels, strict=True)],
                dtype="boolean",
            ),
            "probability": chosen.numpy(),
        }
    )
    if groups is not None:
        frame["group"] = [groups.name_of(i) for i in rows.tolist()]
    arrays = output.numpy()
    for name in (*output.fields, *output.scores):
        frame[name] = arrays[name]
    return frame
