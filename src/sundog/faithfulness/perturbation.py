"""The curve of a classifier's output while ranked pixels are filled, a bounded number at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels, Logits, Maps, Scores
from sundog.faithfulness.curve import (
    CurveOutput,
    Curves,
    CurveSpec,
    area_under,
    log_area_under,
)
from sundog.faithfulness.fills import Substrate, make_substrate
from sundog.models.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.models.checks import check_images, resolve_target
from sundog.models.classifier import Classifier
from sundog.models.layout import fast_layout


def relevance_ranks(maps: Maps) -> Tensor:
    """Return each pixel's place in the order of relevance: 0 = the most relevant.

    The order is a stable ascending sort of the flattened map, reversed; so of equal pixels the
    one with the higher index (further down, then further right) comes first.

    Args:
        maps: ``float[batch, height, width]``, finite.

    Returns:
        ``int64[batch, height, width]``.
    """
    order = torch.argsort(maps.flatten(1), dim=1, stable=True).flip(1)
    places = torch.arange(order.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(maps.shape)


def check_maps(maps: Maps, images: Images, *, name: str = "maps") -> Maps:
    """Return the maps on the images' device.

    Raises:
        InputError: not a tensor ``[batch, height, width]`` that fits the images.
    """
    wanted = (len(images), *images.shape[2:])
    if not isinstance(maps, Tensor) or tuple(maps.shape) != wanted:
        got = str(tuple(maps.shape)) if isinstance(maps, Tensor) else type(maps).__name__
        raise InputError(
            name,
            expected=f"a tensor [batch, height, width] = {wanted}",
            got=got,
            hint="Reduce the channels and resize the map to the image first.",
        )
    return maps.detach().to(images.device)


def map_fault(maps: Maps) -> tuple[str, ...]:
    """Return why each map cannot be scored: ``"map not finite"``, or ``""`` if it can."""
    finite = torch.isfinite(maps).flatten(1).all(dim=1)
    return tuple("" if ok else "map not finite" for ok in finite.tolist())


def read_output(logits: Logits, target: Labels, output: CurveOutput) -> Scores:
    """Return the explained output of each row, float64 on the CPU."""
    if output == "probability":
        logits = logits.softmax(dim=1)
    elif output == "log_probability":
        logits = logits.log_softmax(dim=1)
    return logits.gather(1, target[:, None]).squeeze(1).cpu().double()


@torch.no_grad()
def perturbation_curves(
    classifier: Classifier,
    images: Images,
    maps: Maps,
    *,
    spec: CurveSpec,
    target: Labels | int | None = None,
    clean_logits: Logits | None = None,
    substrate: Substrate | None = None,
    rows: int | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Curves:
    """Return the curve of each image while its pixels are filled (or revealed) in ranked order.

    Only images strictly between clean and filled are made here, ``rows`` at a time; repeated
    images (fewer pixels than steps) are passed once.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        maps: ``float[batch, height, width]``, raw relevance; only its order matters.
        spec: what is filled, how, and what is read.
        target: a class per image or one class; None follows the class predicted when clean.
        clean_logits: ``[batch, classes]`` of the clean images if known: saves a pass.
        substrate: the filled images of ``spec.fill`` if known: saves a pass.
        rows: images per forward pass; None measures one image against ``budget``.
        budget: bytes of activations held at once.

    Returns:
        The curves; a map that holds NaN or infinity gives NaN and says so in ``reasons``.

    Raises:
        InputError: bad images, maps of another shape, a class out of range.
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    check_images(images)
    maps = check_maps(maps, images)
    if rows is None:
        rows = rows_per_pass(classifier, images, gradient=False, budget=budget)
    forwards = 0.0
    if clean_logits is None:
        clean_logits = classifier.predict(images, batch_size=rows)
        forwards += 1
    if substrate is None:
        substrate = make_substrate(classifier, images, spec.fill, seed=spec.seed, rows=rows)
        forwards += substrate.forwards
    classes = resolve_target(target, clean_logits)
    counts, x = spec.positions(maps[0].numel())
    values = np.full((len(images), len(x)), np.nan)
    reasons = map_fault(maps)
    valid = torch.tensor([i for i, why in enumerate(reasons) if not why], dtype=torch.int64)
    if len(valid):
        middle, place = np.unique(counts[(counts > 0) & (counts < counts[-1])], return_inverse=True)
        owners = valid.to(images.device)
        found = _middle_values(
            classifier, images, maps, classes, owners, middle, substrate, spec, rows
        )
        forwards += len(middle) * len(valid) / len(images)
        clean = read_output(clean_logits, classes, spec.output).numpy()
        filled = read_output(substrate.logits, classes, spec.output).numpy()
        start, end = (clean, filled) if spec.kind == "deletion" else (filled, clean)
        index = valid.numpy()
        values[np.ix_(index, counts == 0)] = start[index, None]
        values[np.ix_(index, counts == counts[-1])] = end[index, None]
        inner = np.flatnonzero((counts > 0) & (counts < counts[-1]))
        values[np.ix_(index, inner)] = found[:, place]
    logarithmic = spec.spacing == "log"
    return Curves(
        spec=replace(spec, target="predicted" if target is None else "given"),
        x=x,
        values=values,
        area=area_under(x, values),
        log_area=log_area_under(x, values) if logarithmic else np.full(len(images), np.nan),
        target=classes.cpu().numpy(),
        reasons=reasons,
        forwards=forwards,
    )


def _middle_values(
    classifier: Classifier,
    images: Images,
    maps: Maps,
    classes: Labels,
    owners: Tensor,
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    substrate: Substrate,
    spec: CurveSpec,
    rows: int,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the output of every (image, count), ``float64[owners, counts]``."""
    ranks = relevance_ranks(maps[owners])
    changed = torch.from_numpy(counts).to(images.device)
    found = np.empty(len(owners) * len(counts))
    for start in range(0, found.size, rows):
        row = torch.arange(start, min(start + rows, found.size), device=images.device)
        local, point = row // len(counts), row % len(counts)
        top = ranks[local] < changed[point][:, None, None]
        keep = ~top if spec.kind == "deletion" else top
        owner = owners[local]
        made = substrate.apply(images, keep, owner)
        logits = classifier(made.contiguous(memory_format=fast_layout(classifier, made)))
        found[start : start + len(row)] = read_output(logits, classes[owner], spec.output).numpy()
    return found.reshape(len(owners), len(counts))
