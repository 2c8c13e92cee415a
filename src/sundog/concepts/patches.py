"""Tags for patches that recur: a planted square, a stamp, a stripe, a watermark, a caption.

:meth:`PatchTagger.fit` looks for what a photograph would not repeat: the same few pixels in many
images, anywhere (:mod:`~sundog.concepts.patches_stamp`), and prints at a fixed place
(:mod:`~sundog.concepts.patches_fixed`). It uses the classes of the images, since an artifact is
often in one class alone, and never what a classifier says about them.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Self

import numpy as np
from jaxtyping import Int64

from sundog.concepts.patches_fixed import Pattern, residual
from sundog.concepts.patches_learn import Patch, learn_patches
from sundog.concepts.patches_names import name_patch, preview
from sundog.concepts.patches_stamp import Stamp
from sundog.concepts.score_images import decoded_rows
from sundog.concepts.tag_scores import Scores
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import DataError, InputError, ModelStateError
from sundog.core.progress import track
from sundog.data.components.stamp_match import as_planes, shrink
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.data.sampling import balanced_sample

SAMPLE_BYTES = 256 * 2**20
"""Decoded images that are held while fitting."""
LARGEST_SIDE = 512
"""Larger images are first averaged over squares of whole pixels."""


class PatchTagger(Tagger):
    """Learns which local patches recur in an image set; each is a tag.

    The score of an image is the share of the patch's pixels found at the best place (a stamp), or
    the cosine with the pattern (a print at a fixed place), in [0, 1], higher = more; the threshold
    lies in the gap between the images that carry the patch and those that do not.

    What it finds: patches of exact or nearly exact colours in at least 5 % of the images of a
    class (or of the set) and in at least 6 of them; prints at a fixed place in about a fifth of
    the images of a class, also half-transparent ones. What it does not: patches that are rotated
    or rescaled from image to image, or half-transparent and at changing places; a few single
    pixels; what more than 95 % of the images carry, such as a background they share.
    """

    name = "patches"
    fitted = False

    def __init__(self, *, max_tags: int = 64, sample: int = 2048) -> None:
        """Make an unfitted tagger.

        Args:
            max_tags: at most so many tags, since each is a test.
            sample: images that are learned from, as many of each class as can be; fewer if they
                are so large that more than 256 MB would be held.

        Raises:
            InputError: a number below 1.
        """
        if max_tags < 1 or sample < 1:
            raise InputError("max_tags and sample", expected=">= 1", got=f"{max_tags} and {sample}")
        self.max_tags = max_tags
        self.sample = sample
        self.patches: tuple[Patch, ...] = ()
        self.tag_names: tuple[str, ...] = ()
        self.thresholds = np.zeros(0, np.float32)

    def fit(self, image_set: ImageSet, *, seed: int = 0, progress: bool | None = None) -> Self:
        """Return a tagger with the patches of this set.

        Args:
            image_set: labelled or not.
            seed: of the draw of the sample.
            progress: True or False; None: shown on a terminal.

        Raises:
            DataError: an empty set, or not one image of the sample can be decoded.
        """
        images, groups = self._draw(image_set, seed, progress)
        found = learn_patches(
            images,
            groups,
            max_patches=self.max_tags,
            watch=lambda seeds: iter(
                track(seeds, description="Growing patches", total=len(seeds), visible=progress)
            ),
        )
        fitted = copy.copy(self)
        fitted.fitted = True
        fitted.patches = tuple(found)
        fitted.tag_names = tuple(name_patch(p, n) for n, p in enumerate(found, start=1))
        fitted.thresholds = np.array([p.threshold for p in found], dtype=np.float32)
        fitted.previews = {
            name: preview(patch.kind.picture)
            for name, patch in zip(fitted.tag_names, found, strict=True)
        }
        noted = "" if found else "; no patch recurs in enough of them"
        fitted.notes = (f"learned from {len(images)} of {len(image_set)} images{noted}",)
        return fitted

    def identity(self) -> dict[str, Any]:
        """Return the name, the version and the hash of the dictionary."""
        self._require_fit()
        digest = hashlib.blake2b(digest_size=16)
        for patch in self.patches:
            kind = patch.kind
            digest.update(str(kind.level if isinstance(kind, Stamp) else kind.grid).encode())
            values = kind.colours if isinstance(kind, Stamp) else kind.means
            for array in (kind.offsets, values):
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return {
            "name": self.name,
            "version": self.version,
            "tags": list(self.tag_names),
            "dictionary": digest.hexdigest(),
        }

    def score(self, rows: Rows) -> Scores:
        """Return ``float32[batch, tags]`` in [0, 1].

        Raises:
            ModelStateError: not fitted.
        """
        self._require_fit()
        scores = np.zeros((len(rows), len(self.patches)), np.float32)
        for row, pixels in zip(scores, rows.images, strict=True):
            reduced = reduce(pixels)
            views = {1: reduced}
            residuals: dict[tuple[int, int], Any] = {}
            for column, patch in enumerate(self.patches):
                kind = patch.kind
                if isinstance(kind, Pattern):
                    if kind.grid not in residuals:
                        residuals[kind.grid] = residual(reduced, kind.grid)
                    row[column] = kind.match(residuals[kind.grid])
                else:
                    factor = kind.level.shrink
                    if factor not in views:
                        views[factor] = as_planes(shrink(reduced, factor))
                    row[column] = kind.match(views[factor])[0]
        return scores

    def _require_fit(self) -> None:
        if not self.fitted:
            raise ModelStateError(
                "The patches tagger", expected="fitted", got="an unfitted one", hint="Call fit()."
            )

    def _draw(
        self, image_set: ImageSet, seed: int, progress: bool | None
    ) -> tuple[list[Pixels], Int64[np.ndarray, "images"]]:
        """Decode a class-balanced sample, stopping where it would be too large to hold."""
        if len(image_set) == 0:
            raise DataError(f"Image set {image_set.name!r}", expected="non-empty", got="no image")
        limit = self.sample
        for index in range(len(image_set)):  # the first image that can be decoded tells the size
            try:
                limit = min(limit, max(1, SAMPLE_BYTES // reduce(image_set.image(index)).nbytes))
                break
            except DataError:  # recorded by image()
                continue
        chosen = balanced_sample(image_set.labels, image_set.ids, limit=limit, seed=seed)
        images: list[Pixels] = []
        groups: list[int] = []
        held = 0
        batches = track(
            decoded_rows(image_set, chosen), description="Reading a sample", visible=progress
        )
        for rows in batches:
            for pixels, label in zip(rows.images, rows.labels, strict=True):
                small = reduce(pixels)
                held += small.nbytes
                if held <= 1.5 * SAMPLE_BYTES or not images:
                    images.append(small)
                    groups.append(int(label))
        if not images:
            raise DataError(
                f"Image set {image_set.name!r}",
                expected="readable",
                got=f"{len(chosen)} images of which not one can be decoded",
            )
        return images, np.array(groups, dtype=np.int64)


def reduce(pixels: Pixels) -> Pixels:
    """Return an image of at most 512 pixels, averaged over squares of whole pixels."""
    return as_planes(shrink(pixels, -(-max(pixels.shape[:2]) // LARGEST_SIDE)))
