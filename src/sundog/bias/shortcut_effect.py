"""What moving a component does to the predictions: flips, accuracy, pull, pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sundog.bias.shortcut_pairs import Pairs, chunks
from sundog.core.shapes import Images, Labels
from sundog.core.statistics import Estimate, mean_interval, paired_proportions, wilson_interval
from sundog.models.classifier import Classifier

Move = Callable[[Images, Int64[Tensor, "pairs"], Int64[Tensor, "pairs"]], Images]
"""``move(images, targets, donors) -> images``."""


@dataclass(frozen=True, eq=False)
class Effect:
    """Outcomes of every pair.

    With a = the target with the component of another class's donor, b = with that of a donor of
    its own class (the control: the same operation, the same kind of content):

    Attributes:
        flips: a is predicted as the donor's class.
        control: b is predicted as the *other* donor's class.
        swapped: a is predicted rightly.
        intact: b is predicted rightly.
        pull: ``((p_a(donor) - p_b(donor)) + (p_b(label) - p_a(label))) / 2``, in [-1, 1]: the
            probability that the component moves from the label to the donor's class; 0 = none.
        donor_class: of the other donor.
    """

    flips: Bool[np.ndarray, "pairs"]
    control: Bool[np.ndarray, "pairs"]
    swapped: Bool[np.ndarray, "pairs"]
    intact: Bool[np.ndarray, "pairs"]
    pull: Float[np.ndarray, "pairs"]
    donor_class: Int64[np.ndarray, "pairs"]

    def __len__(self) -> int:
        return len(self.pull)

    def flip_rate(self, level: float = 0.95) -> Estimate:
        """Return the share of targets that follow the component; higher = more reliance."""
        return wilson_interval(int(self.flips.sum()), len(self), level=level)

    def control_rate(self, level: float = 0.95) -> Estimate:
        """Return the share that follow the control."""
        return wilson_interval(int(self.control.sum()), len(self), level=level)

    def excess(self, level: float = 0.95) -> Estimate:
        """Return flips - control, paired."""
        return paired_proportions(self.flips, self.control, level=level).difference

    def reliance(self, level: float = 0.95) -> Estimate:
        """Return intact - swapped, paired: the accuracy that hangs on the component."""
        return paired_proportions(self.intact, self.swapped, level=level).difference

    def mean_pull(self, level: float = 0.95) -> Estimate:
        """Return the mean pull with a t interval."""
        return mean_interval(self.pull, level=level)


def probabilities(
    classifier: Classifier, images: Images, *, batch_size: int
) -> Float[Tensor, "images classes"]:
    """Return ``float64[images, classes]`` on the CPU; batches go to the classifier's device."""
    parts = [
        classifier.predict(images[rows].to(classifier.device), batch_size=batch_size)
        .softmax(1)
        .double()
        .cpu()
        for rows in chunks(len(images), batch_size)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, 1, dtype=torch.float64)


@torch.no_grad()
def measure_effect(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    move: Move,
    pairs: Pairs,
    *,
    batch_size: int = 64,
) -> Effect:
    """Move the component of both donors into each target, and compare the predictions.

    Args:
        classifier: in eval mode.
        images: ``float32[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``.
        move: puts the donors' component into the targets.
        pairs: who gives and who receives.
        batch_size: images at once; the result does not depend on it.
    """
    found: list[Float[Tensor, "batch 6"]] = []
    for rows in chunks(len(pairs), batch_size):
        target, other, same = pairs.targets[rows], pairs.others[rows], pairs.same[rows]
        label, giver = labels[target], labels[other]
        a = probabilities(classifier, move(images, target, other), batch_size=batch_size)
        b = probabilities(classifier, move(images, target, same), batch_size=batch_size)
        pull = (_at(a, giver) - _at(b, giver) + _at(b, label) - _at(a, label)) / 2
        first, second = a.argmax(1), b.argmax(1)
        found.append(
            torch.stack(
                [
                    (first == giver).double(),
                    (second == giver).double(),
                    (first == label).double(),
                    (second == label).double(),
                    pull,
                    giver.double(),
                ],
                dim=1,
            )
        )
    table = torch.cat(found).numpy() if found else np.zeros((0, 6))
    return Effect(
        flips=table[:, 0] > 0,
        control=table[:, 1] > 0,
        swapped=table[:, 2] > 0,
        intact=table[:, 3] > 0,
        pull=table[:, 4],
        donor_class=table[:, 5].astype(np.int64),
    )


def _at(table: Float[Tensor, "batch classes"], column: Labels) -> Float[Tensor, "batch"]:
    return table.gather(1, column[:, None])[:, 0]
