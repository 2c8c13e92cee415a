"""What the search for unknown cues returns: claimed cues with their evidence, and every test."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from sundog.bias.shortcut_pairs import Pairs
from sundog.core.notebook import Card, InNotebook
from sundog.core.statistics import Estimate
from sundog.data.components.component import Component


@dataclass(frozen=True, eq=False)
class CueDose:
    """Flip rate at one dose: ``what`` is ``opacity`` or ``size``, 1 = the whole cue."""

    what: str
    dose: float
    flip: Estimate


@dataclass(frozen=True, eq=False)
class CueExample:
    """A transplant to look at: donor, receiver, and the receiver with the donor's component.

    Attributes:
        source: ``uint8[height, width, 3]``, the donor.
        target: ``uint8[height, width, 3]``, the receiver.
        pasted: ``uint8[height, width, 3]``, the receiver with the component.
        label: of the receiver.
        before: predicted class of the receiver.
        after: predicted class with the component.
    """

    source: UInt8[np.ndarray, "height width 3"]
    target: UInt8[np.ndarray, "height width 3"]
    pasted: UInt8[np.ndarray, "height width 3"]
    label: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class Shortcut:
    """One claimed cue; fields as in :class:`sundog.core.audit.cues.CueRecord`.

    Attributes:
        family: row of the table of components that was moved.
        kind: ``local`` or ``whole``.
        name: in words.
        classes: class indices that it speaks for.
        flip: share of images of other classes that become the cue's class.
        control: the same with the component of an image of their own class.
        excess: flip - control, paired, corrected interval.
        p: one-sided, of ``excess <= smallest``.
        p_adjusted: corrected over all tests.
        intact: accuracy with the component of another image of the same class.
        swapped: accuracy with the component of an image of another class.
        reliance: intact - swapped.
        pull: probability that the component moves from the label to the donor's class, the mean
            over pairs, in [-1, 1]; the claim is that it exceeds what sound models show.
        component: what was moved; family ``masked``: the part that ``image_masks`` shows.
        also: a second component that only works together with the first, or None.
        pairs: who gave and who received, to repeat the test on another model.
        random_place: flip rate at random places, or None.
        elsewhere: flip rate of parts of the same size at random places of the donors, the control
            for size; None for a property of the whole image.
        removal: accuracy lost when the part is painted over, beyond painting over a part of the
            same size elsewhere, paired; None for a property of the whole image.
        dose: flip rate against opacity and size.
        box: (top, left, height, width) as shares of the image, or None.
        mask: ``float[height, width]`` in [0, 1], where the cue is over all images; None if whole.
        image_masks: image position -> ``bool[height, width]`` where it is in that image; empty if
            whole or if it is everywhere the same (then ``mask``).
        examples: transplants to look at.
        note: remarks.
    """

    family: str
    kind: str
    name: str
    classes: tuple[int, ...]
    flip: Estimate
    control: Estimate
    excess: Estimate
    p: float
    p_adjusted: float
    intact: Estimate
    swapped: Estimate
    reliance: Estimate
    pull: Estimate
    component: Component
    pairs: Pairs
    also: Component | None = None
    random_place: Estimate | None = None
    elsewhere: Estimate | None = None
    removal: Estimate | None = None
    dose: tuple[CueDose, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Float[np.ndarray, "height width"] | None = None
    image_masks: dict[int, np.ndarray] = field(default_factory=dict)
    examples: tuple[CueExample, ...] = ()
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class ShortcutSearch(InNotebook):
    """The result of :func:`sundog.bias.shortcut.find_shortcuts`.

    Attributes:
        shortcuts: claimed cues, strongest first.
        table: one row per test: family, name, class_index (-1 = all classes), n, flip, control,
            excess, low, high, p, p_adjusted, claimed, detectable.
        smallest: excess flips that matter.
        alpha: bound of the probability of any false claim.
        images: used.
        forwards: images that went through the classifier.
        notes: what these images could not show.
    """

    shortcuts: tuple[Shortcut, ...]
    table: pd.DataFrame
    smallest: float
    alpha: float
    images: int
    forwards: int
    notes: tuple[str, ...] = ()

    def _card(self) -> Card:
        rows = [
            {
                "cue": s.name,
                "family": s.family,
                "flip": s.flip,
                "control": s.control,
                "reliance": s.reliance,
                "p adjusted": s.p_adjusted,
            }
            for s in self.shortcuts
        ]
        example = next((e for s in self.shortcuts for e in s.examples), None)
        pictures = (
            []
            if example is None
            else [
                (example.source, "Image that the cue comes from"),
                (example.target, "Image of another class"),
                (example.pasted, "The same image with the cue"),
            ]
        )
        count = len(rows)
        return Card(
            headline=f"{count} cue{'' if count == 1 else 's'} claimed of {len(self.table):,} tests "
            f"on {self.images:,} images",
            word="cue found" if rows else "nothing found",
            tone="alarm" if rows else "plain",
            facts={"smallest effect that matters": self.smallest, "alpha": self.alpha},
            tables=[("Share of images of other classes that follow the cue", pd.DataFrame(rows))]
            if rows
            else [],
            pictures=pictures,
            notes=self.notes,
        )
