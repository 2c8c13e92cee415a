"""From tables and tests to the record of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool

from sundog.audit.pair_crossing import ClaimedCue
from sundog.bias.pair_cues import CrossedCue
from sundog.bias.pair_evidence import PairEvidence
from sundog.bias.pair_verdict import PairVerdict
from sundog.core.audit.comparison import (
    CrossedRecord,
    CueContrast,
    CueOnModel,
    MapContrast,
    MapLikeness,
    MapMean,
    MapsSay,
)
from sundog.core.audit.cues import CueTest
from sundog.core.audit.measured import Measured
from sundog.core.statistics import (
    Estimate,
    holm,
    mean_interval,
    paired_proportions,
    wilson_interval,
)


def crossed_records(
    cues: Sequence[ClaimedCue], crossed: Mapping[str, CrossedCue]
) -> tuple[CrossedRecord, ...]:
    """Return every crossed cue; the p-values of all contrasts are corrected together (Holm)."""
    raw = [
        p for key in crossed for d in crossed[key].differences for p in (d.p_excess, d.p_reliance)
    ]
    adjusted = iter(holm(np.asarray(raw, dtype=np.float64)).tolist())
    corrected = {
        (key, d.first, d.second): (next(adjusted), next(adjusted))
        for key in crossed
        for d in crossed[key].differences
    }
    return tuple(
        CrossedRecord(
            cue=cue.record.id,
            name=cue.record.name,
            classes=cue.record.classes,
            claimed_in=cue.claimed_in,
            margin=cue.margin,
            models=tuple(
                CueOnModel(
                    run=entry.run,
                    flip=Measured.of(entry.flip),
                    control=Measured.of(entry.control),
                    excess=Measured.of(entry.excess),
                    intact=Measured.of(entry.intact),
                    swapped=Measured.of(entry.swapped),
                    reliance=Measured.of(entry.reliance),
                    pull=Measured.of(entry.pull),
                )
                for entry in crossed[cue.key].runs
            ),
            contrasts=tuple(
                CueContrast(
                    first=d.first,
                    second=d.second,
                    excess=Measured.of(d.excess),
                    reliance=Measured.of(d.reliance),
                    p_excess=corrected[cue.key, d.first, d.second][0],
                    p_reliance=corrected[cue.key, d.first, d.second][1],
                )
                for d in crossed[cue.key].differences
            ),
        )
        for cue in cues
        if cue.key in crossed
    )


def maps_record(evidence: PairEvidence, verdict: PairVerdict, *, images: int) -> MapsSay:
    """Return what the maps say, held against what the causal tests say."""
    answerable = verdict.decision == "one" or verdict.decision == "none"
    named = verdict.biased[0] if verdict.decision == "one" else None
    return MapsSay(
        images=images,
        means=tuple(
            MapMean(method=m.method, measure=m.measure, run=m.run, mean=Measured.of(m.mean))
            for m in evidence.statistics
        ),
        contrasts=tuple(
            MapContrast(
                method=d.method,
                measure=d.measure,
                first=d.first,
                second=d.second,
                difference=Measured.of(d.difference),
                p=_finite(d.p_value),
                p_sign=_finite(d.p_sign),
                wins=d.wins,
                losses=d.losses,
            )
            for d in evidence.differences
        ),
        likeness=tuple(
            MapLikeness(
                method=a.method,
                first=a.first,
                second=a.second,
                correlation=Measured.of(a.correlation),
                overlap=Measured.of(a.overlap),
            )
            for a in evidence.agreements
        ),
        points_at=dict(evidence.points_at),
        agrees={
            method: (run == named if answerable else None)
            for method, run in evidence.points_at.items()
        },
        notes=evidence.notes,
    )


def scores_of(predictions: pd.DataFrame, run: str) -> tuple[Estimate, Estimate]:
    """Return accuracy (Wilson) and mean loss (t) of one run on all labelled images."""
    rows = predictions[predictions["run_id"] == run]
    right = int((rows["prediction"] == rows["label"]).sum())
    return (
        wilson_interval(right, len(rows)),
        mean_interval(rows["loss"].to_numpy(float), at_least=0.0),
    )


def right_answers(
    predictions: pd.DataFrame, ids: Sequence[str]
) -> dict[str, Bool[np.ndarray, " images"]]:
    """Return run -> whether it is right for each of the images ``ids``."""
    found = {}
    for run, rows in predictions.groupby("run_id"):
        # Copies with contradicting labels have no row: nobody knows whether they are right.
        unique = rows.drop_duplicates("id").set_index("id").reindex(list(ids))
        found[str(run)] = (unique["prediction"] == unique["label"]).to_numpy()
    return found


def accuracy_differences(predictions: pd.DataFrame, runs: Sequence[str]) -> dict[str, Measured]:
    """Return ``A − B`` -> difference of the accuracies on the same images (Newcombe, paired).

    The intervals hold together (Bonferroni over the pairs).
    """
    right = {
        run: (rows["prediction"] == rows["label"]).to_numpy()
        for run, rows in ((r, predictions[predictions["run_id"] == r]) for r in runs)
    }
    pairs = list(combinations(runs, 2))
    level = 1 - 0.05 / len(pairs)
    return {
        f"{a} − {b}": Measured.of(paired_proportions(right[a], right[b], level=level).difference)
        for a, b in pairs
    }


def strongest_miss(tests: Sequence[CueTest]) -> CueTest | None:
    """Return the test that came nearest to a claim: the one with the smallest p-value.

    What a claimed cue explains is no miss.
    """
    open_ = [test for test in tests if not test.claimed and not test.explained_by]
    return min(open_, key=lambda test: test.p, default=None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
