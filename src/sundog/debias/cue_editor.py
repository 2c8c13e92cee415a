"""What can be done to a found cue: take it out of an image, or show that of another image."""

from __future__ import annotations

from typing import Any, Protocol

from sundog.core.shapes import Images, Labels
from sundog.debias.moves import Moves


class CueEditor(Protocol):
    """Edits the cue in images of one set, by position; the label is never asked.

    What an edit draws depends on (seed, position) alone: the result for an image is the same
    alone, in a batch and in any order.

    Attributes:
        image_size: (height, width) of the images that it edits, in pixels.
    """

    image_size: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of images of the set."""
        ...

    def removed(self, images: Images, indices: Labels, *, moves: Moves | None = None) -> Images:
        """Return the images without their cue.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1], as they are read from the set
                and then moved.
            indices: ``int64[batch]``, positions in the set.
            moves: what the augmentation did to them; None: nothing.
        """
        ...

    def swapped(
        self, images: Images, indices: Labels, *, seed: int, moves: Moves | None = None
    ) -> Images:
        """Return the images with a cue value drawn from all values, their own among them.

        Without the own value the cue would speak *against* the label, which is information, too.

        Args:
            images: as for :meth:`removed`.
            indices: as for :meth:`removed`.
            seed: of the draws.
            moves: as for :meth:`removed`.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything that decides an edit, as JSON."""
        ...


class AgainstEditor(CueEditor, Protocol):
    """An editor that can also show a cue that conflicts with the label: for measuring.

    Attributes:
        by_label: whether donors go by class; else by the value of the cue.
    """

    by_label: bool

    @property
    def about(self) -> str:
        """In words, how the cue is known."""
        ...

    def swapped(
        self,
        images: Images,
        indices: Labels,
        *,
        seed: int,
        moves: Moves | None = None,
        avoid: Labels | None = None,
    ) -> Images:
        """Return the images with a drawn cue.

        Args:
            images: as for :meth:`CueEditor.swapped`.
            indices: likewise.
            seed: likewise.
            moves: likewise.
            avoid: ``int64[batch]``, class or value that an image does not get; None: any.
        """
        ...
