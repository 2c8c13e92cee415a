"""Which row of a person's table belongs to which image of a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from sundog.core.errors import DataError


def match_rows(
    keys: Sequence[str], targets: Sequence[str], *, subject: str
) -> tuple[list[tuple[int, str]], tuple[str, ...]]:
    """Match the keys of a table with the sources (or ids) of a set.

    A key fits a target that is the same text. A key without one fits the targets of which it is
    the end, or which are its end, cut at a slash: ``/data/cat/1.jpg`` and ``1.jpg`` fit
    ``cat/1.jpg``, if no other target fits as well.

    Args:
        keys: one per row of the table.
        targets: one per image; equal ones are one target.
        subject: names the table in errors.

    Returns:
        Pairs (row, target), in the order of the rows; and notes on rows without an image and
        images without a row.

    Raises:
        DataError: a key that fits several targets, or not one key that fits.
    """
    exact = set(targets)
    by_name: dict[str, set[str]] = {}
    for target in exact:
        by_name.setdefault(_parts(target)[-1], set()).add(target)
    pairs: list[tuple[int, str]] = []
    without: list[str] = []
    for row, key in enumerate(keys):
        if key in exact:
            pairs.append((row, key))
            continue
        fitting = sorted(t for t in by_name.get(_parts(key)[-1], ()) if _ends(key, t))
        if len(fitting) > 1:
            raise DataError(
                f"{subject}, row {row + 1}",
                expected="of one image",
                got=f"{key!r}, which fits {len(fitting)}: {', '.join(map(repr, fitting[:3]))}",
                hint="Write more of the path.",
            )
        if fitting:
            pairs.append((row, fitting[0]))
        else:
            without.append(key)
    if not pairs:
        raise DataError(
            subject,
            expected="with rows of this set's images",
            got=f"{len(keys)} rows of which not one fits (first: {keys[0]!r})" if keys else "none",
            hint=f"The set's first image is {targets[0]!r}." if targets else "",
        )
    notes = []
    if without:
        notes.append(f"{len(without)} of {len(keys)} rows have no image ({_first(without)})")
    used = {target for _, target in pairs}
    lacking = [target for target in targets if target not in used]
    if lacking:
        notes.append(f"{len(lacking)} of {len(targets)} images have no row ({_first(lacking)})")
    return pairs, tuple(notes)


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path.replace("\\", "/")).parts or ("",)


def _ends(first: str, second: str) -> bool:
    a, b = _parts(first), _parts(second)
    count = min(len(a), len(b))
    return a[-count:] == b[-count:]


def _first(names: Sequence[str]) -> str:
    return "first: " + ", ".join(repr(name) for name in names[:3])
