"""The front door: any source of images, by name, path or prefix, becomes an image set."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sundog.core.errors import DataError, InputError
from sundog.data.embedded import EMBEDDED, open_embedded
from sundog.data.folder import open_folder
from sundog.data.hdf5 import Channels, open_hdf5
from sundog.data.huggingface import open_hf
from sundog.data.image_set import ImageSet
from sundog.data.manifest import open_manifest
from sundog.data.torchvision_sets import TORCHVISION_SETS, open_torchvision


def load_image_set(
    source: str | os.PathLike[str],
    *,
    split: str | None = None,
    download: bool = False,
    limit: int | None = None,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    root: str | os.PathLike[str] | None = None,
    channels: Channels | None = None,
) -> ImageSet:
    """Open an image set.

    ========================  =================================================================
    source                    what is read
    ========================  =================================================================
    digits, faces, photos     an embedded set (write ``./digits`` for a folder of that name)
    a folder                  ``CLASS/*.jpg``, with or without splits, or flat and unlabelled
    ``*.csv``, ``*.parquet``  a manifest: path, label and any metadata per row
    ``*.h5``, ``*.hdf5``      ``images`` uint8 NHWC, ``labels``
    ``torchvision:NAME``      one of torchvision's data sets
    ``hf:PATH``               a folder written by Hugging Face datasets' ``save_to_disk``
    ========================  =================================================================

    Arrays and datasets in memory have functions of their own:
    :func:`sundog.data.arrays.from_arrays`,
    :func:`sundog.data.torch_dataset.from_torch_dataset`,
    :func:`sundog.data.huggingface.from_hf_dataset`.

    Args:
        source: see the table.
        split: train, validation or test, where the source has splits; ``all`` for folders.
        download: allow the network for torchvision and Hugging Face names; never used otherwise.
        limit: at most so many images, as many of each class as can be.
        seed: of the draw of ``limit``.
        class_names: allowed classes in order (folder, manifest, HDF5, Hugging Face).
        path_column: of a manifest (default path).
        label_column: of a manifest (default label) or Hugging Face data set; attribute of celeba.
        root: folder for torchvision's files.
        channels: of an HDF5 file: ``rgb`` (the default) or ``bgr``, as OpenCV writes them.

    Returns:
        The set; what could not be used is in its ``skipped``, never silently gone.

    Raises:
        DataError: nothing usable there; names what is near.
        InputError: an option that the source does not have.
        MissingExtraError: the reader's package is not installed.
    """
    text = os.fspath(source)
    prefix, _, rest = text.partition(":")
    given: dict[str, Any] = {
        "class_names": class_names,
        "path_column": path_column,
        "label_column": label_column,
        "root": root,
        "channels": channels,
    }
    common: dict[str, Any] = {"split": split, "limit": limit, "seed": seed}
    path = Path(text).expanduser()
    suffix = path.suffix.lower()
    if text in EMBEDDED:
        return open_embedded(text, **common, **_only(given, (), text))
    if prefix == "torchvision" and rest:
        options = _only(given, ("root", "label_column"), text)
        return open_torchvision(rest, download=download, **common, **options)
    if prefix == "hf" and rest:
        options = _only(given, ("class_names", "label_column"), text)
        return open_hf(rest, download=download, **common, **options)
    if path.is_dir():
        return open_folder(path, **common, **_only(given, ("class_names",), text))
    if suffix in (".csv", ".parquet") and path.is_file():
        options = _only(given, ("class_names", "path_column", "label_column"), text)
        return open_manifest(path, **common, **options)
    if suffix in (".h5", ".hdf5") and path.is_file():
        return open_hdf5(path, **common, **_only(given, ("class_names", "channels"), text))
    raise _unknown(text, path)


def _only(given: dict[str, Any], allowed: Sequence[str], source: str) -> dict[str, Any]:
    """Return the options that were given; refuse those that the source does not have."""
    used = {key: value for key, value in given.items() if value is not None}
    extra = sorted(set(used) - set(allowed))
    if extra:
        raise InputError(
            f"{', '.join(extra)} for {source!r}",
            expected="left out",
            got="a value",
            hint=f"Options of this source: {', '.join(allowed) or 'none'}.",
        )
    return used


def _unknown(text: str, path: Path) -> DataError:
    expected = "an embedded set, a folder, *.csv, *.parquet, *.h5, torchvision:NAME or hf:PATH"
    if path.is_file():
        return DataError(f"Image source {text!r}", expected=expected, got="another kind of file")
    candidates = [*EMBEDDED, *(f"torchvision:{name}" for name in TORCHVISION_SETS)]
    if path.parent.is_dir():
        siblings = [p.name for p in path.parent.iterdir()]
        candidates += [str(path.parent / name) for name in siblings]
    near = difflib.get_close_matches(text, candidates, n=3, cutoff=0.6)
    return DataError(
        f"Image source {text!r}",
        expected=expected,
        got="a path that does not exist",
        hint="Did you mean " + " or ".join(map(repr, near)) + "?" if near else "",
    )
