"""Where a classifier is unsure: rare images, outliers, labels that may be wrong, by group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from sundog.audit.audit_pictures import write_thumbnail
from sundog.audit.risk_run import RiskRun, score_risks
from sundog.audit.subject import Subject
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Risk, Suspect
from sundog.core.statistics import mean_interval, wilson_interval
from sundog.models.feature_table import FeatureTable
from sundog.risk.extremes import extreme_images
from sundog.risk.fit_options import FitOptions
from sundog.risk.label_errors import label_error_scores
from sundog.risk.wrapping import DEFAULT_METHODS

TENTH = 10
"""The rarest and the commonest images are one in ten."""
JUDGED = 5000
"""Images whose labels are judged; more would take long."""
FOLDS = 5
WITHOUT_FEATURES = ("msp", "entropy")
"""Methods for a classifier that shows no features."""
_OUTLIER = "rare: few training images are like it"
_LABEL = "label may be wrong"


def risk_methods(asked: Sequence[str], table: FeatureTable) -> tuple[tuple[str, ...], list[str]]:
    """Return the methods to fit, and notes: the default ones need features.

    Args:
        asked: names.
        table: of the classifier.
    """
    if tuple(asked) != DEFAULT_METHODS or table.features.shape[1]:
        return tuple(asked), []
    return WITHOUT_FEATURES, [
        "The classifier shows no features: risks are taken from its probabilities alone, and "
        "nothing can be said of rare images."
    ]


def measure_risk(
    subject: Subject,
    table: FeatureTable,
    folder: Path,
    *,
    root: Path,
    methods: Sequence[str],
    training: Subject | None = None,
    training_table: FeatureTable | None = None,
    group_column: str | None = None,
    shown: int = 24,
    seed: int = 0,
    progress: bool | None = None,
    command: str = "",
) -> tuple[Risk, tuple[str, ...]]:
    """Fit risk methods, score every image, and return what is worth telling, with notes.

    Args:
        subject: images and classifier.
        table: logits and features of the images.
        folder: run folder of the risks.
        root: run folder of the audit, for pictures.
        methods: of the table of risks.
        training: images to fit on; None: the audited ones, each left out of its own estimate by
            the methods that can do so.
        training_table: its logits and features.
        group_column: metadata column; groups are class x value.
        shown: rare images, and doubtful labels, at most.
        seed: of every random choice.
        progress: None shows it on a terminal.
        command: how to reproduce.
    """
    names, notes = risk_methods(methods, table)
    run = score_risks(
        subject,
        folder,
        methods=names,
        fit_on=training,
        group_column=group_column,
        options=FitOptions(seed=seed),
        shown=shown,
        passed=table,
        fit_passed=training_table,
        progress=progress,
        command=command,
    )
    errors, said = _label_errors(subject, table, root, shown=shown, seed=seed, progress=progress)
    rarest, commonest = _ends(run.table)
    return (
        Risk(
            methods=names,
            rarest=rarest,
            commonest=commonest,
            detection=_detection(run),
            outliers=_outliers(subject, run, root, shown=shown),
            label_errors=errors,
            groups=_riskiest(run.table),
        ),
        (*run.notes, *notes, *said),
    )


def _ends(table: pd.DataFrame) -> tuple[Measured | None, Measured | None]:
    """Return the accuracy of the rarest and of the commonest tenth of the labelled images."""
    if "representation" not in table.columns:
        return None, None
    known = table[table["correct"].notna() & table["representation"].notna()]
    known = known.drop_duplicates("id")
    count = len(known) // TENTH
    if not count:
        return None, None
    order = np.lexsort((known["id"].to_numpy(dtype=str), known["representation"].to_numpy()))
    right = known["correct"].to_numpy(dtype=bool)[order]
    found = [
        Measured.of(wilson_interval(int(part.sum()), count))
        for part in (right[:count], right[-count:])
    ]
    return found[0], found[1]


def _detection(run: RiskRun) -> dict[str, Measured]:
    """Return risk -> how often a wrong image has more of it than a right one (AUROC)."""
    if run.metrics is None:
        return {}
    rows = run.metrics.table
    rows = rows[(rows["group"] == "all") & (rows["metric"] == "failure_auroc")]
    fields = set(run.output.fields)
    found = {}
    for row in rows.to_dict("records"):
        name = str(row["score"]).removeprefix("-")
        if name in fields or name.startswith("1 -"):
            found[name] = Measured(
                value=_number(row["value"]),
                low=_number(row["low"]),
                high=_number(row["high"]),
                n=int(row["n"]),
                level=float(row["level"]),
                method=str(row["method"]),
            )
    return found


def _outliers(subject: Subject, run: RiskRun, root: Path, *, shown: int) -> tuple[Suspect, ...]:
    if run.output.representation is None or run.output.indices is None:
        return ()
    table = run.table
    values: Float[np.ndarray, "images"] = table["representation"].to_numpy(dtype=np.float64)
    first = (~table["id"].duplicated()).to_numpy()
    values = np.where(first, values, np.nan)
    ends = extreme_images(values, count=shown, ids=list(table["id"]))
    indices = run.output.indices.numpy()
    return tuple(
        Suspect(
            id=str(table["id"].iloc[place]),
            source=str(table["source"].iloc[place]),
            label=str(table["label"].iloc[place]),
            predicted=str(table["predicted"].iloc[place]),
            score=float(values[place]),
            thumbnail=write_thumbnail(root, subject.image_set, int(indices[place])),
            why=_OUTLIER,
        )
        for place in ends.lowest.tolist()
    )


def _label_errors(
    subject: Subject,
    table: FeatureTable,
    root: Path,
    *,
    shown: int,
    seed: int,
    progress: bool | None,
) -> tuple[tuple[Suspect, ...], list[str]]:
    """Return the images for which another class is likelier, judged by features without them."""
    labels = table.labels.numpy()
    known = np.flatnonzero(labels >= 0)
    few = len(known) < 2 * FOLDS or len(np.unique(labels[known])) < 2
    if few or not table.features.shape[1]:
        why = "too few labelled images" if few else "the classifier shows no features"
        return (), [f"Labels were not judged: {why}."]
    notes = []
    if len(known) > JUDGED:
        places = np.linspace(0, len(known) - 1, JUDGED).round().astype(np.int64)
        known = known[places]
        notes.append(f"The labels of {JUDGED} of {len(labels)} images, spread evenly, were judged.")
    part = table.rows(known)
    found = label_error_scores(part, folds=FOLDS, seed=seed, progress=progress)
    scores = np.where(found.score > 0, found.score, np.nan)
    ends = extreme_images(scores, count=shown, ids=part.ids)
    names = subject.class_names
    suspects = []
    for place in ends.highest.tolist():
        index = int(part.indices[place])
        suspects.append(
            Suspect(
                id=part.ids[place],
                source=subject.image_set.sources[index],
                label=names[int(part.labels[place])],
                predicted=names[int(part.logits[place].argmax())],
                score=float(scores[place]),
                thumbnail=write_thumbnail(root, subject.image_set, index),
                why=f"{_LABEL}: {names[int(found.suggested[place])]} is likelier",
            )
        )
    return tuple(suspects), notes


def _riskiest(table: pd.DataFrame) -> tuple[str, ...]:
    """Return, for each risk, the class or group with the worst mean, in words."""
    column = "group" if "group" in table.columns else "label"
    rows = table[table[column] != ""]
    said = []
    for field, worst, words in (
        ("representation", "min", "rarest on average"),
        ("epistemic", "max", "most unsure on average (epistemic)"),
        ("aleatoric", "max", "noisiest on average (aleatoric)"),
    ):
        if field not in rows.columns or rows.empty:
            continue
        finite = rows[np.isfinite(rows[field].to_numpy(dtype=np.float64))]
        means = finite.groupby(column, sort=True)[field].mean()
        if means.empty:
            continue
        name = str(means.idxmin() if worst == "min" else means.idxmax())
        values = finite.loc[finite[column] == name, field].to_numpy(dtype=np.float64)
        found = mean_interval(values, level=1 - 0.05 / len(means))  # holds for all of them
        said.append(
            f"{name}: {words}, {found.value:.3g} [{found.low:.3g}, {found.high:.3g}], "
            f"n = {found.n}; all images {float(finite[field].mean()):.3g}"
        )
    return tuple(said)


def _number(value: object) -> float | None:
    found = float(value)  # type: ignore[arg-type]
    return found if np.isfinite(found) else None
