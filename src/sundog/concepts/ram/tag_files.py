"""Names and thresholds of the tags: text files as published, or one JSON file, or values."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sundog.concepts.tag_scores import Thresholds
from sundog.core.errors import DataError, InputError, UnknownNameError, first_line

TAG_LIST = "ram_tag_list.txt"
THRESHOLDS = "ram_tag_list_threshold.txt"
PUBLISHED_AT = "https://github.com/xinyu1205/recognize-anything/tree/main/ram/data"
PUBLISHED_THRESHOLD = 0.68
"""What the library starts from before its per-tag thresholds replace it."""
SIDECAR_KEYS = ("tags", "thresholds", "architecture", "image_size")

TagList = str | os.PathLike[str] | Sequence[str]
ThresholdList = str | os.PathLike[str] | Sequence[float]


def read_sidecar(checkpoint: Path) -> dict[str, Any]:
    """Return the values of ``<checkpoint without suffix>.json``, or nothing if there is none.

    Its keys are ``tags`` (names), ``thresholds`` (one number, or one per tag), ``architecture``
    (a name or a table) and ``image_size``, all optional.

    Raises:
        DataError: not JSON, not a table, or an unknown key.
    """
    file = checkpoint.with_suffix(".json")
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"File {str(file)!r}", expected="JSON", got=first_line(error)) from error
    if not isinstance(content, dict):
        raise DataError(f"File {str(file)!r}", expected="a table", got=type(content).__name__)
    for key in content:
        if key not in SIDECAR_KEYS:
            raise UnknownNameError(f"key of {str(file)!r}", key, SIDECAR_KEYS)
    return content


def find_tags(
    given: TagList | None, *, checkpoint: Path, sidecar: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the tag names: as given, else of the JSON file, else of the list beside the weights.

    Raises:
        DataError: no list anywhere (says which files to put where), or a list that is broken.
    """
    if given is None and sidecar.get("tags") is not None:
        return _check_names(sidecar["tags"], str(checkpoint.with_suffix(".json")))
    if given is None:
        file = checkpoint.with_name(TAG_LIST)
        if not file.is_file():
            raise DataError(
                f"The tag names of {str(checkpoint)!r}",
                expected=f"in {TAG_LIST!r} beside it, or given as tag_list=...",
                got="neither",
                hint=_what_to_fetch(checkpoint),
            )
        given = file
    if isinstance(given, str | os.PathLike):
        return _check_names(_lines(Path(given), "tag_list"), str(given))
    return _check_names(given, "tag_list")


def find_thresholds(
    given: ThresholdList | None,
    threshold: float | None,
    *,
    tags: int,
    checkpoint: Path,
    sidecar: Mapping[str, Any],
) -> Thresholds:
    """Return one threshold per tag.

    The first that there is: ``given`` per tag, ``threshold`` for all, those of the JSON file,
    those beside the weights.

    Args:
        given: a file with one number per line, or numbers.
        threshold: one probability for all tags.
        tags: number of tags.
        checkpoint: beside which to look.
        sidecar: see :func:`read_sidecar`.

    Raises:
        DataError: no thresholds anywhere, or a file that is broken or of another length.
        InputError: numbers that are no probabilities.
    """
    source = "thresholds"
    values: Any = given
    if values is None and threshold is not None:
        source, values = "threshold", [threshold] * tags
    elif values is None and sidecar.get("thresholds") is not None:
        source, values = str(checkpoint.with_suffix(".json")), sidecar["thresholds"]
        values = [values] * tags if isinstance(values, int | float) else values
    elif values is None:
        values = checkpoint.with_name(THRESHOLDS)
        if not values.is_file():
            raise DataError(
                f"The thresholds of {str(checkpoint)!r}",
                expected=f"in {THRESHOLDS!r} beside it, or given as thresholds=... or threshold=..",
                got="none of them",
                hint=_what_to_fetch(checkpoint)
                + f" Or pass one for all tags: threshold={PUBLISHED_THRESHOLD}.",
            )
    if isinstance(values, str | os.PathLike):
        source = str(values)
        values = _lines(Path(values), "thresholds")
    numbers = [_probability(value, source, row) for row, value in enumerate(values, start=1)]
    if len(numbers) != tags:
        raise DataError(
            f"Thresholds in {source!r}",
            expected=f"one per tag ({tags})",
            got=f"{len(numbers)} numbers",
        )
    return np.array(numbers, dtype=np.float32)


def _what_to_fetch(checkpoint: Path) -> str:
    return (
        f"Put {TAG_LIST!r} and {THRESHOLDS!r} into {str(checkpoint.parent)!r}; both are published "
        f"at {PUBLISHED_AT}."
    )


def _lines(file: Path, what: str) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            what, expected="a text file with one tag per line", got=first_line(error)
        ) from error
    return text.rstrip().splitlines()


def _check_names(names: Any, source: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise DataError(f"Tags in {source!r}", expected="a list of names", got=repr(names)[:60])
    seen: dict[str, int] = {}
    for row, name in enumerate(names, start=1):
        clean = name.strip() if isinstance(name, str) else ""
        if not clean or clean in seen:
            raise DataError(
                f"Tag {row} in {source!r}",
                expected="a name that is not empty and not there before",
                got=f"{name!r}, as in {seen[clean]}" if clean else repr(name),
            )
        seen[clean] = row
    return tuple(seen)


def _probability(value: Any, source: str, row: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise InputError(
            f"Threshold {row} in {source!r}", expected="in [0, 1]", got=repr(value)[:60]
        )
    return number
