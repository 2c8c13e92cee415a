"""Which images are put before a person for each finding, and their pictures in the run folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from PIL import Image

from sundog.audit.observed import Observed
from sundog.audit.subject import Subject
from sundog.core.errors import DataError, LayerError, ModelStateError, UnknownNameError
from sundog.core.files import write_bytes
from sundog.core.inspection.finding import Evidence, Strip
from sundog.core.inspection.query import ImageCard
from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.explain.attribute import attribute
from sundog.explain.registry import METHODS
from sundog.report.overlay import blend

THUMBNAIL = 224
"""Longest side of a thumbnail in pixels."""
IMAGES = "images"


def choose_evidence(
    *,
    ids: Sequence[str],
    present: Bool[np.ndarray, "images"],
    scores: Float[np.ndarray, "images"] | None,
    top_k: int,
    sample: int,
    seed: int,
    key: str,
) -> tuple[Evidence, ...]:
    """Return the images to show with a finding.

    The ``top_k`` highest and lowest by score illustrate the concept. ``sample`` images with it and
    as many without are drawn at random from all such images: only from these can a reviewer's
    toggles estimate how often the tagger errs.

    Args:
        ids: of the images of the class.
        present: which of them have the concept(s).
        scores: of the concept; None or NaN: not ranked.
        top_k: images per end of the ranking.
        sample: images per random sample.
        seed: of the draws.
        key: id of the finding: each has draws of its own.
    """
    chosen: list[tuple[Strip, int]] = []
    if scores is not None:
        known = np.flatnonzero(~np.isnan(scores))
        order = known[np.argsort(-scores[known], kind="stable")]
        ends = min(top_k, len(order) // 2)
        chosen += [("top", int(i)) for i in order[:ends]]
        chosen += [("bottom", int(i)) for i in order[len(order) - ends :][::-1]]
    draw = np.random.default_rng(derive_seed(seed, "evidence", key))
    sides: tuple[tuple[Strip, Bool[np.ndarray, images]], ...] = (
        ("present", present),
        ("absent", ~present),
    )
    for strip, side in sides:
        members = np.flatnonzero(side)
        picked = draw.choice(members, size=min(sample, len(members)), replace=False)
        chosen += [(strip, int(i)) for i in np.sort(picked)]
    return tuple(
        Evidence(
            image=ids[i],
            strip=strip,
            tagged=bool(present[i]),
            score=None if scores is None or np.isnan(scores[i]) else float(scores[i]),
        )
        for strip, i in chosen
    )


def combined_score(scores: Float[np.ndarray, "images concepts"]) -> Float[np.ndarray, "images"]:
    """Return one score for several concepts: the smallest of their ranks, in [0, 1]; NaN stays.

    A combination is shown only by an image that shows each of its concepts.
    """
    if scores.shape[1] == 1:
        return scores[:, 0].astype(np.float64)
    ranks = np.full(scores.shape, np.nan)
    for column in range(scores.shape[1]):
        known = np.flatnonzero(~np.isnan(scores[:, column]))
        order = known[np.argsort(scores[known, column], kind="stable")]
        ranks[order, column] = np.arange(1, len(order) + 1) / max(len(order), 1)
    return ranks.min(axis=1)


def write_cards(
    subject: Subject,
    observed: Observed,
    ids: Sequence[str],
    folder: Path,
    *,
    overlay: str | None = "auto",
    progress: bool | None = None,
) -> tuple[dict[str, ImageCard], tuple[str, ...]]:
    """Write thumbnails and overlays and return a card per image, and notes.

    Args:
        subject: images and classifier.
        observed: predictions.
        ids: images to draw.
        folder: run folder; pictures go to ``images/``.
        overlay: attribution method of the overlay; ``auto`` = Grad-CAM, gradient norm where the
            network has no feature map; None or ``none`` = no overlay.
        progress: None shows it on a terminal.

    Raises:
        UnknownNameError: unknown method.
    """
    wanted = set(ids)
    rows = observed.frame[observed.frame["id"].isin(wanted)]
    cards: dict[str, ImageCard] = {}
    for row in track(
        rows.to_dict("records"), description="pictures", total=len(rows), visible=progress
    ):
        name = f"{IMAGES}/{row['id']}.jpg"
        if not (folder / name).exists():
            try:
                pixels = subject.image_set.image(int(row["index"]))
            except DataError:  # readable when it was predicted; the card then has no file
                pixels = None
            if pixels is not None:
                write_bytes(folder / name, thumbnail_bytes(pixels))
        cards[str(row["id"])] = ImageCard(
            source=str(row["source"]),
            class_name=observed.class_names[int(row["label"])],
            predicted=observed.class_names[int(row["prediction"])],
            correct=bool(row["correct"]),
            confidence=float(row["confidence"]),
            thumbnail=name,
        )
    positions = rows["index"].to_numpy(dtype=np.int64)
    overlays, notes = _write_overlays(subject, positions, folder, overlay, progress)
    return (
        {k: c.model_copy(update={"overlay": overlays.get(k)}) for k, c in sorted(cards.items())},
        notes,
    )


def write_previews(previews: Mapping[str, NDArray[np.uint8]], folder: Path) -> dict[str, str]:
    """Write small pictures of concepts as PNG and return concept -> file.

    A file is named by its content, so that another query's pictures in the folder stay as they are.
    """
    written = {}
    for name, pixels in sorted(previews.items()):
        content = repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        file = f"{IMAGES}/concept-{digest}.png"
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        write_bytes(folder / file, stream.getvalue())
        written[name] = file
    return written


def _write_overlays(
    subject: Subject,
    positions: Int64[np.ndarray, "images"],
    folder: Path,
    overlay: str | None,
    progress: bool | None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    if overlay in (None, "none") or not len(positions):
        return {}, ()
    method = _method(subject, str(overlay))
    if method is None:
        return {}, (
            "No attribution overlays: the network has no gradient and no feature map; "
            "--overlay occlusion works with any.",
        )
    part = subject.image_set.subset(positions)
    written: dict[str, str] = {}
    total = -(-len(part) // subject.batch_size)
    batches = part.batches(size=subject.size, batch_size=subject.batch_size, resize=subject.resize)
    for batch in track(batches, description="overlays", total=total, visible=progress):
        missing = [
            i
            for i, name in enumerate(batch.ids)
            if not (folder / _overlay_file(name, method)).exists()
        ]
        if missing:
            images = batch.images[missing].to(subject.classifier.device)
            maps = attribute(subject.classifier, images, method).maps
            for place, image, one in zip(missing, images, maps, strict=True):
                pixels = (image.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
                made = blend(pixels, one.detach().float().cpu().numpy(), palette="magenta_cyan")
                name = _overlay_file(batch.ids[place], method)
                write_bytes(folder / name, thumbnail_bytes(made))
        written.update({name: _overlay_file(name, method) for name in batch.ids})
    return written, (f"Overlays: {method}, for the class that the classifier predicts.",)


def check_overlay(overlay: str | None) -> None:
    """Refuse a name that is neither a method, ``auto`` nor ``none``.

    Raises:
        UnknownNameError: suggests the nearest.
    """
    if overlay is not None and overlay not in (*METHODS, "auto", "none"):
        raise UnknownNameError("overlay", overlay, (*METHODS, "auto", "none"))


def _method(subject: Subject, asked: str) -> str | None:
    if asked != "auto":
        check_overlay(asked)
        return asked
    probe = torch.zeros(1, 3, *subject.size, device=subject.classifier.device)
    for name in ("grad_cam", "gradient_norm"):
        try:
            attribute(subject.classifier, probe, name)
        except (LayerError, ModelStateError):
            continue
        return name
    return None


def _overlay_file(image_id: str, method: str) -> str:
    return f"{IMAGES}/{image_id}-{method.replace('_', '-')}.jpg"


def thumbnail_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return ``uint8[height, width, 3]`` as a JPEG of the thumbnail's size.

    Small pictures grow in whole steps, so that their pixels can be seen.
    """
    image = Image.fromarray(pixels)
    longest = max(image.size)
    if longest > THUMBNAIL:
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    elif longest * 2 <= THUMBNAIL:
        step = THUMBNAIL // longest
        image = image.resize((image.width * step, image.height * step), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=88)
    return stream.getvalue()
