"""A folder of images: ``CLASS/*.jpg``, the same under ``train/`` and ``validation/``, or flat.

Layouts, told apart by the names of the subfolders::

    root/cat/1.jpg   root/dog/a/b.png            classes; images may lie deeper
    root/train/cat/1.jpg   root/val/cat/2.jpg    splits: train(ing), val(id(ation)), test(ing)
    root/1.jpg  root/2.png                       no labels

Hidden files and folders are ignored. A file inside a class folder that is not an image, an image
outside the class folders, and a class folder without images are listed in ``skipped``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sundog.core.errors import DataError
from sundog.data.decode import IMAGE_SUFFIXES
from sundog.data.image_files import open_image_files
from sundog.data.image_set import ImageSet, Skipped

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
"""Canonical name of a split, and the folder names that mean it."""
_CANONICAL = {alias: split for split, aliases in SPLITS.items() for alias in aliases}


def open_folder(
    folder: str | os.PathLike[str],
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Open a folder of images in one of the layouts of this module.

    Args:
        folder: the root.
        split: train, validation, test (or a synonym), or ``all``; needed if the folder has more
            than one. With ``all`` and more than one split, metadata has a column ``split``.
        class_names: the allowed classes, in order; None: the folder names, sorted. Taken over all
            splits, so that training and validation agree.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: missing folder, no image, no such split, or a class folder outside
            ``class_names``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(
            f"Folder {str(root)!r}",
            expected="an existing folder of images",
            got="a file" if root.exists() else "nothing there",
        )
    roots = _split_roots(root, split)
    classes = _class_names([path for _, path in roots.items()], root, class_names)
    chosen = {
        s: p for s, p in roots.items() if split in (None, "all") or s == canonical_split(split)
    }
    if len(chosen) > 1 and split is None:
        raise DataError(
            f"Folder {str(root)!r} has several splits; split",
            expected=f"one of {', '.join(sorted(chosen))}, all",
            got="None",
        )
    paths: list[Path] = []
    labels: list[int] = []
    splits: list[str] = []
    skipped: list[Skipped] = []
    for part, path in chosen.items():
        _collect(path, root, classes, paths, labels, skipped)
        splits.extend([part] * (len(paths) - len(splits)))
    if not paths:
        raise DataError(
            f"Folder {str(root)!r}",
            expected="with images in it",
            got=f"none with a known suffix ({', '.join(sorted(IMAGE_SUFFIXES)[:6])}, ...)",
        )
    return open_image_files(
        paths,
        np.array(labels, dtype=np.int64),
        name=_shown(root.name or str(root)),
        class_names=classes,
        sources=[_shown(p.relative_to(root).as_posix()) for p in paths],
        metadata=pd.DataFrame({"split": splits}) if len(chosen) > 1 else None,
        skipped=skipped,
        limit=limit,
        seed=seed,
    )


def canonical_split(split: str | None) -> str:
    """Return train, validation or test for a synonym of it; any other name as it is."""
    return _CANONICAL.get((split or "").lower(), split or "")


def _split_roots(root: Path, split: str | None) -> dict[str, Path]:
    """Return the folder of each split, or ``{"": root}`` if there are no splits."""
    found = {_CANONICAL.get(p.name.lower(), ""): p for p in _subfolders(root)}
    has_splits = bool(found) and "" not in found
    wanted = canonical_split(split)
    if split is not None and wanted != "all" and wanted not in found:
        raise DataError(
            f"split of folder {str(root)!r}",
            expected="one of " + ", ".join(sorted(found)) if has_splits else "None: it has none",
            got=repr(split),
        )
    if has_splits or (split is not None and wanted != "all"):
        found.pop("", None)
        return dict(sorted(found.items()))
    return {"": root}


def _class_names(roots: list[Path], root: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    names = sorted({_shown(p.name) for part in roots for p in _subfolders(part)})
    if given is None:
        return tuple(names)
    outside = sorted(set(names) - set(given))
    if outside:
        raise DataError(
            f"Class folders of {str(root)!r}",
            expected="among the class names",
            got=f"{len(outside)} others: {', '.join(map(repr, outside[:3]))}",
        )
    return tuple(given)


def _collect(
    part: Path,
    root: Path,
    classes: tuple[str, ...],
    paths: list[Path],
    labels: list[int],
    skipped: list[Skipped],
) -> None:
    loose = sorted(p for p in part.iterdir() if p.is_file() and _is_image(p))
    folders = {_shown(p.name): p for p in _subfolders(part)}
    if not folders:
        paths.extend(loose)
        labels.extend([-1] * len(loose))
        return
    for path in loose:
        reason = "the image lies outside the class folders"
        skipped.append(Skipped(_shown(path.relative_to(root).as_posix()), reason))
    for label, name in enumerate(classes):
        before = len(paths)
        for path in _walk(folders[name]) if name in folders else ():
            if _is_image(path):
                paths.append(path)
                labels.append(label)
            else:
                reason = "the file's suffix is not that of an image"
                skipped.append(Skipped(_shown(path.relative_to(root).as_posix()), reason))
        if len(paths) == before:
            where = _shown((part / name).relative_to(root).as_posix())
            skipped.append(Skipped(where, "the class folder holds no image"))


def _shown(name: str) -> str:
    r"""Return a name as text that can be written: bytes that are no UTF-8 become ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order; links are followed, loops are not."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, above | {here})
        else:
            yield path
