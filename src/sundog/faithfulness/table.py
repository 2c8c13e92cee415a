"""The result of a faithfulness run: per-image scores, summary, comparisons, curves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from sundog.core.errors import InputError
from sundog.core.files import write_table
from sundog.core.notebook import Card, InNotebook
from sundog.faithfulness.agreement import GROUP
from sundog.faithfulness.text import table_text


@dataclass(frozen=True, eq=False, repr=False)
class FaithfulnessTable(InNotebook):
    """Which explanation to trust, with what is needed to doubt it.

    Attributes:
        scores: one row per image, method and score: ``id``, ``method``, ``control``, ``metric``,
            ``fill``, ``spacing``, ``steps``, ``axis`` (``linear``, or ``log`` for the area over the
            logarithm of the share), ``value``, ``reason`` (why there is none), ``target`` and
            ``confidence`` (predicted class and its probability when clean), ``seconds`` and
            ``forwards`` of the explanation, ``score_seconds`` and ``score_forwards`` (per image;
            a backward pass counts as one forward-equivalent).
        summary: see :func:`~sundog.faithfulness.summary.summarise`.
        comparisons: see :func:`~sundog.faithfulness.summary.compare`.
        curves: mean curves with pointwise intervals.
        agreement: Kendall's tau of the methods' ranking between fills.
        specification: what decides the value of a score.
        notes: what was left out, in plain words.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    agreement: pd.DataFrame
    specification: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the per-image scores."""
        return self.scores.copy()

    def best(self, metric: str, *, fill: str | None = None) -> tuple[str, ...]:
        """Return the methods that no other method is shown to beat (Holm), best mean first.

        A method without a single score is not among them.

        Args:
            metric: a metric of this run.
            fill: one of its fills; None takes the first.

        Raises:
            InputError: the run has no such score.
        """
        rows = self.summary[self.summary["metric"] == metric]
        rows = rows[rows["fill"] == fill] if fill is not None else rows
        if rows.empty:
            raise InputError("metric", expected="one of this run", got=f"{metric!r}, fill {fill!r}")
        key = rows[GROUP].iloc[0]
        rows = rows[rows[GROUP].eq(key).all(axis=1) & ~rows["control"] & rows["n"].gt(0)]
        pairs = self.comparisons
        pairs = pairs[pairs[GROUP].eq(key).all(axis=1) & (pairs["kind"] == "methods")]
        decided = pairs[pairs["better"] != ""]
        beaten = {
            str(a if better == b else b)
            for a, b, better in decided[["a", "b", "better"]].itertuples(index=False)
        }
        return tuple(name for name in rows["method"] if name not in beaten)

    def save(
        self, directory: str | os.PathLike[str], *, suffix: Literal["csv", "parquet"] = "csv"
    ) -> tuple[Path, ...]:
        """Write ``scores``, ``summary``, ``comparisons``, ``curves`` and ``agreement``.

        Returns:
            The paths written.

        Raises:
            InputError: another suffix.
        """
        if suffix not in ("csv", "parquet"):
            raise InputError("suffix", expected="csv or parquet", got=repr(suffix))
        return tuple(
            write_table(Path(directory) / f"{name}.{suffix}", getattr(self, name))
            for name in ("scores", "summary", "comparisons", "curves", "agreement")
        )

    def to_text(self) -> str:
        """Return the summary as plain text, one table per score."""
        return table_text(self.summary, self.comparisons, self.agreement, self.notes)

    __str__ = to_text

    def __repr__(self) -> str:
        methods, images = self.scores["method"].nunique(), self.scores["id"].nunique()
        return f"FaithfulnessTable({methods} methods, {images} images, {len(self.scores)} scores)"

    def _card(self) -> Card:
        methods, images = self.scores["method"].nunique(), self.scores["id"].nunique()
        columns = ["metric", "fill", "method", "mean", "low", "high", "n", "control"]
        shown = self.summary[[name for name in columns if name in self.summary]]
        return Card(
            headline=f"{methods} methods on {images} images, controls among them",
            tables=[
                ("Mean scores with intervals; a control knows nothing of the classifier", shown)
            ],
            notes=self.notes,
        )
