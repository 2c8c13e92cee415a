"""Sections of a debiasing page: groups, cues again, refusals, weights, frozen windows, epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sundog.core.statistics import Estimate
from sundog.report.before_after import estimate
from sundog.report.debias_content import DebiasPage, FrozenWindows, Refused, SamplingReport
from sundog.report.debias_headline import fed
from sundog.report.epochs_figure import epochs_figure
from sundog.report.page import Section
from sundog.report.phrases import counted, joined, share
from sundog.report.picture import Picture
from sundog.report.risk_curves import frozen_curve_figure
from sundog.report.table import Column, Table

MOST_GROUPS, MOST_METHODS, MOST_EPOCHS = 40, 3, 12
UNIFORM, SMALL = 1.05, 0.2
"""Below this ratio weights are uniform in practice; below this share few images rule."""


def groups_section(content: DebiasPage) -> list[Section]:
    """Return the accuracy of every group, before and after, lowest first."""
    before = content.baseline.groups
    names = list(dict.fromkeys([*before, *(g for m in content.methods for g in m.groups)]))
    if not names:
        return []
    names.sort(key=lambda g: _order(before.get(g, math.nan)))
    known = sorted((m for m in content.methods if m.groups), key=lambda m: m.name != content.chosen)
    methods = known[:MOST_METHODS]
    shown = names[:MOST_GROUPS]
    frame = pd.DataFrame(
        [
            {
                "group": name,
                "images": content.group_sizes.get(name, math.nan),
                "before": before.get(name, math.nan),
                **{f"m{i}": m.groups.get(name, math.nan) for i, m in enumerate(methods)},
            }
            for name in shown
        ]
    )
    caption = "Accuracy of each group, lowest first."
    if len(names) > len(shown):
        caption += f" {len(names) - len(shown)} more groups are not shown."
    if len(known) > len(methods):
        caption += f" {len(known) - len(methods)} of the methods are left out here."
    columns = {
        "images": Column(format="integer"),
        "before": Column(f"before ({content.baseline.name})", format="percent", digits=1),
    }
    for i, m in enumerate(methods):
        title = f"★ {m.name}" if m.name == content.chosen else m.name
        columns[f"m{i}"] = Column(title, format="percent", digits=1)
    return [Section(title="Group by group", tables=[Table(frame, caption, columns)])]


def cues_section(content: DebiasPage) -> Section:
    """Return every known cue again; always there, because mending one can feed another."""
    title = "Did mending one shortcut feed another?"
    if not content.cues:
        return Section(
            title=title,
            text=["No cue was looked at again, so this is not known. Name the other cues that the "
                  "inspection found to have them audited after the repair."],
        )  # fmt: skip
    methods = list(dict.fromkeys(name for c in content.cues for name in c.after))
    methods.sort(key=lambda name: name != content.chosen)
    shown = methods[:MOST_METHODS]
    measures = {c.measure for c in content.cues}
    frame = pd.DataFrame(
        [
            {
                "cue": f"{c.cue} (repaired)" if c.repaired else c.cue,
                **({} if len(measures) == 1 else {"measure": c.measure}),
                "images": c.n or math.nan,
                "before": c.before,
                **{f"a{i}": c.after.get(name, math.nan) for i, name in enumerate(shown)},
                **{f"c{i}": c.change.get(name, math.nan) for i, name in enumerate(shown[:1])},
            }
            for c in content.cues
        ]
    )
    others = [c for c in content.cues if not c.repaired]
    text = []
    for name in methods:
        worse = fed(content.cues, name)
        if worse:
            text.append(f"{name} leans more on {joined(worse)} than the model before.")
    if not others:
        text.append("Only the repaired cue is known; no other cue was audited again.")
    elif not text:
        text.append(
            f"Of {counted(len(others), 'other cue')}, none is shown to be leaned on more after the "
            "repair (no paired interval lies above zero)."
        )
    columns = {
        "images": Column(format="integer"),
        "before": Column(format="percent", digits=1, better="lower", mark=False),
    }
    for i, name in enumerate(shown):
        mark = "★ " if name == content.chosen else ""
        columns[f"a{i}"] = Column(f"{mark}{name}", format="percent", digits=1)
    if shown:
        columns["c0"] = Column("change (points)", format="points", digits=1)
    what = f" ({measures.pop()})" if len(measures) == 1 else ""
    caption = f"Reliance on every known cue{what}; lower is better."
    if shown and any(shown[0] in c.change for c in content.cues):
        caption += f" Change: {shown[0]} minus before, paired."
    if len(methods) > len(shown):
        caption += f" {len(methods) - len(shown)} of the methods are left out here."
    return Section(title=title, text=text, tables=[Table(frame, caption, columns)])


def refused_section(refused: Sequence[Refused]) -> list[Section]:
    """Return the methods that were not run, and why."""
    if not refused:
        return []
    frame = pd.DataFrame(
        [
            {"method": r.name, "gate": r.gate, "why": r.reason, "try instead": r.instead or "–"}
            for r in refused
        ]
    )
    return [
        Section(
            title="What was refused, and why",
            text=["A method that cannot work here is not run: it could only make things worse."],
            tables=[Table(frame, f"{counted(len(refused), 'method')} refused.")],
        )
    ]


def sampling_section(report: SamplingReport) -> Section:
    """Return what sampling weights were worth, epoch by epoch."""
    epochs = report.epochs
    share_of, ratio = epochs["effective_size"], epochs["ratio"]
    shown = epochs
    caption = f"Sampling weights over {report.count:,} training images."
    if len(epochs) > MOST_EPOCHS:
        half = MOST_EPOCHS // 2
        shown = pd.concat([epochs.iloc[:half], epochs.iloc[-half:]])
        caption += f" {len(epochs) - MOST_EPOCHS} rows in the middle are not shown."
    shown = shown.copy()
    if "warning" in shown:
        shown["warning"] = ["–" if pd.isna(w) or not str(w) else str(w) for w in shown["warning"]]
    uniform, small = int((ratio < UNIFORM).sum()), int((share_of < SMALL).sum())
    text = [
        "Effective size: as many equally likely images would vary as much; 100\u00a0% is uniform, "
        "a small share means that few images are drawn again and again. Ratio: the largest weight "
        "over the smallest."
    ]
    of = counted(len(epochs), "row")
    if uniform:
        text.append(f"Practically uniform (ratio below {UNIFORM}) in {uniform} of {of}: the "
                    "resampling did nothing there.")  # fmt: skip
    if small:
        text.append(f"Effective size below {SMALL:.0%} in {small} of {of}: few images rule.")
    if not uniform and not small:
        text.append(f"Neither practically uniform nor ruled by few images in any of {of}.")
    return Section(
        title=f"What the sampling weights were worth: {report.method}",
        text=text,
        tables=[
            Table(
                shown,
                caption,
                {
                    "effective_size": Column("effective size", format="percent", digits=0),
                    "ratio": Column("largest / smallest", format="decimal", digits=2),
                },
            )
        ],
    )


def frozen_section(frozen: FrozenWindows, baseline: str) -> Section:
    """Return accuracy along a risk before and after, in the same windows."""
    measure = (
        "accuracy" if "accuracy" in frozen.before.measures else next(iter(frozen.before.measures))
    )
    first = {baseline: frozen.before, **frozen.after}
    told = "; ".join(f"{name} {share(w.measures[measure][0])}" for name, w in first.items())
    return Section(
        title=f"Accuracy along {frozen.title}, before and after",
        text=[
            "The windows are those of the model before and hold the same images for every model "
            f"(frozen). The {frozen.low_words} images: {told}."
        ],
        pictures=[
            Picture(
                frozen_curve_figure(
                    frozen.before,
                    frozen.after,
                    low_words=frozen.low_words,
                    high_words=frozen.high_words,
                    field=frozen.title,
                    measure=measure,
                    before_name=baseline if baseline == "before" else f"{baseline} (before)",
                ),
                "Left to right: from the lowest to the highest values of the model before.",
                f"Line chart of {measure} in {counted(len(frozen.before.n), 'window')}; the "
                f"{frozen.low_words} images: {told}.",
            )
        ],
    )


def epochs_section(epochs: pd.DataFrame | None) -> list[Section]:
    """Return accuracy epoch by epoch, if it is known."""
    if epochs is None or not len(epochs):
        return []
    names = list(dict.fromkeys(epochs["method"].astype(str)))
    return [
        Section(
            title="Epoch by epoch",
            pictures=[
                Picture(
                    epochs_figure(epochs),
                    "Validation accuracy while training.",
                    f"Accuracy against the epoch for {joined(names)}.",
                    "chart",
                )
            ],
        )
    ]


def _order(value: Estimate | float) -> tuple[bool, float]:
    number = estimate(value).value
    return (math.isnan(number), number)
