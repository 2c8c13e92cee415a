"""``load_ram``: a published checkpoint and its two text files in, a tagger out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sundog.concepts.ram.architecture import (
    KINDS,
    Kind,
    RamArchitecture,
    choose_architecture,
)
from sundog.concepts.ram.checkpoint import fill_network, label_rows, read_checkpoint
from sundog.concepts.ram.network import REWEIGHT_SCALE, RamNetwork
from sundog.concepts.ram.tag_files import (
    TagList,
    ThresholdList,
    find_tags,
    find_thresholds,
    read_sidecar,
)
from sundog.concepts.ram.tagger import RamTagger
from sundog.core.errors import CheckpointError, InputError, UnknownNameError
from sundog.models.device import resolve_device

Architecture = str | Mapping[str, Any] | RamArchitecture
SUFFIXES = (".pth", ".pt", ".safetensors")
PUBLISHED: dict[Kind, tuple[str, str]] = {
    "ram": (
        "ram_swin_large_14m.pth",
        "https://huggingface.co/spaces/xinyu1205/Recognize_Anything-Tag2Text",
    ),
    "ram++": (
        "ram_plus_swin_large_14m.pth",
        "https://huggingface.co/xinyu1205/recognize-anything-plus-model",
    ),
}
"""File and place of the authors' weights (Apache-2.0); nothing is downloaded from here."""


def load_ram(
    *args: str | os.PathLike[str] | Mapping[str, Any],
    kind: str = "ram",
    checkpoint: str | os.PathLike[str] | None = None,
    architecture: Architecture | None = None,
    tag_list: TagList | None = None,
    thresholds: ThresholdList | None = None,
    threshold: float | None = None,
    image_size: int | None = None,
    batch_size: int | None = None,
    ignore: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> RamTagger:
    """Return the Recognize Anything tagger with the weights of a file.

    Args:
        args: ``[kind,] [architecture,] checkpoint``: ``load_ram(path)``,
            ``load_ram("swin_l", path)``, ``load_ram("ram++", "swin_l", path)``.
        kind: ``"ram"`` or ``"ram++"``; ``"ram++"`` in ``args`` goes before it, ``"ram"`` there is
            the family's name and leaves it.
        checkpoint: the file, if not in ``args``; its suffix may be left out.
        architecture: ``"swin_l"`` (the published one, default), ``"swin_b"``, or the fields of
            :class:`~sundog.concepts.ram.architecture.RamArchitecture`.
        tag_list: the names, or a text file with one per line; default: ``ram_tag_list.txt``
            beside the checkpoint.
        thresholds: one probability per tag, or a text file with one per line; default:
            ``ram_tag_list_threshold.txt`` beside the checkpoint.
        threshold: one probability for all tags instead (0.68 is the library's start value, 0.86
            the one of the RAM paper's table); ``thresholds`` goes first where both are given.
        image_size: side of the square that images are stretched to; 384 as published. Other
            multiples of 32 interpolate the position biases.
        batch_size: images in the network at once; default: 1 on the CPU, where more is no faster
            and a score is then the same to the last bit whatever comes with it, 8 elsewhere.
        ignore: beginnings of names in the checkpoint to leave out, besides the known ones.
        device: ``"cpu"``, ``"auto"``, ``"cuda"`` or ``"mps"``.

    A JSON file named as the checkpoint (``ram_swin_large_14m.json``) may hold ``tags``,
    ``thresholds``, ``architecture`` and ``image_size``; arguments go before it, it goes before
    the text files. Needs no package besides torch. Code in a checkpoint is refused, not run.

    Returns:
        A tagger whose scores are probabilities.

    Raises:
        UnknownNameError: no such kind, architecture or field.
        InputError: arguments that do not fit together.
        DataError: tag names or thresholds that are missing or broken.
        CheckpointError: no such file, a broken one, one with code, or one that does not fit:
            says what is missing, unexpected or misshapen.
        DeviceError: this machine does not have the device.
    """
    place = resolve_device(device)
    chosen, shape, path = _sort_arguments(args, kind, architecture, checkpoint)
    if shape is not None:
        choose_architecture(shape, image_size=image_size)  # before any file is looked for
    file = _find_file(path, chosen)
    sidecar = read_sidecar(file)
    sizes = choose_architecture(
        shape if shape is not None else sidecar.get("architecture", "swin_l"),
        image_size=image_size if image_size is not None else sidecar.get("image_size"),
    )
    names = find_tags(tag_list, checkpoint=file, sidecar=sidecar)
    limits = find_thresholds(
        thresholds, threshold, tags=len(names), checkpoint=file, sidecar=sidecar
    )
    state = read_checkpoint(file)
    rows = label_rows(state, source=str(file), width=sizes.text_width)
    _check_count(rows, len(names), chosen, sizes, str(file))
    with torch.device("meta"):
        network = RamNetwork(sizes, kind=chosen, tags=len(names))
    loaded = fill_network(
        network,
        state,
        source=str(file),
        defaults={"reweight_scale": torch.tensor(REWEIGHT_SCALE)},
        ignore=ignore,
    )
    return RamTagger(
        network.to(place),
        sizes=sizes,
        tag_names=names,
        thresholds=limits,
        fingerprint=loaded.fingerprint,
        notes=loaded.notes,
        batch_size=batch_size if batch_size is not None else 1 if place.type == "cpu" else 8,
    )


def _sort_arguments(
    args: tuple[Any, ...],
    kind: str,
    architecture: Architecture | None,
    checkpoint: str | os.PathLike[str] | None,
) -> tuple[Kind, Architecture | None, Path]:
    """Return kind, architecture and path from ``[kind,] [architecture,] checkpoint``."""
    rest = list(args)
    if kind.lower() not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    if rest and isinstance(rest[0], str) and rest[0].lower() in KINDS:
        first = rest.pop(0)
        kind = kind if KINDS[first.lower()] == "ram" else first
    elif len(rest) == 3:
        raise UnknownNameError("kind", str(rest[0]), KINDS)
    if checkpoint is None and rest and not isinstance(rest[-1], Mapping | RamArchitecture):
        checkpoint = rest.pop()
    if architecture is None and rest:
        architecture = rest.pop(0)
    if rest or checkpoint is None:
        raise InputError(
            "Arguments of load_ram",
            expected="[kind,] [architecture,] checkpoint",
            got="no checkpoint" if checkpoint is None else f"one too many: {rest[0]!r}",
        )
    return KINDS[kind.lower()], architecture, Path(checkpoint)


def _find_file(path: Path, kind: Kind) -> Path:
    """Return the file, or the file whose suffix was left out."""
    for file in (path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES)):
        if file.is_file():
            return file
    name, place = PUBLISHED[kind]
    raise CheckpointError(
        f"Checkpoint {str(path)!r}",
        expected="a file",
        got="a folder" if path.is_dir() else "none there",
        hint=f"Download {name!r} from {place} and pass its path. Nothing is downloaded for you.",
    )


def _check_count(rows: int, tags: int, kind: Kind, sizes: RamArchitecture, source: str) -> None:
    """Refuse a tag list of another length, or a checkpoint of the other kind."""
    per_tag = sizes.descriptions if kind == "ram++" else 1
    if rows == tags * per_tag:
        return
    other: Kind = "ram" if kind == "ram++" else "ram++"
    if rows == tags * (sizes.descriptions if other == "ram++" else 1):
        raise CheckpointError(
            f"Checkpoint {source!r}",
            expected=f"of kind {kind!r} ({per_tag} text embeddings per tag)",
            got=f"one of kind {other!r}",
            hint=f"Pass kind={other!r}.",
        )
    raise CheckpointError(
        f"The tag list of {source!r}",
        expected=f"as long as the checkpoint's ({rows / per_tag:g} tags)",
        got=f"{tags} names",
        hint="Is it the list that this checkpoint was trained with?",
    )
