"""The table of faithfulness metrics: what the command line, the docs and the tests read."""

from __future__ import annotations

from dataclasses import dataclass

from sundog.core.errors import UnknownNameError


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        name: as typed by a user.
        higher_is_better: the direction.
        values: the range of values, and which of them is chance where that is known.
        needs_mask: whether it compares the map with a mask.
        cost: forward passes per image, F, beyond the clean image's.
        paper: authors, year, and arXiv id.
        convention: what exactly is computed, in one line.
    """

    name: str
    higher_is_better: bool
    values: str
    needs_mask: bool
    cost: str
    paper: str
    convention: str


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric(
            name="deletion",
            higher_is_better=False,
            values="0..1; compare with the random control",
            needs_mask=False,
            cost="steps - 2 F (+ 1 for a fill that depends on the image)",
            paper="Petsiuk, Das & Saenko, 2018, arXiv 1806.07421",
            convention="trapezoid area of p(predicted class) while the top pixels are filled",
        ),
        Metric(
            name="insertion",
            higher_is_better=True,
            values="0..1; compare with the random control",
            needs_mask=False,
            cost="steps - 2 F (+ 1 for a fill that depends on the image)",
            paper="Petsiuk, Das & Saenko, 2018, arXiv 1806.07421",
            convention="trapezoid area of p(predicted class) while the top pixels are revealed",
        ),
        Metric(
            name="relevance_mass",
            higher_is_better=True,
            values="0..1; chance = the mask's area share",
            needs_mask=True,
            cost="0 F",
            paper="Arras, Osman & Samek, 2022, arXiv 2003.07258",
            convention="share of the positive relevance inside the mask",
        ),
        Metric(
            name="mass_lift",
            higher_is_better=True,
            values=">= 0; chance = 1",
            needs_mask=True,
            cost="0 F",
            paper="Arras, Osman & Samek, 2022, arXiv 2003.07258 (mass over area share)",
            convention="relevance mass divided by the mask's area share",
        ),
        Metric(
            name="rank_accuracy",
            higher_is_better=True,
            values="0..1; chance = the mask's area share",
            needs_mask=True,
            cost="0 F",
            paper="Arras, Osman & Samek, 2022, arXiv 2003.07258",
            convention="share of the K top pixels inside the mask of K pixels, ties shared fairly",
        ),
        Metric(
            name="pointing_game",
            higher_is_better=True,
            values="0..1; chance = the mask's area share",
            needs_mask=True,
            cost="0 F",
            paper="Zhang et al., 2018, arXiv 1608.00507",
            convention="whether the top pixel lies in the mask, equal maxima shared fairly",
        ),
    )
}


def get_metric(name: str) -> Metric:
    """Return the row called ``name``.

    Raises:
        UnknownNameError: no such metric; suggests the nearest.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]
