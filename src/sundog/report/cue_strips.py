"""The evidence of a cue as rows of pictures: what was moved, into what, and what came out."""

from __future__ import annotations

from pathlib import Path

from sundog.core.inspection.finding import Finding
from sundog.report.strips import Shot, Strip
from sundog.report.thumbnails import read_thumbnail

ROWS = {
    "donor": "Taken from",
    "target": "Put into",
    "moved": "What comes out",
}


def cue_strips(finding: Finding, folder: Path, display_k: int) -> list[Strip]:
    """Return three rows whose columns belong together, and one with the place of the cue.

    Args:
        finding: without a cue it gives nothing.
        folder: run folder with the pictures; a triple with one that is missing is left out.
        display_k: pictures per row.
    """
    if finding.cue is None:
        return []
    rows: dict[str, list[Shot]] = {part: [] for part in ROWS}
    for shown in finding.cue.transplants:
        pixels = [read_thumbnail(folder / getattr(shown, part)) for part in ROWS]
        found = [p for p in pixels if p is not None]
        if len(found) < len(ROWS) or len(rows["donor"]) == display_k:
            continue
        for part, picture, words in zip(ROWS, found, shown.captions, strict=True):
            rows[part].append(Shot(pixels=picture, predicted=words, correct=None))
    strips = [Strip(title=title, shots=rows[part]) for part, title in ROWS.items()]
    mask = None if finding.cue.mask is None else read_thumbnail(folder / finding.cue.mask)
    if mask is not None:
        strips.append(
            Strip(title="Where it is", shots=[Shot(pixels=mask, predicted="", correct=None)])
        )
    return strips
