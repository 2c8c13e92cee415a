"""What the camera wrote into image files, as a table: only headers are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image as Pillow

from sundog.data.streaming import ordered_map

COLUMNS = ("make", "model", "orientation", "software", "flash", "year", "hour")
_EXIF_FOLDER = 0x8769
_MAKE, _MODEL, _ORIENTATION, _SOFTWARE, _DATE = 0x010F, 0x0110, 0x0112, 0x0131, 0x0132
_DATE_TAKEN, _FLASH = 0x9003, 0x9209
_THREADS = 8


def read_exif(paths: Sequence[Path | None]) -> pd.DataFrame:
    """Return make, model, orientation, software, flash, year and hour of each file.

    Args:
        paths: None, or a file that is no readable image, gives a row of missing values.

    Returns:
        One row per path, text or None: flash is ``fired`` or ``not fired``; orientation is EXIF's
        number 1 to 8; year and hour are of the moment the picture was taken, as the camera's
        clock said.
    """
    rows = list(ordered_map(_read, paths, workers=_THREADS))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _read(path: Path | None) -> dict[str, str | None]:
    if path is None:
        return {}
    try:
        with Pillow.open(path) as image:
            found = image.getexif()
            details: dict[int, Any] = dict(found.get_ifd(_EXIF_FOLDER))
    except Exception:  # as many kinds as Pillow has plug-ins; the set's reader reports broken files
        return {}
    taken = _moment(details.get(_DATE_TAKEN)) or _moment(found.get(_DATE))
    flash = details.get(_FLASH)
    return {
        "make": _text(found.get(_MAKE)),
        "model": _text(found.get(_MODEL)),
        "orientation": _text(found.get(_ORIENTATION)),
        "software": _text(found.get(_SOFTWARE)),
        "flash": ("fired" if flash & 1 else "not fired") if isinstance(flash, int) else None,
        "year": str(taken.year) if taken else None,
        "hour": str(taken.hour) if taken else None,
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = " ".join(str(value).replace("\x00", " ").split())
    return text or None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.strptime(str(value).strip("\x00 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
