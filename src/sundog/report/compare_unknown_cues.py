"""The cues of a comparison: what was claimed in one model, and what it does to every model."""

from __future__ import annotations

import pandas as pd

from sundog.core.audit.comparison import CrossedRecord, ModelComparison
from sundog.core.audit.cues import CueRecord
from sundog.report.audit_pictures import LARGE, Shelf, rows_of
from sundog.report.audit_words import adjusted, clip, listed
from sundog.report.blocks import Badge, Gallery
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section
from sundog.report.table import Column, Table

ROLES = ("Comes from", "Put into", "Result")
OPEN, EXAMPLES = 3, 2


def cues_section(comparison: ModelComparison, shelf: Shelf) -> list[Section]:
    """Return the section of claimed cues with one part per cue, or none if nothing is claimed."""
    records = {cue.id: cue for model in reversed(comparison.models) for cue in model.cues}
    crossed = {entry.cue: entry for entry in comparison.crossed}
    order = sorted(records, key=lambda key: -_weight(records[key], crossed.get(key)))
    if not order:
        return []
    return [
        Section(
            title="The cues, on every model",
            text=[
                "Each claimed cue is moved between the same images before the eyes of every model. "
                "The control moves it from another image of the receiver's own class. Accuracy "
                "intact: with that control; swapped: with the part of an image of another class."
            ],
            parts=[
                _part(records[key], crossed.get(key), comparison, shelf, fold=place >= OPEN)
                for place, key in enumerate(order)
            ],
        )
    ]


def _weight(record: CueRecord, crossed: CrossedRecord | None) -> float:
    values = [record.reliance.value or 0.0]
    values += [] if crossed is None else [m.reliance.value or 0.0 for m in crossed.models]
    return max(values)


def _part(
    record: CueRecord,
    crossed: CrossedRecord | None,
    comparison: ModelComparison,
    shelf: Shelf,
    *,
    fold: bool,
) -> Section:
    claimed = [m.run for m in comparison.models if any(c.id == record.id for c in m.cues)]
    galleries = _galleries(record, shelf)
    badges = [
        Badge(adjusted(record.p_adjusted)),
        Badge(f"claimed in {listed(claimed)}", "alarm"),
        Badge(f"speaks for {listed(record.classes) if record.classes else 'every class'}"),
    ]
    name = clip(record.name)
    title = name[:1].upper() + name[1:]
    if crossed is None:
        return Section(
            title=title,
            badges=badges,
            galleries=galleries,
            notes=["It could not be tested on the other models."],
            fold=fold,
        )
    return Section(
        title=title,
        badges=badges,
        galleries=galleries,
        charts=[_chart(crossed)],
        tables=[_table(crossed), *_contrasts(crossed)],
        notes=[record.note] if record.note else [],
        fold=fold,
    )


def _galleries(record: CueRecord, shelf: Shelf) -> list[Gallery]:
    captions = [*record.captions, *[""] * (len(record.pictures) - len(record.captions))]
    photos = [
        shelf.photo(
            file,
            head=ROLES[place % len(ROLES)],
            words=clip(captions[place], 60),
            alt=f"{ROLES[place % len(ROLES)]}: {clip(record.name, 60)}. {clip(captions[place])}",
            side=LARGE,
        )
        for place, file in enumerate(record.pictures[: len(ROLES) * EXAMPLES])
    ]
    rows = rows_of(photos, len(ROLES))
    found = [Gallery("Transplants: donor, receiver, and what comes out", rows, 3)] if rows else []
    if record.mask is not None:
        mask = shelf.photo(
            record.mask,
            words="white: the cue",
            alt=f"Mask of {clip(record.name, 60)}, white where it is.",
            side=LARGE,
        )
        found += [Gallery("Where it is", [mask], 1)] if mask is not None else []
    return found


def _chart(crossed: CrossedRecord) -> IntervalChart:
    rows = []
    for model in crossed.models:
        name = clip(model.run, 40)
        rows.append(IntervalRow(f"{name}: follows the cue", model.flip.estimate()))
        rows.append(IntervalRow(f"{name}: control", model.control.estimate(), muted=True))
    return IntervalChart(
        rows=rows,
        caption="Share of images whose prediction becomes the class that the cue comes from",
        count="images",
    )


def _table(crossed: CrossedRecord) -> Table:
    frame = pd.DataFrame(
        [
            {
                "model": clip(m.run, 60),
                "excess": m.excess.estimate(),
                "intact": m.intact.estimate(),
                "swapped": m.swapped.estimate(),
                "reliance": m.reliance.estimate(),
                "pull": m.pull.estimate(),
                "n": m.reliance.n,
            }
            for m in crossed.models
        ]
    )
    level = crossed.models[0].excess.level
    return Table(
        frame=frame,
        caption=f"Intervals of excess, reliance and pull hold together over all cues and models "
        f"(each {100 * level:.4g}\u00a0%). Pull: probability that moves to the donor's class, "
        "beyond that of a part of the same size elsewhere; sound models show up to "
        f"{100 * crossed.margin:.0f} points.",
        columns={
            "excess": Column("flips − control (points)", format="points", digits=1),
            "intact": Column("accuracy intact", format="percent", digits=1),
            "swapped": Column("swapped", format="percent", digits=1),
            "reliance": Column("hangs on it (points)", format="points", digits=1),
            "pull": Column("pull (points)", format="points", digits=1),
        },
    )


def _contrasts(crossed: CrossedRecord) -> list[Table]:
    if not crossed.contrasts:
        return []
    frame = pd.DataFrame(
        [
            {
                "models": f"{clip(c.first, 40)} − {clip(c.second, 40)}",
                "excess": c.excess.estimate(),
                "p": c.p_excess,
                "reliance": c.reliance.estimate(),
                "p of reliance": c.p_reliance,
            }
            for c in crossed.contrasts
        ]
    )
    return [
        Table(
            frame=frame,
            caption="Difference between the models on the same images and donors; p by sign flips, "
            "Holm-corrected over all cues and pairs.",
            columns={
                "excess": Column("flips (points)", format="points", digits=1),
                "p": Column("p of flips", format="p"),
                "reliance": Column("reliance (points)", format="points", digits=1),
                "p of reliance": Column(format="p"),
            },
        )
    ]
