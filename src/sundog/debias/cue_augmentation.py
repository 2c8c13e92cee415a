"""Training on images whose cue is drawn anew, whatever the label: it no longer tells anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.debias.cue_editor import CueEditor
from sundog.debias.moves import Moves
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe

MODES = ("swap", "remove")


class CueAugmentation(TrainingRecipe):
    """In every step each image loses its own cue; one that is drawn for it takes its place.

    Works at any alignment, also when every training image carries the cue of its class. Needs a
    cue that can be edited (a mask, or a planted cue), no group labels. Costs one training, plus
    the edits.

    Args:
        editor: of the training set's cue.
        probability: of an edit, per image and step, in (0, 1]. Below 1 the cue still tells
            something about the label.
        modes: ``swap`` (a cue drawn from all values), ``remove``, or both: one is drawn.

    Raises:
        InputError: a probability outside (0, 1], or unknown modes.

    Source: artefact augmentation as in Li et al., 2023, arXiv 2212.04825 (Whac-A-Mole).
    """

    name = "cue_augmentation"

    def __init__(
        self,
        editor: CueEditor,
        *,
        probability: float = 1.0,
        modes: Sequence[str] = ("swap",),
    ) -> None:
        if not 0 < probability <= 1:
            raise InputError("probability", expected="in (0, 1]", got=repr(probability))
        if not modes or len(set(modes)) != len(modes) or not set(modes) <= set(MODES):
            raise InputError("modes", expected=f"some of {MODES}, each once", got=repr(modes))
        self.editor = editor
        self.probability = float(probability)
        self.modes = tuple(modes)
        self._edited = self._seen = 0

    def describe(self) -> dict[str, Any]:
        """Return the parameters and the editor's."""
        return {
            "name": self.name,
            "probability": self.probability,
            "modes": list(self.modes),
            "editor": self.editor.describe(),
        }

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Check that the editor is that of the training images.

        Raises:
            InputError: another number of images, or another size.
        """
        check_editor(self.editor, images)

    def begin_epoch(self, epoch: int) -> None:
        """Count the edits anew."""
        self._edited = self._seen = 0

    def change(self, step: Step) -> Step:
        """Return the batch with edited images."""
        choice = torch.tensor([self._draw(step.seed, i) for i in step.indices.tolist()])
        images = step.images
        moves = Moves.of(step)
        for number, mode in enumerate(self.modes):
            rows = (choice == number).nonzero()[:, 0]
            if not len(rows):
                continue
            part = Moves(moves.flipped[rows], moves.shifts[rows])
            taken, indices = step.images[rows.to(images.device)], step.indices[rows]
            if mode == "remove":
                edited = self.editor.removed(taken, indices, moves=part)
            else:
                edited = self.editor.swapped(taken, indices, seed=step.seed, moves=part)
            images = images.clone() if images is step.images else images
            images[rows.to(images.device)] = edited.to(images)
        self._edited += int((choice >= 0).sum())
        self._seen += len(step)
        return replace(step, images=images)

    def notes(self) -> dict[str, Any]:
        """Return how many images of the last epoch were edited."""
        return {"edited": self._edited, "seen": self._seen}

    def _draw(self, seed: int, index: int) -> int:
        """Return the number of the mode, or -1 to leave the image."""
        draw = generator(seed, "cue augmentation", index)
        if float(torch.rand(1, generator=draw, dtype=torch.float64)) >= self.probability:
            return -1
        return int(torch.randint(len(self.modes), (1,), generator=draw))


def check_editor(editor: CueEditor, images: PreparedImages) -> None:
    """Refuse an editor that was made for other images.

    Raises:
        InputError: another number of images, or another size.
    """
    if len(editor) != len(images) or tuple(editor.image_size) != images.image_size:
        raise InputError(
            "The cue editor",
            expected=f"made for {len(images)} images of {images.image_size} pixels",
            got=f"one for {len(editor)} of {tuple(editor.image_size)}",
            hint="Make it from the training set, with the size and resize rule of the training.",
        )
