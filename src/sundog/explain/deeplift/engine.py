"""DeepLIFT attributions of many images against many baselines, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Images, Logits, Scores
from sundog.explain.budget import MAX_ROWS
from sundog.explain.counting import count_backward
from sundog.explain.deeplift.tape import Tape
from sundog.explain.deeplift.walk import check_same_path, make_tape, multipliers, stands_for_all
from sundog.explain.objective import (
    Objective,
    OutputKind,
    Target,
    join_objectives,
    objective_from_logits,
)
from sundog.explain.single_pass import take_target
from sundog.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each input element contributed to the difference from the baselines.

    Attributes:
        attribution: ``float[batch, 3, height, width]``, signed, mean over the baselines.
        scalar: ``float[batch]``, ``f(x)``.
        difference: ``float[batch]``, ``f(x) - f(x')``, mean over the baselines.
        gap: ``float[batch]``, ``difference - sum of attribution``; 0 up to rounding.
        objective: what was explained, with the logits of the images from the same pass.
    """

    attribution: Images
    scalar: Scores
    difference: Scores
    gap: Scores
    objective: Objective


class _Base:
    """A baseline and its tapes: one row for all images, or a row for each image."""

    def __init__(self, rows: Images, classifier: Classifier) -> None:
        self.rows = rows
        self.classifier = classifier
        self.tapes: dict[int, Tape] = {}

    @property
    def shared(self) -> bool:
        return len(self.rows) == 1

    def tape(self, part: slice, count: int, *, room: int) -> Tape:
        """Return the tape of some images' rows, or of one row repeated, kept if there is room."""
        if not self.shared:
            return make_tape(self.classifier, self.rows[part])
        if count in self.tapes:
            return self.tapes[count]
        made = make_tape(self.classifier, self.rows.expand(count, -1, -1, -1))
        if count <= room:
            self.tapes[count] = made
        return made


def contributions(
    classifier: Classifier,
    images: Images,
    target: Target,
    baselines: Sequence[Images],
    *,
    output: OutputKind,
    budget: int,
) -> Contributions:
    """Return the mean DeepLIFT (Rescale) attribution over baselines, and its completeness gap.

    Args:
        classifier: in eval mode.
        images: ``[batch, 3, height, width]``.
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        baselines: each ``[1, 3, height, width]``, one for all images, which is run once, or
            ``[batch, 3, height, width]``.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Raises:
        InputError: a bad target, output or budget.
        ModelStateError: an operation without a rule, or a gap that rounding does not explain.
    """
    if budget <= 0:
        raise InputError("budget", expected="a positive number of bytes", got=str(budget))
    bases = [_Base(rows, classifier) for rows in baselines]
    first = bases[0].tape(slice(0, 1), 1, room=1)
    with torch.autocast(images.device.type, enabled=False):
        check_recorded(first, classifier(bases[0].rows[:1]))
    # Values of one row for images and baselines, and as much again for the way back.
    need = max(1, 3 * first.nbytes)
    chunk = int(max(1, min(MAX_ROWS, budget // need)))
    room = int(budget // need) // len(bases)
    attribution = torch.zeros_like(images)
    scalar, difference = images.new_zeros(2, len(images))
    objectives: list[Objective] = []
    for start in range(0, len(images), chunk):
        part = slice(start, min(start + chunk, len(images)))
        rows = images[part]
        tape = make_tape(classifier, rows)
        objective = objective_from_logits(
            tape.result, rows, take_target(target, part, len(images)), output=output
        )
        objectives.append(objective)
        head = make_tape(objective, tape.result)
        scalar[part] = head.result
        for base in bases:
            twin = base.tape(part, 1, room=room)
            if base.shared and not stands_for_all(tape, twin):
                twin = base.tape(part, len(rows), room=room)
            check_same_path(tape, twin)
            base_head = make_tape(objective, twin.result.expand_as(tape.result))
            check_same_path(head, base_head)
            grad = multipliers(head, base_head, torch.ones_like(head.result))
            grad = multipliers(tape, twin, grad)
            count_backward(classifier, len(rows))
            reference = base.rows if base.shared else base.rows[part]
            attribution[part] += grad * (rows - reference) / len(bases)
            difference[part] += (head.result - base_head.result) / len(bases)
    gap = difference - attribution.flatten(1).sum(dim=1)
    result = Contributions(
        attribution=attribution,
        scalar=scalar,
        difference=difference,
        gap=gap,
        objective=join_objectives(objectives, images),
    )
    check_complete(result)
    return result


def check_recorded(tape: Tape, logits: Logits) -> None:
    """Refuse a network that does not compute, while it is recorded, what it computes otherwise.

    Numbers that leave PyTorch on the way (``numpy()``, ``data_ptr()``) cannot be followed.

    Raises:
        ModelStateError: other logits than without recording.
    """
    scale = logits.abs().max() + torch.finfo(logits.dtype).tiny
    difference = float(((tape.result - logits).abs().max() / scale).nan_to_num(torch.inf))
    if difference > 1e-2:
        raise ModelStateError(
            "DeepLIFT",
            expected="used with a network that stays within PyTorch's operations",
            got=f"logits that differ by {difference:.2g} of their size while being recorded",
            hint="Use integrated_gradients.",
        )


def check_complete(result: Contributions, *, relative: float = 1e-3) -> None:
    """Refuse attributions that do not add up to the difference of the scalar.

    Rounding is allowed for in proportion to the scalar and the attributions' magnitudes.

    Raises:
        ModelStateError: a gap above ``relative`` times the difference.
    """
    rounding = torch.finfo(result.gap.dtype).eps ** (2 / 3)
    mass = result.attribution.flatten(1).abs().sum(dim=1) + result.scalar.abs()
    bad = result.gap.abs() > relative * result.difference.abs() + rounding * mass
    bad |= ~torch.isfinite(result.gap)
    if bool(bad.any()):
        worst = float((result.gap.abs() / result.difference.abs()).max())
        raise ModelStateError(
            "DeepLIFT's attributions",
            expected="complete: their sum is f(x) - f(baseline)",
            got=f"a gap of up to {worst:.2g} of the difference for {int(bad.sum())} images",
            hint="The network has a step that the rules do not cover; use integrated_gradients.",
        )
