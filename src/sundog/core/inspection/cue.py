"""What a finding shows that is no concept but a cue: a part of the image that drags predictions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sundog.core.audit.measured import Measured
from sundog.core.inspection.record import Record


class Transplant(Record):
    """Three pictures in the run folder: what was moved, into what, and what came out.

    Attributes:
        donor: image that the component is taken from.
        target: image of another class.
        moved: the target with the donor's component.
        captions: a few words below each of the three, e.g. what is predicted; may be empty.
    """

    donor: str
    target: str
    moved: str
    captions: tuple[str, str, str] = ("", "", "")


class CueFacts(Record):
    """The evidence of a cue, as far as a person needs it to judge.

    Attributes:
        family: which component was moved.
        place: ``local`` (a part of the image) or ``whole`` (a property of all of it).
        classes: class names that the cue speaks for.
        flip: share of images of other classes that become the cue's class with it.
        control: the same with the component of an image of their own class.
        excess: flip - control.
        reliance: accuracy that hangs on the cue.
        pull: probability that moves with it to the donor's class, control subtracted.
        mask: picture of where the cue is, or None.
        transplants: examples.
    """

    family: str
    place: Literal["local", "whole"]
    classes: tuple[str, ...] = Field(min_length=1)
    flip: Measured
    control: Measured
    excess: Measured
    reliance: Measured
    pull: Measured | None = None
    mask: str | None = None
    transplants: tuple[Transplant, ...] = ()

    def files(self) -> tuple[str, ...]:
        """Return every picture that the cue names."""
        shown = [f for t in self.transplants for f in (t.donor, t.target, t.moved)]
        return (*shown, *(() if self.mask is None else (self.mask,)))
