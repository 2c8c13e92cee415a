"""Every number that says what probabilities and risks are worth, in one table, group by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, mean_interval, wilson_interval
from sundog.core.statistics.estimate import check_level
from sundog.models.calibration import ImageScores, image_scores
from sundog.models.calibration_interval import calibration_interval
from sundog.models.group_extremes import mean_of_proportions
from sundog.models.group_scores import SMALL, check_class_names, check_groups
from sundog.risk.correlation import Correlations, risk_correlations
from sundog.risk.detection import detection_scores
from sundog.risk.output import RiskOutput
from sundog.risk.selective import selective_scores

COLUMNS = [
    "group",
    "score",
    "metric",
    "better",
    "n",
    "left_out",
    "small",
    "value",
    "low",
    "high",
    "level",
    "method",
]
BETTER = {
    "accuracy": "higher",
    "balanced_accuracy": "higher",
    "precision": "higher",
    "nll": "lower",
    "brier": "lower",
    "ece": "lower",
    "adaptive_ece": "lower",
    "mean": "",
    "aurc": "lower",
    "excess_aurc": "lower",
    "augrc": "lower",
    "risk_at_coverage": "lower",
    "coverage_at_risk": "higher",
    "failure_auroc": "higher",
    "ood_auroc": "higher",
    "ood_aupr_out": "higher",
    "ood_aupr_in": "higher",
    "ood_fpr95_out": "lower",
    "ood_fpr95_in": "lower",
}
"""Every metric and which way is better; the mean of a risk is neither."""

RESAMPLES = 500
"""Bootstrap samples: the table holds hundreds of intervals."""

_SELECTIVE = (
    "aurc",
    "excess_aurc",
    "augrc",
    "risk_at_coverage",
    "coverage_at_risk",
    "failure_auroc",
)
_OOD = ("auroc", "aupr_out", "aupr_in", "fpr95_out", "fpr95_in")
BASELINE = "1 - confidence"
"""The risk that needs no method: one minus the largest probability."""


@dataclass(frozen=True, eq=False, repr=False)
class RiskMetrics(InNotebook):
    """All metrics of one output.

    Attributes:
        table: one row per group (first ``all``), score and metric; columns :data:`COLUMNS`.
        worst: one row per score and metric with a better side: ``group``, the worst value over the
            groups, and the simultaneous interval of the worst true value.
        correlations: of all risks with each other.
        same: scores that are not scored apart, each with the field it equals on every image
            (the fields are the scores of the first method that gives them).
        empty: groups without images.
        unknown: images of no known group; they count under ``all`` only.
    """

    table: pd.DataFrame
    worst: pd.DataFrame
    correlations: Correlations
    same: dict[str, str]
    empty: tuple[str, ...]
    unknown: int

    def _card(self) -> Card:
        overall = self.table[self.table["group"] == "all"]
        columns = ["score", "metric", "value", "low", "high", "n", "better"]
        scores = overall["score"].nunique()
        return Card(
            headline=f"{len(overall)} metrics of {scores} scores over all images",
            facts={"images of no known group": self.unknown, "same as": self.same or "none"},
            tables=[("All images", overall[columns])],
        )


def metrics_table(
    output: RiskOutput,
    labels: ArrayLike,
    *,
    class_names: Sequence[str],
    groups: ArrayLike | None = None,
    group_names: Sequence[str] = (),
    outlying: RiskOutput | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RiskMetrics:
    """Return accuracy, calibration, selective prediction and detection, overall and per group.

    Per group the intervals of the table are the plain ones; that of the worst group runs over all
    groups at once (Sidak: each at ``level^(1/groups)``, the ends being the worst of the lower and
    the worst of the upper ends), because the worst was selected. The detection of foreign images
    compares all of ``outlying`` with the images of each group.

    Args:
        output: for ``n`` labelled images. Representation is turned over before it is scored as a
            risk, and so is every ``METHOD.representation``.
        labels: ``int[n]``.
        class_names: one per class.
        groups: ``int[n]``, position in ``group_names``; -1: unknown. None: no groups.
        group_names: one per group.
        outlying: the output of the same model for foreign images.
        level: confidence level.
        resamples: bootstrap samples of each bootstrap interval; 0 leaves these out.
        seed: for the bootstrap.

    Returns:
        The tables. The rows of ``score`` "" are about the probabilities; those of "1 - confidence"
        are what a risk must beat. Images whose risk is NaN are left out of its rows and counted.

    Raises:
        InputError: arrays that do not fit, outputs of different models.

    Source: see :mod:`sundog.models.calibration`, :mod:`sundog.risk.selective` and
    :mod:`sundog.risk.detection`.
    """
    level = check_level(level)
    arrays = {name: np.asarray(part, dtype=np.float64) for name, part in output.numpy().items()}
    probabilities = arrays["probabilities"]
    scores = image_scores(probabilities, labels)
    truth = np.asarray(labels, dtype=np.int64)
    check_class_names(class_names, probabilities)
    member = (
        np.full(truth.size, -1, dtype=np.int64)
        if groups is None
        else check_groups(groups, group_names, count=truth.size)
    )
    if groups is None and group_names:
        raise InputError("groups", expected="given with group_names", got="none")
    same = _doubles(output, arrays)
    measures = {k: v for k, v in arrays.items() if v.ndim == 1 and k not in same}
    risks = _risks(probabilities, measures)
    foreign = None
    if outlying is not None:
        other = {k: np.asarray(v, dtype=np.float64) for k, v in outlying.numpy().items()}
        foreign = _risks(
            other["probabilities"],
            {k: v for k, v in other.items() if v.ndim == 1 and k not in same},
        )
    if foreign is not None and list(foreign) != list(risks):
        raise InputError(
            "outlying",
            expected=f"the same model's output with {', '.join(risks)}",
            got=", ".join(foreign),
        )

    def rows(
        name: str, chosen: Bool[np.ndarray, " n"], level: float
    ) -> Iterator[tuple[str, str, Estimate, int]]:
        source = derive_seed(seed, "metrics", name)
        yield from _of_probabilities(scores, truth, chosen, level, resamples, source)
        for score, values in risks.items():
            other = None if foreign is None else foreign[score]
            yield from _of_risk(
                score, values[chosen], scores.correct[chosen], other, level, resamples, source
            )

    everything = [("all", np.ones(truth.size, dtype=bool))]
    each = [(name, member == index) for index, name in enumerate(group_names)]
    filled = [(name, chosen) for name, chosen in each if chosen.any()]
    table = [
        _row(name, int(chosen.sum()), *found)
        for name, chosen in (*everything, *each)
        for found in rows(name, chosen, level)
    ]
    together = [
        _row(name, int(chosen.sum()), *found)
        for name, chosen in filled
        for found in rows(name, chosen, level ** (1 / len(filled)))
    ]
    return RiskMetrics(
        table=pd.DataFrame(table, columns=COLUMNS),
        worst=_worst(pd.DataFrame(together, columns=COLUMNS), level),
        correlations=risk_correlations(measures, level=level),
        same=same,
        empty=tuple(name for name, chosen in each if not chosen.any()),
        unknown=int((member < 0).sum()) if groups is not None else 0,
    )


def _doubles(output: RiskOutput, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the scores that are one of the fields."""
    return {
        name: field
        for name in output.scores
        for field in output.fields
        if name.endswith(f".{field}")
        and np.array_equal(arrays[name], arrays[field], equal_nan=True)
    }


def _risks(
    probabilities: Float[np.ndarray, "n classes"], measures: Mapping[str, Float[np.ndarray, " n"]]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return every score turned so that high is risky, the baseline first."""
    found = {BASELINE: 1 - probabilities.max(axis=1, initial=0)}
    for name, values in measures.items():
        common = name == "representation" or name.endswith(".representation")
        found[f"-{name}" if common else name] = -values if common else values
    return found


def _of_probabilities(
    scores: ImageScores,
    labels: Int[np.ndarray, " n"],
    chosen: Bool[np.ndarray, " n"],
    level: float,
    resamples: int,
    seed: int,
) -> Iterator[tuple[str, str, Estimate, int]]:
    truth, guess, right = labels[chosen], scores.prediction[chosen], scores.correct[chosen]
    present = np.unique(truth)
    hits = [int(((truth == c) & right).sum()) for c in present]
    supports = [int((truth == c).sum()) for c in present]
    answers = [int((guess == c).sum()) for c in present]
    several = present.size > 1
    yield "", "accuracy", wilson_interval(int(right.sum()), right.size, level=level), 0
    yield "", "balanced_accuracy", mean_of_proportions(hits, supports, level=level), 0
    yield (
        "",
        "precision",
        mean_of_proportions(hits * several, answers * several, level=level),
        0,
    )
    yield "", "nll", mean_interval(scores.nll[chosen], level=level, at_least=0.0), 0
    yield "", "brier", mean_interval(scores.brier[chosen], level=level, at_least=0.0), 0
    for name, scheme in (("ece", "width"), ("adaptive_ece", "mass")):
        estimate = calibration_interval(
            scores.confidence[chosen],
            right,
            scheme="width" if scheme == "width" else "mass",
            level=level,
            resamples=resamples,
            seed=seed,
        )
        yield "", name, estimate, 0


def _of_risk(
    score: str,
    risk: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    foreign: Float[np.ndarray, " m"] | None,
    level: float,
    resamples: int,
    seed: int,
) -> Iterator[tuple[str, str, Estimate, int]]:
    known = ~np.isnan(risk)
    missing = int((~known).sum())
    kept, right = risk[known], correct[known]
    finite = kept[np.isfinite(kept)]
    yield (
        score,
        "mean",
        mean_interval(finite, level=level),
        missing + int(kept.size - finite.size),
    )
    selective = selective_scores(kept, right, level=level, resamples=resamples, seed=seed)
    for name in _SELECTIVE:
        yield score, name, getattr(selective, name), missing
    if foreign is not None:
        out = foreign[~np.isnan(foreign)]
        found = detection_scores(kept, out, level=level, resamples=resamples, seed=seed)
        for name in _OOD:
            lost = missing + int(foreign.size - out.size)
            yield score, f"ood_{name}", getattr(found, name), lost


def _row(
    group: str, size: int, score: str, metric: str, estimate: Estimate, left_out: int
) -> tuple[object, ...]:
    return (
        group,
        score,
        metric,
        BETTER[metric],
        estimate.n,
        left_out,
        size < SMALL,
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.level,
        estimate.method,
    )


def _worst(together: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the worst group of every score and metric, with the interval of the worst truth."""
    rows = []
    usable = together[(together["better"] != "") & together["value"].notna()]
    for _, part in usable.groupby(["score", "metric"], sort=False):
        higher = part["better"].iloc[0] == "higher"
        values = part["value"].to_numpy()
        row = part.iloc[int(values.argmin() if higher else values.argmax())].to_dict()
        ends = part[["low", "high"]].to_numpy()
        low, high = ends.min(axis=0) if higher else ends.max(axis=0)  # NaN if one is
        row |= {"low": low, "high": high, "level": level, "groups": len(part)}
        rows.append(row | {"method": f"{row['method']}, simultaneous"})
    return pd.DataFrame(rows, columns=[*COLUMNS, "groups"])
