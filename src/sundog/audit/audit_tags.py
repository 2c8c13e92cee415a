"""The scores of all tags, kept in the run folder of an audit: nothing is tagged or learned again.

::

    folder/
    ├── tags.json            names, notes, and the hash of the numbers
    └── tags.safetensors     scores float32[images, tags], thresholds, small pictures of tags
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sundog.concepts.tag_scores import TagScores
from sundog.core.files import write_bytes, write_json

TAGS_FILE = "tags.json"
NUMBERS_FILE = "tags.safetensors"
_BROKEN = (OSError, ValueError, KeyError, TypeError, SafetensorError)


def save_tags(scores: TagScores, folder: Path, *, notes: tuple[str, ...] = ()) -> None:
    """Write the scores; a reader sees all of them or none.

    Args:
        scores: of all tags.
        folder: is created.
        notes: on taggers that were left out.
    """
    shown = sorted(scores.previews)
    pictures = {f"preview {i}": scores.previews[name] for i, name in enumerate(shown)}
    numbers = save(
        {
            "scores": np.ascontiguousarray(scores.scores),
            "thresholds": np.ascontiguousarray(scores.thresholds),
            **{name: np.ascontiguousarray(pixels) for name, pixels in pictures.items()},
        }
    )
    write_bytes(folder / NUMBERS_FILE, numbers)
    write_json(
        folder / TAGS_FILE,
        {
            "format": "sundog-tag-scores",
            "version": 1,
            "hash": _hash(numbers),
            "tagger": scores.tagger,
            "identity": scores.identity,
            "names": list(scores.names),
            "ids": list(scores.ids),
            "previews": shown,
            "notes": list(scores.notes),
            "left_out": list(notes),
        },
    )


def load_tags(folder: Path) -> tuple[TagScores, tuple[str, ...]] | None:
    """Return what :func:`save_tags` wrote, or None if it is not there, torn or altered."""
    try:
        told = json.loads((folder / TAGS_FILE).read_text(encoding="utf-8"))
        raw = (folder / NUMBERS_FILE).read_bytes()
        if (
            told["format"] != "sundog-tag-scores"
            or told["version"] != 1
            or told["hash"] != _hash(raw)
        ):
            return None
        numbers = load(raw)
        scores = TagScores(
            tagger=told["tagger"],
            identity=told["identity"],
            names=tuple(told["names"]),
            thresholds=numbers["thresholds"],
            scores=numbers["scores"],
            ids=tuple(told["ids"]),
            previews={name: numbers[f"preview {i}"] for i, name in enumerate(told["previews"])},
            notes=tuple(told["notes"]),
        )
        return scores, tuple(told["left_out"])
    except _BROKEN:
        return None


def _hash(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
