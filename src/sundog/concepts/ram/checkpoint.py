"""Published checkpoints: read without running code, checked name by name, copied once."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sundog.concepts.ram.position_bias import resize_bias_table
from sundog.core.errors import CheckpointError, first_line

UNUSED = ("tag_encoder.", "text_decoder.", "tagging_head.embeddings.", "logit_scale")
"""Beginnings of names that published checkpoints carry and tagging does not need: captioning, the
text encoder, the word embeddings of the head, and a scale that the released RAM++ never reads."""
REBUILT = re.compile(
    r"visual_encoder\.layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)"
)
"""Tables that follow from the sizes."""
SELF_ATTENTION = re.compile(r"tagging_head\.encoder\.layer\.\d+\.attention\.")
"""Of the BERT that the head was made from; taken out before tagging."""
OPTIONAL = frozenset({"reweight_scale"})
"""Missing in the published RAM++ checkpoint; the library then keeps its initial value."""
BIAS_TABLE = "relative_position_bias_table"


@dataclass(frozen=True)
class Loaded:
    """What came out of a checkpoint besides the weights.

    Attributes:
        fingerprint: 32 hex digits of the weights that are used.
        notes: what was left out or changed, in sentences.
    """

    fingerprint: str
    notes: tuple[str, ...]


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Return the tensors under ``model`` (or at the top) of a checkpoint file, by name.

    The file is mapped into memory, so that what is not used (the published RAM file holds more
    than its weights) is not read.

    Args:
        file: ``torch.save`` of a dictionary, or ``.safetensors``.

    Raises:
        CheckpointError: a broken file, code in it, or no tensors in it.
    """
    try:
        content: Any
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(
                file, weights_only=True, map_location="cpu", mmap=zipfile.is_zipfile(file)
            )
    except Exception as error:  # a broken file makes torch raise almost any kind
        raise CheckpointError(
            f"Checkpoint {str(file)!r}",
            expected="plain tensors (torch.save of {'model': state_dict}, or safetensors)",
            got=first_line(error),
            hint="Is the download complete? Files with code in them are not opened: where you "
            "trust such a file, save its 'model' entry alone.",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    found = {}
    if isinstance(content, Mapping):
        found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not found:
        raise CheckpointError(
            f"Checkpoint {str(file)!r}",
            expected="a table of tensors, or one with a table under 'model'",
            got=type(content).__name__,
        )
    return found


def label_rows(state: Mapping[str, Tensor], *, source: str, width: int) -> int:
    """Return the number of text embeddings: one per tag (RAM) or per description (RAM++).

    Raises:
        CheckpointError: none, or of another width.
    """
    found = state.get("label_embed")
    if found is None or found.ndim != 2 or found.shape[1] != width:
        raise CheckpointError(
            f"Checkpoint {source!r}",
            expected=f"of RAM or RAM++, with 'label_embed' of shape (texts, {width})",
            got="none" if found is None else str(tuple(found.shape)),
            hint="Tag2Text and other networks are not read.",
        )
    return len(found)


def fill_network(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    defaults: Mapping[str, Tensor],
    ignore: Sequence[str] = (),
) -> Loaded:
    """Give a network without memory (on the meta device) its weights, every one or none.

    Args:
        network: built under ``torch.device("meta")``; changed in place.
        state: as read; tensors become float32 copies.
        source: shown in errors.
        defaults: values of optional tensors that the checkpoint may lack.
        ignore: beginnings of further names to leave out.

    Raises:
        CheckpointError: missing, unexpected or misshapen tensors (counts, three examples each),
            or weights that are not finite.
    """
    wanted = network.state_dict()
    given, left_out = _relevant(state, (*UNUSED, *ignore))
    notes = [f"Left out of the checkpoint: {name} ({n} tensors)" for name, n in left_out.items()]
    for name in sorted(OPTIONAL & wanted.keys() - given.keys()):
        given[name] = defaults[name]
        notes.append(f"Not in the checkpoint, its published value is used: {name}")
    resized = _fit_bias_tables(given, wanted)
    if resized:
        notes.append(f"Position biases interpolated to other windows: {resized} tables")
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    if missing or unexpected or shapes:
        raise _mismatch(source, missing, unexpected, shapes)
    digest = hashlib.blake2b(digest_size=16)
    copies = {}
    for name in sorted(wanted):
        copy = given[name].detach().to(torch.float32, copy=True).contiguous()
        if not torch.isfinite(copy).all():
            raise CheckpointError(
                f"Checkpoint {source!r}", expected="finite weights", got=f"NaN or inf in {name}"
            )
        digest.update(f"{name} {tuple(copy.shape)} ".encode())
        digest.update(copy.flatten().view(torch.uint8).numpy().data)
        copies[name] = copy
    network.load_state_dict(copies, strict=True, assign=True)
    return Loaded(fingerprint=digest.hexdigest(), notes=tuple(notes))


def _relevant(
    state: Mapping[str, Tensor], unused: Sequence[str]
) -> tuple[dict[str, Tensor], Counter[str]]:
    """Return the tensors that tagging may need, and how many were left out under each name."""
    kept: dict[str, Tensor] = {}
    left_out: Counter[str] = Counter()
    for old, tensor in state.items():
        name = old.replace("vision_multi", "tagging_head")  # its name in early checkpoints
        beginning = next((start for start in unused if name.startswith(start)), None)
        if beginning is not None:
            left_out[beginning.rstrip(".")] += 1
        elif SELF_ATTENTION.match(name):
            left_out["tagging_head self-attention"] += 1
        elif not REBUILT.fullmatch(name):
            kept[name] = tensor
    return kept, left_out


def _fit_bias_tables(given: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> int:
    """Interpolate, in place, the bias tables that were learned with another window size."""
    count = 0
    for name in wanted:
        if not name.endswith(BIAS_TABLE) or name not in given:
            continue
        old, new = given[name], wanted[name]
        square = old.ndim == 2 and round(len(old) ** 0.5) ** 2 == len(old) and len(old) % 2
        if square and old.shape[1:] == new.shape[1:] and len(old) != len(new):
            given[name] = resize_bias_table(old, (round(len(new) ** 0.5) + 1) // 2)
            count += 1
    return count


def _mismatch(
    source: str, missing: list[str], unexpected: list[str], shapes: list[str]
) -> CheckpointError:
    parts = [
        f"{what}: {', '.join(names[:3])}."
        for what, names in (
            ("Missing", missing),
            ("Unexpected", unexpected),
            ("Misshapen", shapes),
        )
        if names
    ]
    if unexpected and not missing and not shapes:
        parts.append("If tagging does not need them, name their beginnings with ignore=[...].")
    else:
        parts.append("Is it the right architecture (swin_l, swin_b) and kind (ram, ram++)?")
    return CheckpointError(
        f"Checkpoint {source!r}",
        expected="made for this network",
        got=f"{len(missing)} missing, {len(unexpected)} unexpected and {len(shapes)} misshapen "
        "tensors",
        hint=" ".join(parts),
    )
