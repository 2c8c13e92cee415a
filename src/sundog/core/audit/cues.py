"""``cues.json``: the cues that an audit suspected, what the causal tests said, what is claimed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sundog.core.audit.measured import Measured
from sundog.core.inspection.record import FileRecord, Record

CUES_FILE = "cues.json"
CueKind = Literal["local", "whole"]


class Dose(Record):
    """Flip rate at one dose of a cue.

    Attributes:
        what: ``opacity`` or ``size``.
        dose: 1 = the whole cue.
        flip: share of the targets that follow.
    """

    what: Literal["opacity", "size"]
    dose: float
    flip: Measured


class CueRecord(Record):
    """One claimed cue: a component that drags the prediction with it.

    Attributes:
        id: 16 hex digits of kind, family, place and classes.
        family: which component was moved: ``window``, ``stamp``, ``frame``, ``colour``, ...
        kind: ``local`` (has a mask) or ``whole`` (a property of the whole image).
        name: a few words for people, e.g. ``patch, lower right``.
        classes: class names that the cue speaks for.
        flip: share of images of other classes that become the cue's class with it.
        control: the same with the component of an image of their own class.
        excess: flip - control, paired; the interval is corrected over all candidates.
        p: one-sided, that the pull is at most what sound models show.
        p_adjusted: corrected over all candidates (Holm).
        intact: accuracy with the own component replaced by that of the same class.
        swapped: accuracy of the same images with the component of another class.
        reliance: intact - swapped, paired: the accuracy that hangs on the cue.
        pull: probability that moves from the label to the donor's class, control subtracted, the
            mean over pairs, in [-1, 1]; the claim is that it exceeds what sound models show.
        component: what was moved, as JSON: :func:`sundog.data.components.component.make_component`
            builds it again, for instance to mend a model.
        random_place: flip rate when pasted at a random place; None for whole-image cues.
        elsewhere: flip rate of parts of the same size at other places; None for whole-image cues.
        removal: accuracy lost when the part is painted over, beyond painting over a part of the
            same size elsewhere; None for whole-image cues.
        dose: flip rate against size and opacity.
        box: (top, left, height, width) as shares of the image, or None.
        mask: picture in the run folder: white where the cue is (class-wide), or None.
        pictures: evidence pictures in the run folder, three by three: source, target, target with
            the cue.
        captions: a few words below each picture, e.g. what is predicted; empty for none.
        masks_table: Parquet in the run folder with one mask path per image that carries it.
        note: remarks.
    """

    id: str
    family: str
    kind: CueKind
    name: str
    classes: tuple[str, ...]
    flip: Measured
    control: Measured
    excess: Measured
    p: float
    p_adjusted: float
    intact: Measured
    swapped: Measured
    reliance: Measured
    pull: Measured | None = None
    component: dict[str, Any] = Field(default_factory=dict)
    random_place: Measured | None = None
    elsewhere: Measured | None = None
    removal: Measured | None = None
    dose: tuple[Dose, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: str | None = None
    pictures: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    masks_table: str | None = None
    note: str = ""


class CueTest(Record):
    """One candidate that was tested, claimed or not.

    Attributes:
        family: of the component.
        name: in words.
        class_name: the class whose component was moved; empty = all classes together.
        excess: flip - control.
        pull: probability that moves to the donor's class, control subtracted.
        margin: pull that sound models show without any cue; ``p`` is of pull - elsewhere <= margin.
        elsewhere: mean pull of parts of the same size elsewhere in the same images; None for a
            property of the whole image, of which there is no other.
        p: one-sided.
        p_adjusted: corrected over all tests.
        claimed: whether a cue is claimed from it.
        explained_by: the claimed cue that accounts for it, if so.
        detectable: smallest pull that this test would have claimed with 80 % power.
    """

    family: str
    name: str
    class_name: str
    excess: Measured
    p: float
    p_adjusted: float
    claimed: bool
    pull: Measured = Measured(value=None, n=0)
    margin: float = 0.0
    elsewhere: float | None = None
    explained_by: str = ""
    detectable: float | None = None


class Cues(FileRecord):
    """All suspected cues of one audit.

    Attributes:
        smallest: pull that matters.
        alpha: bound of the probability of any false claim.
        images: images that were used.
        tests: number of tests that the correction is for.
        claimed: cues, strongest first.
        tested: every test.
        notes: limits: what the images could not show.
    """

    format: Literal["sundog-cues"] = "sundog-cues"
    version: Literal[1] = 1
    smallest: float
    alpha: float
    images: int = Field(ge=0)
    tests: int = Field(ge=0)
    claimed: tuple[CueRecord, ...] = ()
    tested: tuple[CueTest, ...] = ()
    notes: tuple[str, ...] = ()
