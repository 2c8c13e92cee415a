"""``torch.export`` files (``.pt2``), opened only if nothing in them needs an open pickle."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import torch

from sundog.core.errors import CheckpointError, first_line
from sundog.models.sources.source import Source

RAW = ("weight_", "tensor_")
"""Members that are plain bytes of a tensor."""


def build(path: Path) -> Source:
    """Load an exported program as a network with its original layer names.

    ``torch.export.load`` falls back to an unrestricted pickle for some members. Each such member
    is read first with ``weights_only=True``, and a file in which one fails is refused. Still, an
    exported program is a program: open only files you trust.

    Raises:
        CheckpointError: not an exported program, one with custom objects or compiled code, or one
            for a fixed batch size.
    """
    check_archive(path)
    try:
        program = torch.export.load(str(path))
        network = torch.export.unflatten(program)
    except Exception as error:  # torch raises many kinds for a broken archive
        raise CheckpointError(
            str(path),
            expected="a program written by torch.export.save",
            got=first_line(error),
        ) from error
    size = _check_input(program, path)
    return Source(
        network=network.eval(),
        input_size=size,
        weights=path.name,
        mean=None,
        std=None,
        recipe={"file": path.name, "path": str(path.resolve())},
    )


def _check_input(program: torch.export.ExportedProgram, path: Path) -> tuple[int, int] | None:
    """Return the fixed image size, None if it is free; refuse a fixed batch size."""
    wanted = set(program.graph_signature.user_inputs)
    shapes = [
        tuple(node.meta["val"].shape)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    ]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise CheckpointError(
            str(path),
            expected="a program with one input [batch, channels, height, width]",
            got=f"{len(shapes)} inputs",
        )
    batch, _, height, width = shapes[0]
    if isinstance(batch, int):
        raise CheckpointError(
            str(path),
            expected="a program for any batch size",
            got=f"one for batches of {batch}",
            hint="Export it with dynamic_shapes, e.g. ({0: torch.export.Dim('batch')},).",
        )
    fixed = isinstance(height, int) and isinstance(width, int)
    return (height, width) if fixed else None


def check_archive(path: Path) -> None:
    """Refuse an archive with a member that only an unrestricted pickle or a compiler can open.

    Raises:
        CheckpointError: names the first such member.
    """
    if not zipfile.is_zipfile(path):
        raise CheckpointError(str(path), expected="a .pt2 archive", got="no zip file")
    with zipfile.ZipFile(path) as archive:
        names = {n.split("/", 1)[-1]: n for n in archive.namelist()}
        for short, full in names.items():
            if not _is_safe(archive, short, full, names):
                raise CheckpointError(
                    str(path),
                    expected="an exported program of plain tensors",
                    got=f"the member {short!r}, which needs an unrestricted pickle or a compiler",
                    hint="Export the network again with torch.export, without custom objects.",
                )


def _is_safe(archive: zipfile.ZipFile, short: str, full: str, names: dict[str, str]) -> bool:
    last = short.rsplit("/", 1)[-1]
    if short.startswith("data/aotinductor") or last.endswith((".so", ".cpp", ".cubin")):
        return False
    if last.startswith(("custom_obj", "opaque_obj")):
        return False
    if last.endswith("_config.json"):
        entries = json.loads(archive.read(full)).get("config", {}).values()
        folder = short.rsplit("/", 1)[0]
        pickled = [e["path_name"] for e in entries if e.get("use_pickle")]
        return all(
            p.startswith(RAW) and _loads_weights_only(archive, names.get(f"{folder}/{p}", ""))
            for p in pickled
        )
    if last.endswith((".pt", ".pkl", ".bin")):
        return _loads_weights_only(archive, full)
    return True


def _loads_weights_only(archive: zipfile.ZipFile, member: str) -> bool:
    try:
        data = archive.read(member)
        if data:
            torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, ValueError):
        return False
    return True
