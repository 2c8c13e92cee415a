"""What is known of images whose concepts are searched: tags, labels, and the planted cue."""

from dataclasses import dataclass

import numpy as np

from benchmarks.planted.planted_images import Shown
from sundog.concepts.tag_scores import TagScores

SAME = 0.5
"""A tag is the planted cue if its presence has at least this correlation with the cue's value."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Images that were searched, one row per row of the tags.

    Attributes:
        present: ``bool[images, tags]``.
        tags: names of the tags.
        values: ``int64[images]``, class that the cue of each image speaks for; -1 = none.
        labels: ``int64[images]``.
        rows: ``int64[images]``, positions in the image set.
    """

    present: np.ndarray
    tags: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    @staticmethod
    def of(scores: TagScores, shown: Shown) -> "Truth":
        """Join tags and cue by the images' ids."""
        place = {image_id: position for position, image_id in enumerate(shown.images.ids)}
        rows = np.array([place[image_id] for image_id in scores.ids])
        labels = shown.images.labels[rows]
        return Truth(scores.present(), scores.names, shown.cue_class[rows], labels, rows)

    def is_cue(self, label: int | None, columns: tuple[int, ...]) -> bool:
        """Return whether one of the tags is the planted cue, among the images of a class (or all).

        Args:
            label: class; None: all images.
            columns: of the tags.
        """
        inside = np.ones(len(self.labels), dtype=bool) if label is None else self.labels == label
        values = self.values[inside]
        shown = [values == value for value in np.unique(values)]
        return any(
            abs(correlation(self.present[inside, column], other)) >= SAME
            for column in columns
            for other in shown
        )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two yes/no lists (phi), 0 if one never changes."""
    if a.all() or b.all() or not a.any() or not b.any():
        return 0.0
    return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])
