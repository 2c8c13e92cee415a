"""Peers that search slices: SliceLine and DivExplorer on the same tags, Domino on the features."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.planted.mixture import error_slices
from benchmarks.planted.truth import Truth
from sundog.models.feature_table import FeatureTable

FIRST = 10
LEAST = 10
"""Images of a slice."""
PRECISE = 0.8
"""A slice without tags is the planted one if so many of its images are."""
Slice = tuple[int | None, tuple[int, ...]]
"""Class or None, and the columns of the tags that are present (or absent)."""


def sliceline(tags: np.ndarray, labels: np.ndarray, right: np.ndarray) -> list[Slice]:
    """Return the ten worst slices of up to two tags and a class by SliceLine's score."""
    from sliceline.slicefinder import Slicefinder

    finder = Slicefinder(alpha=0.95, k=FIRST, max_l=3, min_sup=LEAST, verbose=False)
    finder.fit(np.column_stack([tags.astype(np.int64), labels]), (~right).astype(np.float64))
    found = []
    for row in finder.top_slices_:
        used = tuple(i for i, value in enumerate(row[:-1]) if value is not None)
        found.append((None if row[-1] is None else int(row[-1]), used))
    return found


def divexplorer(tags: np.ndarray, labels: np.ndarray, right: np.ndarray) -> list[Slice]:
    """Return the ten patterns of present tags (and a class) whose error rate diverges most."""
    from divexplorer import DivergenceExplorer

    columns = {f"t{i}": np.where(tags[:, i], "1", None) for i in range(tags.shape[1])}
    frame = pd.DataFrame({**columns, "label": labels.astype(str), "error": (~right).astype(int)})
    least = max(2 * LEAST, 0.03 * len(frame)) / len(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of the pandas that it calls
        found = DivergenceExplorer(frame).get_pattern_divergence(
            min_support=least, boolean_outcomes=["error"]
        )
    found = found.sort_values(["error_div", "error_t"], ascending=False).head(FIRST)
    slices = []
    for items in found["itemset"]:
        parts = [str(item).split("=", 1) for item in items]
        own = [int(value) for name, value in parts if name == "label"]
        used = tuple(sorted(int(name[1:]) for name, _ in parts if name != "label"))
        slices.append((own[0] if own else None, used))
    return slices


SEARCHES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], list[Slice]]] = {
    "sliceline": sliceline,
    "divexplorer": divexplorer,
}


def run_slice_peers(
    truth: Truth, right: np.ndarray, *, target: int | None = None
) -> dict[str, Any]:
    """Return rank of the true concept and precision@10 of each search on tags, as JSON.

    Args:
        truth: tags, labels and cue of the images.
        right: ``bool[images]``, whether the classifier is.
        target: class that a true slice must name; None: any.
    """
    share = truth.present.mean(axis=0)
    chosen = np.flatnonzero((share > 0.01) & (share < 0.99))
    found: dict[str, Any] = {}
    for name, search in SEARCHES.items():
        begun = time.process_time()
        slices = search(truth.present[:, chosen], truth.labels, right)
        true = [
            target in (None, own) and truth.is_cue(own, tuple(chosen[i] for i in used))
            for own, used in slices
        ]
        found[name] = ranked(true) | {"seconds": round(time.process_time() - begun, 2)}
    return found


def run_mixture(table: FeatureTable, planted: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Return the same for the mixture: a slice is true if its images are the planted ones.

    Args:
        table: features, logits and labels.
        planted: ``bool[images]``, images on which the planted bias makes the classifier fail.
        seed: of its start.
    """
    begun = time.process_time()
    slices = error_slices(
        table.features.numpy(),
        table.labels.numpy(),
        table.logits.double().softmax(dim=1).numpy(),
        seed=seed,
    )
    true = [bool(planted[members].mean() >= PRECISE) for members in slices.members]
    return ranked(true) | {"seconds": round(time.process_time() - begun, 2)}


def ranked(true: list[bool]) -> dict[str, Any]:
    """Return rank of the first true one, precision of the first ten, and share of untrue ones."""
    return {
        "findings": len(true),
        "true": sum(true),
        "rank": true.index(True) + 1 if any(true) else None,
        "precision_at_10": float(np.mean(true[:FIRST])) if true else None,
        "fdp": float(1 - np.mean(true)) if true else 0.0,
    }
