"""First look at many candidates with few pairs; only the promising ones are tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_effect import probabilities
from sundog.bias.shortcut_grid import LARGEST, Box, box_of, window
from sundog.bias.shortcut_pairs import Pairs, chunks, draw_pairs
from sundog.core.echo import echo
from sundog.core.shapes import Images, Labels
from sundog.models.classifier import Classifier

LEAST_CLASS = 3
"""Screening pairs of one donor class below which it is not judged alone."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What every stage works on.

    Attributes:
        classifier: in eval mode.
        images: ``float32[images, 3, height, width]`` on the CPU.
        labels: ``int64[images]``.
        plain: ``float64[images, classes]``, probabilities of the images as they are.
        batch_size: images at once.
        seed: of all draws.
        spent: counts images that went through the classifier.
    """

    classifier: Classifier
    images: Images
    labels: Labels
    plain: Float[Tensor, "images classes"]
    batch_size: int
    seed: int
    spent: list[int]

    @property
    def right(self) -> Bool[np.ndarray, "images"]:
        """Whether each image is classified rightly."""
        return (self.plain.argmax(1) == self.labels).numpy()

    @property
    def confidence(self) -> float:
        """Mean probability of the label where the classifier is right; 1 = it is always sure."""
        right = torch.from_numpy(self.right)
        if not bool(right.any()):
            return 1.0
        own = self.plain.gather(1, self.labels[:, None])[right]
        return float(own.mean())

    def margin(self, candidate: Candidate, *, class_index: int | None = None) -> float:
        """Return the pull that needs no cue, of this classifier.

        The margin of a part is relative to how sure the classifier is: one that gives the label .6
        has .6 to lose. A single class must show three times the margin: what sound models make of
        one class (a white ball on green, the eyes of a face) varies more. With few classes the
        donor's class gets what the label loses, whatever the reason: see :func:`echo`.
        """
        alone = candidate.local and candidate.also is None
        sure = self.confidence if alone else 1.0
        more = echo(self.plain.shape[1]) * (1 if class_index is None else 3)
        return min(candidate.margin * sure * more, 0.9)

    def pairs(
        self,
        candidate: Candidate,
        among: Bool[np.ndarray, "images"],
        *,
        most: int,
        stage: int,
        class_index: int | None = None,
    ) -> Pairs:
        """Draw pairs for a candidate; those of equal donors are the same for every candidate."""
        return draw_pairs(
            self.labels.numpy(),
            self.right,
            among=among,
            give=candidate.can_give(len(self.images)).numpy(),
            most=most,
            seed=self.seed + stage,
            class_index=class_index,
        )


@dataclass(frozen=True, eq=False)
class Screened:
    """A candidate with what few pairs say: mean pull, its standard error, the strongest class."""

    candidate: Candidate
    pull: float
    error: float
    best_class: int | None
    best_pull: float

    @property
    def score(self) -> float:
        """How far the pull lies above what needs no cue; the strongest class may speak alone."""
        return max(self.pooled, self.alone)

    @property
    def pooled(self) -> float:
        """The same, of all classes."""
        return (self.pull - self.candidate.margin) / (self.error + 0.02)

    @property
    def alone(self) -> float:
        """The same, of the strongest class."""
        return (self.best_pull - 2 * self.candidate.margin) / (0.2 + 0.02)

    @property
    def hopeless(self) -> bool:
        """Whether neither all classes nor the strongest one come near the margin; a conjunction is
        never given up.
        """
        if self.candidate.broken is not None:
            return False
        near = self.pull + 2 * self.error
        return near < self.candidate.margin and self.best_pull < self.candidate.margin

    @property
    def weight(self) -> float:
        """Pull for its area: of two parts that pull alike, the smaller is the better account."""
        return max(self.pull, self.best_pull / 2) / self.candidate.area**0.15


@torch.no_grad()
def screen(
    bench: Bench, candidate: Candidate, among: Bool[np.ndarray, "images"], *, most: int
) -> Screened:
    """Return what ``most`` pairs say, with the unchanged target as control (half the cost)."""
    pairs = bench.pairs(candidate, among, most=most, stage=0)
    if not len(pairs):
        return Screened(candidate, 0.0, 0.0, None, 0.0)
    pulls = []
    for rows in chunks(len(pairs), bench.batch_size):
        target, other = pairs.targets[rows], pairs.others[rows]
        moved = candidate.move(bench.images, target, other)
        a = probabilities(bench.classifier, moved, batch_size=bench.batch_size)
        b = bench.plain[target]
        label, giver = bench.labels[target][:, None], bench.labels[other][:, None]
        pulls.append(
            (a.gather(1, giver) - b.gather(1, giver) + b.gather(1, label) - a.gather(1, label))[
                :, 0
            ]
            / 2
        )
    bench.spent[0] += len(pairs)
    pull = torch.cat(pulls).numpy()
    classes: Int64[np.ndarray, "pairs"] = bench.labels[pairs.others].numpy()
    means = {
        int(code): float(pull[classes == code].mean())
        for code in np.unique(classes)
        if (classes == code).sum() >= LEAST_CLASS
    }
    best = max(means, key=lambda code: means[code]) if len(means) > 1 else None
    return Screened(
        candidate=candidate,
        pull=float(pull.mean()),
        error=float(pull.std() / np.sqrt(len(pull))),
        best_class=best,
        best_pull=means[best] if best is not None else 0.0,
    )


def fit_window(
    start: Screened,
    look: Callable[[Candidate], Screened],
    *,
    least: float,
    steps: int = 9,
) -> Screened:
    """Move, shrink and grow a window as long as its pull for its area rises.

    Args:
        start: a screened window.
        look: screens a candidate, always with the same pairs.
        least: smallest step and side, as a share of the image (one pixel).
        steps: at most.
    """
    best, step = start, 1 / 16
    for _ in range(steps):
        box = box_of(best.candidate)
        if box is None:
            return best
        near = [window(other) for other in _neighbours(box, max(step, least), least)]
        tried = [look(c) for c in near if c.area <= LARGEST]
        found = max(tried, key=lambda s: s.weight, default=best)
        if found.weight > best.weight * 1.01:
            best = found
        elif step > max(least, 1 / 64):
            step /= 2
        else:
            break
    return best


def _neighbours(box: Box, step: float, least: float) -> list[Box]:
    top, left, tall, wide = box
    found = []
    for dy, dx, dt, dw in _MOVES:
        y, x = top + dy * step, left + dx * step
        h, w = tall + dt * step, wide + dw * step
        inside = y >= -1e-9 and x >= -1e-9 and y + h <= 1 + 1e-9 and x + w <= 1 + 1e-9
        if inside and h >= least and w >= least:
            found.append((max(y, 0.0), max(x, 0.0), h, w))
    return found


_MOVES: Sequence[tuple[int, int, int, int]] = (
    (1, 0, 0, 0),
    (-1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, -1, 0, 0),
    (1, 0, -1, 0),
    (0, 0, -1, 0),
    (0, 1, 0, -1),
    (0, 0, 0, -1),
    (0, 0, 1, 0),
    (-1, 0, 1, 0),
    (0, 0, 0, 1),
    (0, -1, 0, 1),
)
