"""Sections of a risk page: correlations, scores by group, calibration, histograms, latent space."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sundog.report.density_figure import density_figure
from sundog.report.latent_figure import latent_figure
from sundog.report.page import Section
from sundog.report.phrases import correlation, counted, joined, share
from sundog.report.picture import Picture
from sundog.report.reliability_figure import bin_accuracy, reliability_figure
from sundog.report.risk_content import Latent, Reliability, RiskPage
from sundog.report.risk_headline import worst_row
from sundog.report.scatter_figure import scatter_figure
from sundog.report.score_tables import score_tables
from sundog.report.table import Column, Table


def correlations_section(content: RiskPage) -> Section:
    """Return how far the risks go together; always there, with the reason if it is not known."""
    title = "Do the risks say the same?"
    if not content.correlations:
        names = [f.title for f in content.fields]
        why = content.correlation_missing or (
            f"only {names[0]} was measured" if len(names) == 1 else "no risk was measured"
            if not names else "the correlation was not computed"
        )  # fmt: skip
        return Section(title=title, text=[f"Correlation of the risks: not available, {why}."])
    frame = pd.DataFrame(
        [
            {"first": c.a, "second": c.b, "rho": c.rho, "images": c.rho.n}
            for c in content.correlations
        ]
    )
    scores = {f.title.lower(): f.scores for f in content.fields if len(f.scores)}
    near = [c for c in content.correlations if abs(c.rho.value) > 0.8]
    notes = [
        "High representation is safe, high epistemic and aleatoric are risky: a negative "
        "correlation with representation is what one expects."
    ]
    if near:
        pairs = [f"{c.a} with {c.b}" for c in near]
        notes.append(
            f"Nearly the same order ({joined(pairs)}): read them as one measurement, not as two."
        )
    pictures = []
    if len(scores) > 1:
        pictures.append(
            Picture(
                scatter_figure(
                    scores,
                    correct=content.correct,
                    correlations={(c.a.lower(), c.b.lower()): c.rho for c in content.correlations},
                ),
                "Every image at its percentiles of two risks.",
                "Scatter plots of pairs of risks: "
                + "; ".join(f"{c.a} and {c.b} {correlation(c.rho)}" for c in content.correlations)
                + ".",
            )
        )
    return Section(
        title=title,
        text=[
            "Spearman correlation over the images. No method gives fully separate kinds of risk, "
            "so it is always shown how far they go together."
        ],
        tables=[
            Table(
                frame,
                "Correlation of every two risks, 95 % intervals.",
                {
                    "rho": Column("Spearman correlation", format="decimal", digits=2),
                    "images": Column(format="integer"),
                },
            )
        ],
        pictures=pictures,
        notes=notes,
    )


def scores_section(content: RiskPage) -> list[Section]:
    """Return the scores of all images, of each way to reject images, and of each group."""
    notes = []
    worst = worst_row(content)
    caption = "All images, then group by group, worst accuracy first." if content.groups else ""
    if worst is not None:
        accuracy = content.worst or worst.scores["accuracy"]
        caption += f" Worst: {worst.name}, {share(accuracy)}."
    tables = score_tables(
        content.groups,
        caption=caption or "The classifier on all images.",
        first="group" if content.groups else "images of",
        above=replace(content.overall, name="all images") if content.overall else None,
        sort="accuracy",
    )
    empty = [row.name for row in content.groups if not row.n]
    if empty:
        notes.append(f"Groups without an image: {joined(empty)}.")
    if content.worst is not None and content.groups:
        notes.append(
            "The interval of the worst group allows for its having been picked as the worst."
        )
    if content.rankings:
        tables += score_tables(
            content.rankings, caption="By each score.", first="sorted by", mark=True
        )
        notes.append(
            "AURC: mean error over all coverages; AUGRC: mean share of images that are accepted "
            "and wrong; errors at 80\u00a0% coverage: after the riskiest fifth is rejected."
        )
    return [Section(title="Scores, and for whom", tables=tables, notes=notes)] if tables else []


def reliability_section(reliability: Reliability) -> Section:
    """Return confidence against accuracy."""
    rows = [row for row in reliability.table.to_dict("records") if int(row["n"]) > 0]
    over = sum(bin_accuracy(row).high < float(row["confidence"]) for row in rows)
    under = sum(bin_accuracy(row).low > float(row["confidence"]) for row in rows)
    return Section(
        title="Is it as sure as it is right?",
        text=[
            f"Of {counted(len(rows), 'bin')} with images, surer than right by more than the "
            f"interval: {over}; less sure than right: {under}."
        ],
        pictures=[
            Picture(
                reliability_figure(reliability),
                "Reliability diagram, with the number of images in each bin below.",
                "Reliability diagram: expected calibration error "
                f"{share(reliability.ece, digits=1)}; {over} bins overconfident, "
                f"{under} underconfident.",
                "chart",
            )
        ],
    )


def histograms_section(content: RiskPage) -> list[Section]:
    """Return the scores of each class or group as histograms, one section per split."""
    sections = []
    for split in content.splits:
        pictures = [
            Picture(
                density_figure(
                    field.scores,
                    members=split.members,
                    names=split.names,
                    score=field.title.lower(),
                    low_words=field.words.low,
                    high_words=field.words.high,
                ),
                f"{field.title} by {split.name}.",
                f"Histograms of {field.title} for {counted(len(split.names), split.name)}, lowest "
                "median first.",
                "chart",
            )
            for field in content.fields
            if len(field.scores)
        ]
        if pictures:
            sections.append(Section(title=f"Risk by {split.name}", pictures=pictures))
    return sections


def latent_section(latent: Latent) -> Section:
    """Return the traversal of the latent space with its densities."""
    return Section(
        title="What the latent space holds",
        text=[
            "One dimension moves from left to right while the others stay at their mean; below, "
            "how many images lie at each value. Where the bars are low, such images are rare."
        ],
        pictures=[
            Picture(
                latent_figure(latent),
                "Latent traversal with the density of the images.",
                f"Decoded images along {counted(len(latent.names), 'latent dimension')}, with a "
                "histogram of the images' values under each row.",
            )
        ],
    )
