"""Several cues edited one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images, Labels
from sundog.debias.component_editor import ComponentEditor
from sundog.debias.cue_editor import AgainstEditor
from sundog.debias.moves import Moves


class ChainedEditor:
    """Edits with each of several editors, in order; each draws donors of its own.

    Args:
        editors: of the same images; one that moves components must be the first, since it reads
            the images anew.

    Raises:
        InputError: none, editors of different images, or another order.
    """

    def __init__(self, editors: Sequence[AgainstEditor]) -> None:
        if not editors:
            raise InputError("editors", expected="at least one", got="none")
        first = editors[0]
        if any(len(e) != len(first) or e.image_size != first.image_size for e in editors):
            raise InputError("editors", expected="of the same images", got="of different ones")
        if any(isinstance(e, ComponentEditor) for e in editors[1:]):
            raise InputError(
                "editors", expected="with the one that moves components first", got="it later"
            )
        self.image_size = first.image_size
        self.by_label = all(e.by_label for e in editors)
        self._editors = tuple(editors)

    def __len__(self) -> int:
        return len(self._editors[0])

    @property
    def about(self) -> str:
        """In words, how the cues are known."""
        return "; ".join(e.about for e in self._editors)

    def describe(self) -> dict[str, Any]:
        """Return what each editor says."""
        return {"name": "chain", "editors": [e.describe() for e in self._editors]}

    def removed(self, images: Images, indices: Labels, *, moves: Moves | None = None) -> Images:
        """Return the images without any of the cues."""
        for editor in self._editors:
            images = editor.removed(images, indices, moves=moves)
        return images

    def swapped(
        self,
        images: Images,
        indices: Labels,
        *,
        seed: int,
        moves: Moves | None = None,
        avoid: Labels | None = None,
    ) -> Images:
        """Return the images with every cue drawn anew; see :class:`AgainstEditor`."""
        for number, editor in enumerate(self._editors):
            own = derive_seed(seed, "chain", number)
            images = editor.swapped(images, indices, seed=own, moves=moves, avoid=avoid)
        return images
