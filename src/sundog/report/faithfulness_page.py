"""The page of a faithfulness run: which explanation to trust, how sure that is, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sundog.core.statistics import Estimate
from sundog.report.bars import bar_figure, forest_figure
from sundog.report.curves import Curve, curve_figure
from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.table import Column, Table

GROUP = ["metric", "fill", "spacing", "axis"]
FOREST_ROWS = 30


def faithfulness_page(
    *,
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    curves: pd.DataFrame,
    agreement: pd.DataFrame,
    randomised: pd.DataFrame | None = None,
    directions: Mapping[str, bool],
    best: Mapping[str, Sequence[str]],
    facts: Mapping[str, object],
    notes: Sequence[str] = (),
    command: str = "",
) -> Page:
    """Build the page from the tables of a faithfulness run.

    Args:
        summary: one row per score and method.
        comparisons: paired differences with corrected p-values.
        curves: mean curves with pointwise intervals.
        agreement: Kendall's tau between fills.
        randomised: similarity of each method's maps to those of a random network, or None.
        directions: metric -> whether higher is better.
        best: metric -> the methods that none is shown to beat, best mean first.
        facts: images and classifier.
        notes: what was left out.
        command: how to reproduce.
    """
    sections = []
    for key, part in summary.groupby(GROUP, sort=False):
        names = dict(zip(GROUP, (str(k) for k in key), strict=True))
        sections.append(
            _section(
                names,
                part,
                _same(comparisons, names),
                _same(curves, names) if len(curves) else curves,
                higher=directions[names["metric"]],
            )
        )
    if len(agreement):
        sections.append(
            Section(
                title="Do the fills agree?",
                text=[
                    "Kendall's tau between the rankings of the methods by two fills; 1 = the same."
                ],
                tables=[Table(frame=agreement, caption="Agreement between fills.")],
            )
        )
    if randomised is not None:
        sections.append(_randomised_section(randomised))
    sections += [
        Section(title="Images and classifier", facts=facts),
        Section(
            title="Limits",
            text=[
                "A filled image is unlike any the classifier was trained on; a method that ranks "
                "well under one fill only says more about the fill. The control rows know nothing "
                "of the classifier: a method that does not beat them explains nothing here."
            ],
            notes=notes,
        ),
        Section(title="How to reproduce", code=command or "see manifest.json"),
    ]
    return Page(
        title="Which explanation to trust",
        headline=_headline(summary, comparisons, best),
        lead="Every difference is paired over the same images and corrected for the number of "
        "comparisons (Holm). Where no difference is shown, no winner is named.",
        sections=sections,
    )


def _randomised_section(randomised: pd.DataFrame) -> Section:
    return Section(
        title="Do the maps notice other weights?",
        text=[
            "Each method's maps of this network against its maps of a copy with random weights, "
            "for the same class. 1 = the map did not notice: it shows the picture, not the "
            "network. Low is necessary, not sufficient."
        ],
        tables=[
            Table(
                frame=randomised,
                caption="Rank correlation of magnitudes and structural similarity, 95 % intervals.",
                columns={"mean": Column(better="lower", mark=False)},
            )
        ],
    )


def _headline(
    summary: pd.DataFrame, comparisons: pd.DataFrame, best: Mapping[str, Sequence[str]]
) -> str:
    parts = []
    for metric, names in best.items():
        rows = summary[summary["metric"] == metric]
        key = {column: str(rows[column].iloc[0]) for column in GROUP}
        count = int(_same(rows, key)["n"].max())
        against = _same(comparisons, key)
        rivals = against[(against["kind"] == "controls") & (against["b"] == "random")]
        beats = set(rivals.loc[rivals["better"] == rivals["a"], "a"])
        useless = [name for name in names if len(rivals) and name not in beats]
        if len(names) == 1:
            text = f"{names[0]} is best by {metric}{_fill(key)} on {count} images"
        else:
            text = (
                f"by {metric}{_fill(key)} on {count} images no method is shown to beat "
                f"{_join(names)}"
            )
        if useless:
            text += f" ({_join(useless)} not shown to beat a random map)"
        parts.append(text)
    headline = "; ".join(parts) + "."
    return headline[0].upper() + headline[1:]


def _fill(key: Mapping[str, str]) -> str:
    return f" ({key['fill']} fill)" if key["fill"] else ""


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _same(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    kept = frame
    for column, value in names.items():
        if column in kept:
            kept = kept[kept[column] == value]
    return kept


def _section(
    names: Mapping[str, str],
    part: pd.DataFrame,
    pairs: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    higher: bool,
) -> Section:
    title = names["metric"].replace("_", " ").capitalize()
    details = [f"{names['fill']} fill"] if names["fill"] else []
    if names["spacing"] == "log":
        details.append("log-spaced" + (", area over log share" if names["axis"] == "log" else ""))
    if details:
        title += f" ({', '.join(details)})"
    better = "higher" if higher else "lower"
    known = part[part["mean"].notna() & part["low"].notna()]
    pictures = []
    if len(known):
        pictures.append(
            Picture(
                source=bar_figure(
                    known[["method", "mean", "low", "high", "control", "n"]],
                    score=f"mean {names['metric'].replace('_', ' ')}",
                    lower_is_better=not higher,
                ),
                caption=f"Means with 95 % intervals; {better} is better. Hatched: control maps.",
                alt=f"Bar chart of the mean {names['metric']} of {len(known)} methods.",
                kind="chart",
            )
        )
    pictures += _forest(names, pairs, higher=higher)
    if len(curves):
        pictures.append(_curve_picture(names, curves, part, higher=higher))
    return Section(
        title=title,
        tables=[
            Table(
                frame=_with_intervals(part),
                caption=f"{better.capitalize()} is better; means with 95 % intervals over images.",
                columns={
                    "mean": Column(better="higher" if higher else "lower"),
                    "std": Column("standard deviation"),
                    "seconds": Column("seconds per map"),
                    "forwards": Column("passes per map", digits=1),
                },
                muted=part["control"].tolist(),
            )
        ],
        pictures=pictures,
    )


def _with_intervals(part: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the page, the mean with its interval in one cell."""
    means = [
        Estimate(row["mean"], row["low"], row["high"], int(row["n"]), 0.95, "t")
        for row in part.to_dict("records")
    ]
    shown = part[["method", "std", "n", "missing", "seconds", "forwards"]].copy()
    shown.insert(1, "mean", pd.Series(means, index=part.index, dtype=object))
    return shown


def _forest(names: Mapping[str, str], pairs: pd.DataFrame, *, higher: bool) -> list[Picture]:
    methods = pairs[(pairs["kind"] == "methods") & pairs["difference"].notna()]
    if methods.empty:
        return []
    shown = methods.head(FOREST_ROWS)
    table = pd.DataFrame(
        {
            "comparison": shown["a"] + " − " + shown["b"],
            "difference": shown["difference"],
            "low": shown["low"],
            "high": shown["high"],
            "p": shown["p_holm"],
            "n": shown["n"],
        }
    )
    first, second = (
        ("second better", "first better") if higher else ("first better", "second better")
    )
    rest = f" The first {FOREST_ROWS} of {len(methods)} pairs." if len(methods) > len(shown) else ""
    return [
        Picture(
            source=forest_figure(
                table,
                score=f"paired difference in {names['metric'].replace('_', ' ')}",
                left_means=first,
                right_means=second,
            ),
            caption="Paired differences on the same images with 95 % intervals; p after Holm."
            + rest,
            alt=f"Forest plot of {len(shown)} paired differences.",
            kind="chart",
        )
    ]


def _curve_picture(
    names: Mapping[str, str], curves: pd.DataFrame, part: pd.DataFrame, *, higher: bool
) -> Picture:
    controls = set(part.loc[part["control"], "method"])
    drawn: dict[str, Any] = {}
    for method, rows in curves.groupby("method", sort=False):
        ordered = rows.sort_values("x")
        drawn[str(method)] = Curve(
            x=ordered["x"].to_numpy(),
            y=ordered["mean"].to_numpy(),
            low=ordered["low"].to_numpy(),
            high=ordered["high"].to_numpy(),
            control=method in controls,
        )
    done = "revealed" if names["metric"] == "insertion" else "removed"
    return Picture(
        source=curve_figure(
            dict(list(drawn.items())[:30]),
            x_label=f"pixels {done}, most relevant first",
            lower_is_better=not higher,
        ),
        caption="Mean curves with pointwise 95 % intervals.",
        alt=f"Curves of the predicted class's probability while pixels are {done}.",
        kind="chart",
    )
