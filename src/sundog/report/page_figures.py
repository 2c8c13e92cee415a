"""The figures of a page as files of their own, for slides and papers."""

from __future__ import annotations

import os
import re
from pathlib import Path

from matplotlib.figure import Figure

from sundog.report.page import Page
from sundog.report.save import save_figures


def save_page_figures(page: Page, folder: str | os.PathLike[str], kind: str = "png") -> list[Path]:
    """Write every figure of a page as ``SECTION-NUMBER.png`` or ``.svg`` and return the paths.

    Args:
        page: any page; pictures that are not figures are left out.
        folder: made if it is not there.
        kind: png or svg.

    Raises:
        InputError: another kind.
    """
    written = []
    for section in page.sections:
        name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        for number, picture in enumerate(section.pictures, start=1):
            if isinstance(picture.source, Figure):
                written += save_figures(picture.source, Path(folder) / f"{name}-{number}.{kind}")
    return written
