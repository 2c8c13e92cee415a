"""Which scalar of the classifier's output is explained: the class, and logit or probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels, Logits, Scores
from sundog.models.checks import check_images as check_images
from sundog.models.checks import resolve_target as resolve_target
from sundog.models.classifier import Classifier

OutputKind = Literal["logit", "probability", "log_probability"]
Target = Labels | int | Callable[[Logits], Scores] | None
"""A class per image, one class for all, any scalar of the logits, or None: the predicted class.

An :class:`Objective` that was made before is taken as it is: its images were checked then, so that
rows made from them (noisy copies, say) may leave [0, 1].
"""


@dataclass(frozen=True, eq=False)
class Objective:
    """The scalar per image that a method explains; call it with logits to get it.

    Attributes:
        output: logit, probability (softmax over the classifier's classes) or its logarithm.
        target: ``int64[batch]``, the explained class of each image; ``None`` for ``custom``.
        custom: any scalar of the logits, ``[rows, classes] -> [rows]``.
        logits: ``[batch, classes]`` of the clean images.
        images: the images that ``logits`` belong to; ``None`` if they are others than the rows
            that are explained (:meth:`of_rows`).
    """

    output: OutputKind
    target: Labels | None
    custom: Callable[[Logits], Scores] | None
    logits: Logits
    images: Images | None = None

    def take(self, part: slice) -> Objective:
        """Return the objective of a part of the images."""
        return replace(
            self,
            target=None if self.target is None else self.target[part],
            logits=self.logits[part],
            images=None if self.images is None else self.images[part],
        )

    def of_rows(self, owner: Labels) -> Objective:
        """Return the objective of rows that were made from the images ``owner[row]``."""
        target = None if self.target is None else self.target[owner]
        return replace(self, target=target, logits=self.logits[owner], images=None)

    def __call__(self, logits: Logits, owner: Labels | None = None) -> Scores:
        """Return the scalar of each row; ``owner[row]`` is the image that a row was made from."""
        if self.custom is not None:
            value = self.custom(logits)
            if value.shape != logits.shape[:1]:
                raise InputError(
                    "A target function's result",
                    expected=f"one value per row, shape {tuple(logits.shape[:1])}",
                    got=str(tuple(value.shape)),
                )
            return value
        if self.target is None:
            raise InputError("target", expected="a class per image or a function", got="neither")
        index = self.target if owner is None else self.target[owner]
        # A class made inside torch.inference_mode() cannot take part in a backward pass.
        index = index.clone() if index.is_inference() else index
        if self.output == "probability":
            logits = logits.softmax(dim=1)
        elif self.output == "log_probability":
            logits = logits.log_softmax(dim=1)
        return logits.gather(1, index[:, None]).squeeze(1)


def check_output(output: str) -> None:
    """Refuse an unknown kind of output."""
    if output not in get_args(OutputKind):
        raise InputError("output", expected=f"one of {get_args(OutputKind)}", got=repr(output))


def objective_from_logits(
    logits: Logits, images: Images, target: Target, *, output: OutputKind
) -> Objective:
    """Fix the scalar that is explained, given the logits of the images.

    Raises:
        InputError: logits that are not finite, a class out of range, an unknown output kind.
    """
    check_output(output)
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            "The classifier's logits",
            expected="finite",
            got=f"NaN or infinity for {int((~torch.isfinite(logits)).any(1).sum())} images",
            hint="The weights or the normalisation are broken.",
        )
    if isinstance(target, Objective):
        return replace(target, logits=logits, images=images)
    if callable(target) and not isinstance(target, Tensor):
        return Objective(output=output, target=None, custom=target, logits=logits, images=images)
    index = resolve_target(target, logits)
    return Objective(output=output, target=index, custom=None, logits=logits, images=images)


def join_objectives(parts: Sequence[Objective], images: Images) -> Objective:
    """Return the objective of all images from those of their parts, in order."""
    classes = [one.target for one in parts if one.target is not None]
    return replace(
        parts[0],
        target=torch.cat(classes) if classes else None,
        logits=torch.cat([one.logits for one in parts]),
        images=images,
    )


def make_objective(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    output: OutputKind = "logit",
    batch_size: int = 32,
    clean_logits: bool = True,
) -> Objective:
    """Check images and classifier, predict, and fix the scalar that is explained.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: see :data:`Target`; the predicted class of the clean image if None.
        output: logit, probability or log_probability; a prepared objective keeps its own.
        batch_size: images per forward pass.
        clean_logits: whether the logits of the images are needed; without, a prepared objective
            of other images costs no forward pass (and its ``logits`` stay those of the others).

    Raises:
        InputError: bad images, a class out of range, an unknown output kind.
        ModelStateError: a classifier in train mode.
    """
    check_output(output)
    if isinstance(target, Objective):
        if len(target.logits) != len(images):
            raise InputError(
                "An objective",
                expected=f"one of {len(images)} images",
                got=f"one of {len(target.logits)}",
            )
        if target.images is images or not clean_logits:
            return target
    else:
        check_images(images)
    logits = classifier.predict(images, batch_size=batch_size)
    return objective_from_logits(logits, images, target, output=output)
