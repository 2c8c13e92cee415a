"""From a claim to a cue that can be shown: dose, place, mask, pictures, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_confirm import Tested, random_parts
from sundog.bias.shortcut_effect import probabilities
from sundog.bias.shortcut_grid import box_of, window
from sundog.bias.shortcut_pairs import Pairs, chunks
from sundog.bias.shortcut_repeat import printed_pixels
from sundog.bias.shortcut_result import CueDose, CueExample, Shortcut
from sundog.bias.shortcut_screen import Bench
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images
from sundog.core.statistics import Estimate, paired_proportions, wilson_interval
from sundog.data.components.component import Component
from sundog.data.components.paint_over import paint_over

OPACITIES = (0.25, 0.5, 0.75, 1.0)
SIZES = (0.5, 0.75, 1.0, 1.5)
DOSE_PAIRS = 120
MASKED = "masked"
"""Family of a part that lies elsewhere in every image: the cue's masks say where."""


@torch.no_grad()
def describe(
    bench: Bench,
    test: Tested,
    *,
    repeats: Float[np.ndarray, "height width"],
    level: float,
    examples: int,
) -> Shortcut:
    """Measure dose and place of a claim, and choose the images that show it.

    Args:
        bench: classifier and images.
        test: the claim.
        repeats: from :func:`sundog.bias.shortcut_repeat.repeat_map`.
        level: of the excess interval, corrected over all tests.
        examples: transplants to keep.
    """
    candidate, effect = test.candidate, test.effect
    component = candidate.component or Component(MASKED, {})
    return Shortcut(
        family=candidate.family or component.family,
        kind="local" if candidate.local else "whole",
        name=candidate.name,
        classes=_classes(test),
        flip=effect.flip_rate(),
        control=effect.control_rate(),
        excess=effect.excess(level),
        p=test.p,
        p_adjusted=test.p_adjusted,
        intact=wilson_interval(int(effect.intact.sum()), len(effect)),
        swapped=wilson_interval(int(effect.swapped.sum()), len(effect)),
        reliance=effect.reliance(),
        pull=effect.mean_pull(level),
        component=component,
        also=candidate.also,
        random_place=_random_place(bench, test),
        elsewhere=None if test.elsewhere is None else test.elsewhere.flip_rate(),
        removal=_removal(bench, test),
        dose=_doses(bench, test),
        box=box_of(candidate),
        mask=_mask(bench, candidate, repeats),
        image_masks={
            int(i): candidate.masks[i].numpy()
            for i in torch.nonzero(candidate.masks.flatten(1).any(dim=1)).flatten().tolist()
        }
        if candidate.masks is not None
        else {},
        examples=_examples(bench, test, most=examples),
        pairs=test.pairs,
        note=candidate.extra.get("note", ""),
    )


def _classes(test: Tested) -> tuple[int, ...]:
    """Return the donor classes that pull at least half as much as the strongest, by mean pull."""
    if test.class_index is not None:
        return (test.class_index,)
    means = {
        int(code): float(test.effect.pull[test.effect.donor_class == code].mean())
        for code in np.unique(test.effect.donor_class)
    }
    top = max(means.values())
    return tuple(code for code, mean in sorted(means.items()) if mean >= top / 2)


def _follow(bench: Bench, moved: Sequence[Images], pairs: Pairs) -> Estimate:
    giver = bench.labels[pairs.others]
    found = [
        probabilities(bench.classifier, part, batch_size=bench.batch_size).argmax(1)
        for part in moved
    ]
    bench.spent[0] += len(pairs)
    return wilson_interval(int((torch.cat(found) == giver).sum()), len(pairs))


def _few(pairs: Pairs, most: int) -> Pairs:
    return Pairs(pairs.targets[:most], pairs.others[:most], pairs.same[:most])


def _moved(bench: Bench, candidate: Candidate, pairs: Pairs, opacity: float) -> list[Images]:
    return [
        candidate.move(bench.images, pairs.targets[r], pairs.others[r], opacity=opacity)
        for r in chunks(len(pairs), bench.batch_size)
    ]


def _doses(bench: Bench, test: Tested) -> tuple[CueDose, ...]:
    pairs = _few(test.pairs, DOSE_PAIRS)
    found = [
        CueDose("opacity", dose, _follow(bench, _moved(bench, test.candidate, pairs, dose), pairs))
        for dose in OPACITIES
    ]
    box = box_of(test.candidate)
    if box is not None:
        for size in SIZES:
            scaled = replace(test.candidate, component=window(_scaled(box, size)).component)
            found.append(
                CueDose("size", size, _follow(bench, _moved(bench, scaled, pairs, 1.0), pairs))
            )
    return tuple(found)


def _scaled(
    box: tuple[float, float, float, float], size: float
) -> tuple[float, float, float, float]:
    top, left, tall, wide = box
    side = size**0.5
    h, w = min(1.0, tall * side), min(1.0, wide * side)
    y, x = top + (tall - h) / 2, left + (wide - w) / 2
    return min(max(y, 0.0), 1 - h), min(max(x, 0.0), 1 - w), h, w


def _random_place(bench: Bench, test: Tested) -> Estimate | None:
    """Return the flip rate of a local part that is pasted at random places."""
    if not test.candidate.local or test.candidate.family not in (
        *("window", "peak", "stamp", "mark"),
    ):
        return None
    pairs = _few(test.pairs, DOSE_PAIRS)
    random = np.random.default_rng(derive_seed(bench.seed, "place"))
    moved = bench.images[pairs.targets].clone()
    masks = donor_masks(test.candidate, bench.images, pairs.others)
    height, width = moved.shape[-2:]
    for row, (donor, mask) in enumerate(zip(pairs.others.tolist(), masks, strict=True)):
        y, x = torch.nonzero(mask, as_tuple=True)
        if not len(y):
            continue
        tall, wide = int(y.max() - y.min()) + 1, int(x.max() - x.min()) + 1
        top = int(random.integers(height - tall + 1))
        left = int(random.integers(width - wide + 1))
        moved[row][:, y - y.min() + top, x - x.min() + left] = bench.images[donor][:, y, x]
    return _follow(bench, [moved[r] for r in chunks(len(pairs), bench.batch_size)], pairs)


def _removal(bench: Bench, test: Tested) -> Estimate | None:
    """Return the accuracy that goes with the part when it is painted over, size accounted for."""
    if not test.candidate.local or test.candidate.also is not None:
        return None
    targets = _few(test.pairs, DOSE_PAIRS).targets
    right = []
    for masks in (
        random_parts(bench, test.candidate)[targets],
        donor_masks(test.candidate, bench.images, targets),
    ):
        painted = paint_over(bench.images[targets], masks)
        found = probabilities(bench.classifier, painted, batch_size=bench.batch_size).argmax(1)
        right.append((found == bench.labels[targets]).numpy())
    bench.spent[0] += 2 * len(targets)
    return paired_proportions(right[0], right[1]).difference


def donor_masks(
    candidate: Candidate, images: Images, donors: Int64[Tensor, "pairs"]
) -> Bool[Tensor, "pairs height width"]:
    """Return where the component of each donor lies."""
    height, width = images.shape[-2:]
    if candidate.masks is not None:
        return candidate.masks[donors]
    found = None if candidate.component is None else candidate.component.mask(height, width)
    if found is None:
        found = torch.ones(height, width, dtype=torch.bool)
    return found.expand(len(donors), height, width)


def _mask(
    bench: Bench, candidate: Candidate, repeats: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"] | None:
    """Return where a local cue is: its part, weighted by what the images of a class repeat there.

    Pixels of the part that are not repeated get half the weight; a part of which nothing is
    repeated (a stamp that moves) is uniform.
    """
    if not candidate.local:
        return None
    height, width = bench.images.shape[-2:]
    if candidate.masks is not None:
        share = candidate.masks.to(torch.float64).mean(dim=0).numpy()
        return share / max(float(share.max()), 1e-12)
    found = None if candidate.component is None else candidate.component.mask(height, width)
    inside = np.ones((height, width)) if found is None else found.numpy().astype(np.float64)
    printed = printed_pixels(repeats) & (inside > 0)
    if not printed.any():
        return inside
    return np.where(printed, 1.0, inside / 2)


def _examples(bench: Bench, test: Tested, *, most: int) -> tuple[CueExample, ...]:
    """Return transplants that flipped, of as many donor classes as can be."""
    rows = np.flatnonzero(test.effect.flips & ~test.effect.control)
    chosen: list[int] = []
    seen: set[int] = set()
    for fresh in (True, False):
        for row in rows.tolist():
            code = int(test.effect.donor_class[row])
            if len(chosen) < most and row not in chosen and (code not in seen or not fresh):
                chosen.append(row)
                seen.add(code)
    found = []
    for row in chosen:
        target, donor = test.pairs.targets[row : row + 1], test.pairs.others[row : row + 1]
        moved = test.candidate.move(bench.images, target, donor)
        after = probabilities(bench.classifier, moved, batch_size=1).argmax(1)
        found.append(
            CueExample(
                source=_pixels(bench.images[donor][0]),
                target=_pixels(bench.images[target][0]),
                pasted=_pixels(moved[0]),
                label=int(bench.labels[target]),
                before=int(bench.plain[target].argmax()),
                after=int(after),
            )
        )
    return tuple(found)


def _pixels(image: Tensor) -> np.ndarray:
    return np.rint(image.permute(1, 2, 0).clamp(0, 1).numpy() * 255).astype(np.uint8)
