"""Plant a cue that agrees with the label with a chosen probability: a bias whose truth is known."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Labels
from sundog.data.cues.background import plant_background
from sundog.data.cues.border import plant_border
from sundog.data.cues.conjunction import plant_conjunction
from sundog.data.cues.levels import plant_blur, plant_brightness, plant_jpeg
from sundog.data.cues.patch import plant_patch
from sundog.data.cues.pixel import plant_pixel
from sundog.data.cues.position import plant_position
from sundog.data.cues.text import plant_text
from sundog.data.cues.tint import plant_tint


@dataclass(frozen=True)
class CueKind:
    """One row of the table of cues.

    Attributes:
        name: as typed by a user.
        function: ``function(image, code, count, draw, *, ...) -> (image, mask)``.
        local: whether it occupies a part of the image; otherwise its mask is everywhere.
        summary: one line.
    """

    name: str
    function: Callable[..., tuple[Tensor, Tensor]]
    local: bool
    summary: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Names of the parameters and their defaults."""
        found = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY}


CUES: dict[str, CueKind] = {
    row.name: row
    for row in (
        CueKind("pixel", plant_pixel, True, "the practical's sparse block of coloured pixels"),
        CueKind("patch", plant_patch, True, "a solid square in the class's colour"),
        CueKind("text", plant_text, True, "a watermark with the class's text"),
        CueKind("border", plant_border, True, "a frame in the class's colour"),
        CueKind("background", plant_background, True, "the class's texture around the middle"),
        CueKind("tint", plant_tint, False, "the whole image tinted in the class's colour"),
        CueKind("brightness", plant_brightness, False, "the class's gain"),
        CueKind("blur", plant_blur, False, "the class's Gaussian blur"),
        CueKind("jpeg", plant_jpeg, False, "the class's JPEG quality"),
        CueKind("conjunction", plant_conjunction, False, "patch and tint that only together tell"),
        CueKind("position", plant_position, False, "the shrunk content at the class's place"),
    )
}


@dataclass(frozen=True, eq=False)
class Planted:
    """Images with a cue, and the truth about it.

    Attributes:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        masks: ``bool[batch, height, width]``, the pixels that the cue occupies; empty where the
            cue is absent. Outside, the images are exactly as before.
        cue_class: ``int64[batch]``, the class that the cue speaks for. With a target class, any
            other class stands for "absent".
        present: ``bool[batch]``, whether there is a cue in the image.
        aligned: ``bool[batch]``, whether the cue agrees with the label: ``cue_class == label``.
    """

    images: Images
    masks: Bool[Tensor, "batch height width"]
    cue_class: Labels
    present: Bool[Tensor, "batch"]
    aligned: Bool[Tensor, "batch"]


@dataclass(frozen=True)
class Cue:
    """A cue with its strength and seed; made by :func:`make_cue`.

    Attributes:
        name: key of :data:`CUES`.
        class_count: number of classes.
        strength: probability that the cue agrees with the label, see :meth:`draw`.
        seed: of all draws.
        target_class: None: every class has a value of its own. A class: the cue is there or not,
            and it speaks for this class.
        parameters: of the cue's function.
    """

    name: str
    class_count: int
    strength: float = 1.0
    seed: int = 0
    target_class: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def chance_strength(self) -> float:
        """The strength at which the cue says nothing about the label."""
        return 1 / self.class_count if self.target_class is None else 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return everything that defines the cue, ready for JSON."""
        used = {**CUES[self.name].parameters, **self.parameters}
        return {
            "name": self.name,
            "class_count": self.class_count,
            "strength": self.strength,
            "seed": self.seed,
            "target_class": self.target_class,
            "parameters": {k: list(v) if isinstance(v, tuple) else v for k, v in used.items()},
        }

    def draw(self, labels: Labels, ids: Sequence[str]) -> Labels:
        """Return the class that the cue of each image speaks for, ``int64[batch]``.

        With probability ``strength`` it is the label. Otherwise another class, uniformly; with a
        target class, images of other classes then get the target's cue. The draw depends on
        (seed, cue, id) alone, so identical images get identical cues.

        Raises:
            InputError: labels outside the classes (unlabelled images too), or lengths that differ.
        """
        _check_labels(labels, ids, self.class_count)
        drawn = []
        for label, image_id in zip(labels.tolist(), ids, strict=True):
            random = generator(self.seed, "cue", self.name, image_id)
            agrees = float(torch.rand(1, generator=random, dtype=torch.float64)) < self.strength
            step = int(torch.randint(1, self.class_count, (1,), generator=random))
            if agrees:
                drawn.append(label)
            elif self.target_class is not None and label != self.target_class:
                drawn.append(self.target_class)
            else:
                drawn.append((label + step) % self.class_count)
        return torch.tensor(drawn, dtype=torch.int64)

    def plant(self, images: Images, labels: Labels, ids: Sequence[str]) -> Planted:
        """Plant the cue in each image.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1].
            labels: ``int64[batch]`` in 0..class_count-1.
            ids: one per image; with the seed they decide every draw.

        Raises:
            InputError: bad images, labels or ids, or images too small for the cue.
        """
        labels = torch.as_tensor(labels, dtype=torch.int64).cpu()
        return self.plant_as(images, self.draw(labels, ids), ids, labels=labels)

    def plant_as(
        self, images: Images, cue_class: Labels, ids: Sequence[str], *, labels: Labels | None = None
    ) -> Planted:
        """Plant the cue of a given class in each image, whatever its label: an intervention.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1].
            cue_class: ``int64[batch]``; with a target class, any other class leaves the image as
                it is.
            ids: one per image, for cues that draw a place.
            labels: for ``aligned``; None: taken to be ``cue_class``.

        Raises:
            InputError: as for :meth:`plant`.
        """
        cue_class = torch.as_tensor(cue_class, dtype=torch.int64).cpu()
        _check_images(images, ids)
        _check_labels(cue_class, ids, self.class_count)
        present = torch.ones(len(ids), dtype=torch.bool)
        if self.target_class is not None:
            present = cue_class == self.target_class
        planted = images.detach().cpu().clone()
        masks = torch.zeros(len(ids), *images.shape[2:], dtype=torch.bool)
        for i in torch.nonzero(present).flatten().tolist():
            planted[i], masks[i] = self._apply(planted[i], int(cue_class[i]), ids[i])
        device = images.device
        known = cue_class if labels is None else labels
        return Planted(
            images=planted.to(device),
            masks=masks.to(device),
            cue_class=cue_class.to(device),
            present=present.to(device),
            aligned=(cue_class == known).to(device),
        )

    def _apply(self, image: Tensor, cue_class: int, image_id: str) -> tuple[Tensor, Tensor]:
        code, count = cue_class, self.class_count
        if self.target_class is not None:
            code, count = 0, 1
        draw = generator(self.seed, "place", self.name, image_id)
        return CUES[self.name].function(image, code, count, draw, **self.parameters)


def make_cue(
    name: str,
    *,
    class_count: int,
    strength: float = 1.0,
    seed: int = 0,
    target_class: int | None = None,
    **parameters: Any,
) -> Cue:
    """Make a cue by name.

    Args:
        name: key of :data:`CUES`.
        class_count: number of classes, >= 2.
        strength: probability that the cue agrees with the label, in [0, 1]. At
            ``1 / class_count`` (``1 / 2`` with a target class) the cue says nothing about it.
        seed: of all draws.
        target_class: None: each class has a value of its own (colour, text, level, place). A
            class: the cue has one value and speaks for this class; an image of it carries the cue
            with probability ``strength``, any other image with ``1 - strength``.
        parameters: of the cue, see ``CUES[name].parameters``.

    Raises:
        UnknownNameError: no such cue or parameter; suggests the nearest.
        InputError: a value out of range.
    """
    if name not in CUES:
        raise UnknownNameError("cue", name, CUES)
    kind = CUES[name]
    for given in parameters:
        if given not in kind.parameters:
            raise UnknownNameError(f"parameter of cue {name!r}", given, kind.parameters)
    if class_count < 2:
        raise InputError("class_count", expected=">= 2", got=str(class_count))
    if not 0 <= strength <= 1:
        raise InputError("strength", expected="a probability in [0, 1]", got=repr(strength))
    if target_class is not None and not 0 <= target_class < class_count:
        raise InputError("target_class", expected=f"in 0..{class_count - 1}", got=str(target_class))
    fixed = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    cue = Cue(name, class_count, float(strength), seed, target_class, fixed)
    trial = torch.zeros(1, 3, 224, 224)
    cue.plant_as(trial, torch.tensor([target_class or 0]), ["trial"])  # refuses bad values now
    return cue


def _check_images(images: Images, ids: Sequence[str]) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = str(tuple(images.shape)) if isinstance(images, Tensor) else type(images).__name__
        raise InputError("images", expected="a tensor [batch, 3, height, width]", got=got)
    if len(images) != len(ids):
        raise InputError("ids", expected=f"one per image ({len(images)})", got=str(len(ids)))
    if not images.is_floating_point() or images.numel() == 0:
        raise InputError("images", expected="floating point, not empty", got=str(images.dtype))
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            "images",
            expected="finite and in [0, 1]",
            got=f"values from {low:.4g} to {high:.4g}",
            hint="Plant before normalisation.",
        )


def _check_labels(labels: Labels, ids: Sequence[str], class_count: int) -> None:
    if tuple(labels.shape) != (len(ids),):
        raise InputError(
            "labels", expected=f"one per image, shape ({len(ids)},)", got=str(tuple(labels.shape))
        )
    if len(ids) and not (int(labels.min()) >= 0 and int(labels.max()) < class_count):
        raise InputError(
            "labels",
            expected=f"in 0..{class_count - 1}",
            got=f"{int(labels.min())}..{int(labels.max())}",
            hint="Unlabelled images (-1) cannot carry a cue that depends on the label.",
        )
