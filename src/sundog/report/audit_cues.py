"""Cues in the report of an audit: what drags the prediction with it, the evidence, what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sundog.core.audit.cues import CueRecord, Dose
from sundog.core.audit.summary import AuditSummary
from sundog.report import phrases
from sundog.report.audit_commands import Commands
from sundog.report.audit_pictures import LARGE, Shelf, rows_of
from sundog.report.audit_words import (
    SPURIOUS,
    adjusted,
    bare_points,
    bare_share,
    clip,
    dismissed,
    known,
    listed,
    people,
    percent,
    points,
    remarks,
)
from sundog.report.blocks import Action, Badge, Gallery, Photo
from sundog.report.dose_curve import DoseCurve
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section

TITLE = "Cues that it relies on"
OPEN, MOST, EXAMPLES = 4, 20, 2
"""Cues shown open, cues shown at all, and transplants pictured of each."""
ROLES = ("Comes from", "Put into", "Result")
EXPLAINED = (
    "A cue is a part or property of the image that, moved into an image of another class, takes "
    "the prediction with it. The control moves the same part from another image of the receiver's "
    "own class: whatever the moving itself does to the picture, the control does too."
)


def cues_section(summary: AuditSummary, shelf: Shelf, commands: Commands) -> list[Section]:
    """Return the section of claimed cues, or none if nothing is claimed."""
    if not summary.cues:
        return []
    ordered = order_cues(summary)
    shown = ordered[:MOST]
    hidden = len(ordered) - len(shown)
    notes = [f"{hidden} more claimed cues are in audit.json."] if hidden else []
    return [
        Section(
            title=TITLE,
            text=[EXPLAINED],
            parts=[
                _cue(cue, summary, shelf, commands, number=number)
                for number, cue in enumerate(shown, start=1)
            ],
            notes=notes,
        )
    ]


def order_cues(summary: AuditSummary) -> list[CueRecord]:
    """Return the cues as claimed (strongest first), those that people rejected last."""
    return sorted(summary.cues, key=lambda cue: dismissed(summary, cue.id))


def claim(cue: CueRecord) -> str:
    """Return one sentence: what the cue does to images of other classes, and what its control."""
    goal = f"'{clip(cue.classes[0], 60)}'" if len(cue.classes) == 1 else "the class it came from"
    flip = known(cue.flip)
    text = (
        f"Moved into {flip.n:,} images of other classes, it turns {phrases.share(flip)} of the "
        f"predictions into {goal}"
    )
    if not math.isnan(known(cue.control).value):
        text += f"; its control turns {phrases.share(known(cue.control))}"
    return text + "."


def pull(cue: CueRecord) -> str:
    """Return one sentence on the number that the claim is made from, or nothing."""
    if cue.pull is None or math.isnan(known(cue.pull).value):
        return ""
    return (
        f"Tested on the probabilities: it moves {points(cue.pull)}, from the label to the class it "
        "came from, the control subtracted; more than sound models show "
        f"({adjusted(cue.p_adjusted)} over all candidates)."
    )


def reliance(cue: CueRecord) -> str:
    """Return one sentence on the accuracy that hangs on the cue, or nothing."""
    if math.isnan(known(cue.reliance).value):
        return ""
    return (
        f"The accuracy that hangs on it: {points(cue.reliance)}. With the part of another image of "
        f"the same class the classifier is right on {bare_share(cue.intact)} of these images, with "
        f"that of another class on {bare_share(cue.swapped)}."
    )


def _cue(
    cue: CueRecord, summary: AuditSummary, shelf: Shelf, commands: Commands, *, number: int
) -> Section:
    verdict = summary.verdicts.get(cue.id)
    return Section(
        title=f"{number}. {_capital(clip(cue.name))}",
        badges=[
            Badge(adjusted(cue.p_adjusted)),
            Badge("part of the image" if cue.kind == "local" else "property of the whole image"),
            Badge(f"speaks for {listed(cue.classes)}"),
            Badge(people(summary, cue.id), "alarm" if verdict in SPURIOUS else "plain"),
        ],
        text=[claim(cue), *filter(None, [pull(cue), reliance(cue)])],
        galleries=_galleries(cue, shelf),
        charts=[_chart(cue)],
        curves=_curves(cue),
        action=_action(cue, summary, commands),
        notes=remarks(cue.note, summary.judged_before.get(cue.id)),
        fold=number > OPEN,
    )


def _galleries(cue: CueRecord, shelf: Shelf) -> list[Gallery]:
    captions = [*cue.captions, *[""] * (len(cue.pictures) - len(cue.captions))]
    name = clip(cue.name, 60)
    files = cue.pictures[: len(ROLES) * EXAMPLES]
    photos = [
        shelf.photo(
            file,
            head=ROLES[place % len(ROLES)],
            words=clip(captions[place], 60),
            alt=f"{ROLES[place % len(ROLES)]}: {name}. {clip(captions[place])}".strip(),
            side=LARGE,
        )
        for place, file in enumerate(files)
    ]
    found: list[Gallery] = []
    rows = rows_of(photos, len(ROLES))
    if rows:
        found.append(Gallery("The same image, without the cue and with it", rows, len(ROLES)))
    mask = _mask(cue, shelf)
    return [*found, Gallery("Where it is", [mask], 1)] if mask is not None else found


def _mask(cue: CueRecord, shelf: Shelf) -> Photo | None:
    if cue.mask is None:
        return None
    where = ""
    if cue.box is not None:
        top, left, height, width = cue.box
        where = (
            f"{percent(width)} × {percent(height)} of the image, {percent(left)} from the left, "
            f"{percent(top)} from the top"
        )
    return shelf.photo(
        cue.mask,
        words=where,
        alt=f"Mask of {clip(cue.name, 60)}, white where it is. {where}".strip(),
        side=LARGE,
    )


def _chart(cue: CueRecord) -> IntervalChart:
    rows = [
        IntervalRow("moved into images of other classes", known(cue.flip)),
        IntervalRow("control: from the own class", known(cue.control), muted=True),
    ]
    if cue.random_place is not None:
        rows.append(IntervalRow("moved to a random place", known(cue.random_place), muted=True))
    rows.append(
        IntervalRow(
            "difference to the control",
            known(cue.excess),
            note="interval corrected, too",
        )
    )
    lows = [row.value.low for row in rows if math.isfinite(row.value.low)]
    return IntervalChart(
        rows=rows,
        caption="Share of images whose prediction becomes the cue's class",
        span=(min(0.0, *lows), 1.0) if lows else None,
        count="images",
    )


def _curves(cue: CueRecord) -> list[DoseCurve]:
    curves = []
    for what, across in (("opacity", "opacity of the cue"), ("size", "size of the cue")):
        doses: Sequence[Dose] = [dose for dose in cue.dose if dose.what == what and dose.dose > 0]
        measured = [(d.dose, known(d.flip)) for d in doses if d.flip.value is not None]
        if len(measured) < 2:
            continue
        control = known(cue.control).value
        curves.append(
            DoseCurve(
                title=f"Share that follows, by {what}; band: interval.",
                points=measured,
                across=across,
                reference=None if math.isnan(control) else control,
                reference_name="" if math.isnan(control) else "control",
            )
        )
    return curves


def _action(cue: CueRecord, summary: AuditSummary, commands: Commands) -> Action:
    if dismissed(summary, cue.id):
        return Action(f"Nothing: {people(summary, cue.id)}. It is left out of the repairs.")
    size = known(cue.reliance).value
    worth = "" if math.isnan(size) or size <= 0 else f" About {bare_points(size)} of accuracy will "
    worth += "fall away where the cue is missing or wrong." if worth else ""
    if summary.verdicts.get(cue.id) in SPURIOUS:
        return Action(
            f"Mend the classifier without it, then audit it again on the same images.{worth}",
            f"{commands.debias}\n{commands.again}",
        )
    return Action(
        "Does it belong to the class? Judge it on the review page. If it does not, mend the "
        f"classifier without it and audit it again on the same images.{worth}",
        f"{commands.review}\n{commands.debias}\n{commands.again}",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def strongest(summary: AuditSummary) -> CueRecord | None:
    """Return the first cue that nobody rejected, or None."""
    return next((cue for cue in summary.cues if not dismissed(summary, cue.id)), None)
