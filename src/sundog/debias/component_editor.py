"""Edits of a found cue that has no mask of its own for each image: components moved from donors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed, generator
from sundog.core.shapes import Images, Labels
from sundog.data.components.component import FAMILIES, Component
from sundog.data.sampling import balanced_sample
from sundog.debias.inpaint import inpaint
from sundog.debias.moves import Moves
from sundog.models.prepared import PreparedImages

MOST_INPAINTED = 0.5
"""A component of a larger share of the image cannot be filled in from its surroundings."""
AVERAGED = 512
"""Images, class-balanced, whose mean stands for an image without the component."""
PANEL = 10
"""Donors, spread over the classes, whose property is averaged for an image without it."""
SHIFTING = ("placement",)
"""Families that would show an image several times on average: the mean image's is used."""
ATTEMPTS = 8
"""Draws of a donor for an image until one can be decoded."""


class ComponentEditor:
    """Removes and swaps components: parts of the image, or properties of all of it.

    ``swapped`` puts the components of a donor into each image, all of the same donor: an image of
    a class drawn uniformly from all classes, the own among them, so that what is put there says
    nothing about the label. ``removed`` fills a local component in from its surroundings
    (:func:`sundog.debias.inpaint.inpaint`); one of more than half of the image becomes that of the
    mean image; a property of all of it is averaged over donors of all classes: the mean of the
    images that they lead to.

    Components are moved in the images as they are read; the result is then mirrored and shifted as
    the training image was.

    Args:
        images: the set with the cue in its pixels.
        components: moved one after the other.
        speaks_for: classes that the cue speaks for: to measure what a conflicting cue does
            (``avoid``), donors are of these; empty: of all.
        donors: another set to draw donors from, with the same classes at the same size; None: the
            images themselves.

    Raises:
        InputError: no component, a class outside the set, donors of other classes or another size,
            or without labels.
    """

    by_label = True
    """Donors, and what ``avoid`` names, are counted by class."""

    def __init__(
        self,
        images: PreparedImages,
        components: Sequence[Component],
        *,
        speaks_for: Sequence[int] = (),
        donors: PreparedImages | None = None,
    ) -> None:
        if not components:
            raise InputError("components", expected="at least one", got="none")
        source = images if donors is None else donors
        names = images.image_set.class_names
        if source.image_set.class_names != names or source.image_size != images.image_size:
            raise InputError(
                "donors",
                expected=f"of the same classes, {images.image_size} pixels",
                got=f"{len(source.image_set.class_names)} classes, {source.image_size} pixels",
            )
        labels = source.image_set.labels
        self._donors = {
            int(label): np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])
        }
        if not self._donors:
            raise InputError("donors", expected="labelled: they go by class", got="no label")
        known = range(len(names))
        if not set(speaks_for) <= set(known):
            raise InputError(
                "speaks_for",
                expected=f"classes in 0..{len(known) - 1}",
                got=str([int(c) for c in speaks_for if c not in known]),
            )
        self.image_size = images.image_size
        self.components = tuple(components)
        self._images = images
        self._source = source
        self._speaks_for = tuple(sorted({int(c) for c in speaks_for}))
        self._located = [c for c in self.components if FAMILIES[c.family].locate is not None]
        rest = [c for c in self.components if FAMILIES[c.family].locate is None]
        self._mask, self._whole = _split(rest, self.image_size)
        self._mean: Tensor | None = None
        self._typical: Tensor | None = None

    def __len__(self) -> int:
        return len(self._images)

    @property
    def about(self) -> str:
        """In words, what is edited."""
        return "moved from image to image: " + ", ".join(c.family for c in self.components)

    @property
    def mask(self) -> Bool[Tensor, "height width"] | None:
        """Where the components lie, if all are filled in when removed and lie at fixed places."""
        return None if self._whole or self._located else self._mask

    def describe(self) -> dict[str, Any]:
        """Return the components and the identity of the images."""
        content = derive_seed(0, *self._images.image_set.ids)
        source = self._source.image_set
        donors = derive_seed(0, *source.ids, "labels", *source.labels.tolist())
        return {
            "name": "components",
            "components": [c.to_dict() for c in self.components],
            "speaks_for": list(self._speaks_for),
            "images": f"{content:016x}",
            "donors": f"{donors:016x}",
        }

    def removed(self, images: Images, indices: Labels, *, moves: Moves | None = None) -> Images:
        """Return the images without their components."""
        cleaned = images
        if self._whole or self._located:
            plain = self._unmoved(images, indices, moves)
            for component in self._located:
                masks = component.locate(plain)
                plain = plain if masks is None else inpaint(plain, masks)
            for component in self._whole:
                plain = self._neutral(component, plain)
            cleaned = _moved(plain, moves).to(images)
        if self._mask is None:
            return cleaned
        masks = self._mask.expand(len(images), -1, -1)
        return inpaint(cleaned, masks if moves is None else moves.masks(masks))

    def swapped(
        self,
        images: Images,
        indices: Labels,
        *,
        seed: int,
        moves: Moves | None = None,
        avoid: Labels | None = None,
    ) -> Images:
        """Return the images with the components of donors.

        Args:
            images: see :meth:`sundog.debias.cue_editor.CueEditor.swapped`.
            indices: likewise.
            seed: likewise.
            moves: likewise.
            avoid: ``int64[batch]``, class whose donors an image does not get: to measure what a
                conflicting cue does, which is drawn from the classes that the cue speaks for if
                there is another one among them.
        """
        shunned = [None] * len(indices) if avoid is None else avoid.tolist()
        plain = self._unmoved(images, indices, moves)
        donors = self._donor_images(indices.tolist(), shunned, seed).to(plain)
        for component in self.components:
            plain = component.transfer(plain, donors)
        return _moved(plain, moves).to(images)

    def _unmoved(self, images: Images, indices: Labels, moves: Moves | None) -> Images:
        """Return the images as they are in the set."""
        if moves is None:
            return images
        found = list(self._images.batches(indices.cpu(), batch_size=max(1, len(indices))))
        read = sum(len(batch) for batch in found)
        if read != len(indices):
            raise DataError(
                "The images that are edited",
                expected="readable a second time",
                got=f"{len(indices) - read} of {len(indices)} that cannot be decoded",
            )
        return torch.cat([batch.images for batch in found])

    def _donor_images(self, indices: list[int], shunned: list[int | None], seed: int) -> Images:
        """Return a donor for each image; one that cannot be decoded is drawn again."""
        wanted = dict(enumerate(zip(indices, shunned, strict=True)))
        found: dict[int, Tensor] = {}
        for attempt in range(ATTEMPTS):
            places = [place for place in wanted if place not in found]
            if not places:
                break
            drawn = {p: self._draw(seed, *wanted[p], attempt=attempt) for p in places}
            read = self._read(sorted(set(drawn.values())))
            found |= {p: read[donor] for p, donor in drawn.items() if donor in read}
        if len(found) < len(wanted):
            raise DataError(
                "Donors of the cue",
                expected="readable",
                got=f"{len(wanted) - len(found)} of {len(wanted)} images without one",
            )
        return torch.stack([found[place] for place in wanted])

    def _draw(self, seed: int, index: int, avoid: int | None, *, attempt: int) -> int:
        draw = generator(seed, "component donor", index, attempt)
        classes = list(self._donors)
        if avoid is not None:
            others = [c for c in self._speaks_for if c != avoid and c in self._donors]
            classes = others or [c for c in classes if c != avoid] or classes
        group = self._donors[classes[int(torch.randint(len(classes), (1,), generator=draw))]]
        return int(group[int(torch.randint(len(group), (1,), generator=draw))])

    def _read(self, donors: list[int]) -> dict[int, Tensor]:
        try:
            batches = list(self._source.batches(torch.tensor(donors), batch_size=len(donors)))
        except DataError:  # not one can be decoded; the set lists them as skipped
            return {}
        return {
            int(i): image
            for batch in batches
            for i, image in zip(batch.indices, batch.images, strict=True)
        }

    def _neutral(self, component: Component, images: Images) -> Images:
        """Return the images with the component of no class."""
        if component.mask(*self.image_size) is not None or component.family in SHIFTING:
            return component.transfer(images, self._average().to(images).expand_as(images))
        donors = self._panel().to(images)
        total = torch.zeros_like(images)
        for donor in donors:
            total += component.transfer(images, donor[None].expand_as(images))
        return total / len(donors)

    def _panel(self) -> Images:
        """Return donors spread over the classes, ``float[donors, 3, height, width]``."""
        if self._typical is None:
            classes = list(self._donors)
            places = np.linspace(0, len(classes) - 1, min(PANEL, len(classes))).round()
            each = -(-PANEL // len(classes))
            chosen = [int(i) for p in places for i in self._donors[classes[int(p)]][:each]]
            read = self._read(chosen)
            if not read:
                raise DataError("Donors of the cue", expected="readable", got="none of them")
            self._typical = torch.stack([read[i] for i in chosen if i in read])
        return self._typical

    def _average(self) -> Tensor:
        """Return the mean image ``float[1, 3, height, width]``, every class with equal weight."""
        if self._mean is None:
            source = self._source.image_set
            chosen = balanced_sample(source.labels, source.ids, limit=AVERAGED)
            sums: dict[int, tuple[Tensor, int]] = {}
            for batch in self._source.batches(torch.from_numpy(chosen)):
                for image, label in zip(batch.images.double(), batch.labels.tolist(), strict=True):
                    total, count = sums.get(label, (torch.zeros_like(image), 0))
                    sums[label] = (total + image, count + 1)
            means = [total / count for label, (total, count) in sorted(sums.items()) if label >= 0]
            self._mean = torch.stack(means).mean(dim=0, keepdim=True).float()
        return self._mean


def _split(
    components: Sequence[Component], size: tuple[int, int]
) -> tuple[Bool[Tensor, "height width"] | None, tuple[Component, ...]]:
    """Return the union of the masks that can be filled in, and the components that cannot be."""
    union: Bool[Tensor, "height width"] | None = None
    whole = []
    for component in components:
        mask = component.mask(*size)
        joined = mask if union is None or mask is None else mask | union
        if joined is None or float(joined.double().mean()) > MOST_INPAINTED:
            whole.append(component)
        else:
            union = joined
    return union, tuple(whole)


def _moved(images: Images, moves: Moves | None) -> Images:
    return images if moves is None else moves.images(images)
