"""What may be a cue: screened candidates, a number fixed in advance, for the test to decide on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sundog.bias.shortcut_candidate import MARGINS, SMALL_MARK, Candidate
from sundog.bias.shortcut_conjunction import conjunctions, together
from sundog.bias.shortcut_grid import (
    Box,
    box_of,
    coarse_windows,
    inner_windows,
    may_claim,
    spread_apart,
    whole_candidates,
    window,
)
from sundog.bias.shortcut_peaks import Attribute, map_images, peak_masks
from sundog.bias.shortcut_repeat import (
    grown_box,
    print_carriers,
    printed_pixels,
    printed_share,
    repeated_boxes,
    repeats_cast,
)
from sundog.bias.shortcut_screen import Bench, Screened, fit_window
from sundog.data.components.component import Component
from sundog.data.components.jpeg_quality import UNKNOWN, jpeg_qualities
from sundog.data.components.mark import mark_classes

WINDOWS = 4
"""Windows that are tested, beside frames, surrounds, whole-image properties and proposals."""
PRINTED, FILLED = 0.3, 0.6
"""Share of its pixels that a class must repeat before a window counts as printed, and as nothing
but print."""
BREAK_PAIRS = 60
"""Pairs of images by which two components are chosen that tell something only together."""
BOTH = 0.05
"""Pull of two components together beyond the sum of their margins that needs no cue."""
PEAK_SIDES = (1 / 8, 1 / 5)
"""Larger parts, or the receiver's own painted over first, would move whole objects."""


def propose(
    bench: Bench,
    look: Callable[[Candidate], Screened],
    *,
    repeats: Float[np.ndarray, "height width"],
    among: Bool[np.ndarray, "images"],
    attribute: Attribute | None,
    boxes: Sequence[Box],
    stamps: Mapping[str, Component],
) -> list[Screened]:
    """Screen all candidates; return those that go into the test.

    Args:
        bench: classifier and images.
        look: screens a candidate, always with the same pairs.
        repeats: from :func:`sundog.bias.shortcut_repeat.repeat_map`.
        among: the images that propose.
        attribute: maps of the prediction, or None.
        boxes: proposed by others.
        stamps: proposed by others: stamps and marks.
    """
    whole = [look(_with_ground(c, repeats)) for c in _whole(bench, among)]
    windows = _windows(bench, look, [*repeated_boxes(repeats), *boxes], repeats, among)
    parts = [look(candidate) for candidate in _parts(bench, attribute, stamps)]
    singles = [*windows, *parts, *whole]
    both = conjunctions(bench, [s.candidate for s in singles], among, most=BREAK_PAIRS)
    return [*singles, *_together(look, singles), *map(look, both)]


def _windows(
    bench: Bench,
    look: Callable[[Candidate], Screened],
    proposed: Sequence[Box],
    repeats: Float[np.ndarray, "height width"],
    among: Bool[np.ndarray, "images"],
) -> list[Screened]:
    """Return the windows with the most pull for their area, fitted to where it is."""
    coarse = sorted((look(c) for c in coarse_windows()), key=lambda s: -s.weight)
    found = list(coarse[:6])
    for parent in coarse[:6]:
        box = box_of(parent.candidate)
        if box is not None and max(box[2:]) < 0.5:
            found += [look(c) for c in inner_windows(box)]
    found += [look(window(box)) for box in proposed]
    height, width = bench.images.shape[-2:]
    able = sorted((s for s in found if _may_claim(s.candidate, repeats)), key=lambda s: -s.weight)
    boxes = [box_of(s.candidate) or (0.0, 0.0, 1.0, 1.0) for s in able]
    apart = [able[i] for i in spread_apart(boxes, most=WINDOWS)]
    least = 1 / min(height, width)
    fitted = [
        fit_window(s, look, least=least) if s.pull > MARGINS["part"] else s for s in apart[:2]
    ]
    whole = [_whole_print(s, look, repeats) for s in [*fitted, *apart[2:]]]
    return [_with_content(bench, s, repeats, among) for s in _distinct(whole)]


def _may_claim(candidate: Candidate, repeats: Float[np.ndarray, "height width"]) -> bool:
    """Return whether a window may be tested; one that is filled with print may be larger."""
    box = box_of(candidate)
    return may_claim(candidate, filled=box is not None and printed_share(repeats, box) >= FILLED)


def _distinct(found: Sequence[Screened]) -> list[Screened]:
    """Return the windows without those that were fitted to the same box as an earlier one."""
    kept: dict[Box | None, Screened] = {}
    for screened in found:
        kept.setdefault(box_of(screened.candidate), screened)
    return list(kept.values())


def _with_ground(candidate: Candidate, repeats: Float[np.ndarray, "height width"]) -> Candidate:
    """Return a frame or surround with the margin that its content calls for: one that no class
    prints holds hair, sky or grass, which sound models look at too.
    """
    mask = None if candidate.component is None else candidate.component.mask(*repeats.shape)
    if mask is None or float(printed_pixels(repeats)[mask.numpy()].mean()) >= PRINTED:
        return candidate
    return replace(candidate, margin=MARGINS["ground"])


def _whole(bench: Bench, among: Bool[np.ndarray, "images"]) -> list[Candidate]:
    """Return frames, surrounds and properties of the whole image.

    The colour cast apart from the colour only if a class repeats one, for that of photographs is
    grass and sky. Compression that can be read from the pixels leaves a sound model alone.
    """
    chosen = torch.from_numpy(np.flatnonzero(among))
    proposing = bench.images[chosen]
    cast = repeats_cast(proposing, bench.labels[chosen].numpy())
    read = np.mean([quality != UNKNOWN for quality in jpeg_qualities(proposing)])
    return [
        replace(c, margin=MARGINS["encoded"]) if c.family == "compression" and read > 0.5 else c
        for c in whole_candidates()
        if cast or c.family != "cast"
    ]


def _with_content(
    bench: Bench,
    screened: Screened,
    repeats: Float[np.ndarray, "height width"],
    among: Bool[np.ndarray, "images"],
) -> Screened:
    """Return a window with the margin that its content calls for; donors that carry the print."""
    box = box_of(screened.candidate)
    if box is None or printed_share(repeats, box) < PRINTED:
        return screened
    carriers = print_carriers(bench.images, bench.labels.numpy(), box, among=among)
    printed = replace(window(box, printed=True), give=torch.from_numpy(carriers))
    return replace(screened, candidate=printed)


def _whole_print(
    screened: Screened,
    look: Callable[[Candidate], Screened],
    repeats: Float[np.ndarray, "height width"],
) -> Screened:
    """Return the window around all of the print that a window is part of, if it pulls as much."""
    box = box_of(screened.candidate)
    if box is None:
        return screened
    grown = grown_box(repeats, box)
    candidate = window(grown)
    if candidate.area <= screened.candidate.area * 1.001 or not _may_claim(candidate, repeats):
        return screened
    whole = look(candidate)
    return whole if whole.pull >= 0.95 * screened.pull else screened


def _parts(
    bench: Bench,
    attribute: Attribute | None,
    stamps: Mapping[str, Component],
) -> list[Candidate]:
    """Return the parts that lie elsewhere in every image: map peaks, recognised stamps, marks."""
    found = []
    if attribute is not None:
        maps = map_images(
            attribute, bench.images, device=bench.classifier.device, batch_size=bench.batch_size
        )
        bench.spent[0] += 2 * len(maps)
        for side in PEAK_SIDES:
            found.append(
                Candidate(
                    name=f"what the map marks most ({side:.0%} of the side)",
                    margin=MARGINS["peak"],
                    masks=peak_masks(maps, side=side),
                    family="peak",
                    area=side * side,
                )
            )
    for name, component in stamps.items():
        masks = component.locate(bench.images)
        if masks is None or not bool(masks.any()):
            continue
        share = float(masks[masks.flatten(1).any(dim=1)].float().mean())
        mark = component.family == "mark"
        found.append(
            Candidate(
                name=name,
                margin=MARGINS["large" if mark and share > SMALL_MARK else component.family],
                component=component,
                masks=masks,
                give=_typical(bench, component),
                fill=True,
                ordinary=3.0 if mark else 1.0,
                family=component.family,
                area=max(share, 1e-3),
            )
        )
    return found


def _typical(bench: Bench, component: Component) -> Bool[Tensor, "images"] | None:
    """Return which images show the mark of their own class: others' donors speak for another."""
    if component.family != "mark":
        return None
    return mark_classes(bench.images, **component.parameters) == bench.labels


def _together(look: Callable[[Candidate], Screened], singles: Sequence[Screened]) -> list[Screened]:
    """Return the pair of components of different families that pulls most beyond its parts."""
    able = [
        s
        for s in sorted(singles, key=lambda s: -s.pull)
        if s.candidate.component is not None and s.candidate.family != "surround"
    ][:5]
    found: list[tuple[float, Screened]] = []
    for i, one in enumerate(able):
        for two in able[i + 1 :]:
            if one.candidate.family == two.candidate.family:
                continue
            if not (one.candidate.local or two.candidate.local):
                continue
            least = one.candidate.margin + two.candidate.margin + BOTH
            margin = max(MARGINS["pair"], least)
            both = look(together(one.candidate, two.candidate, margin=margin))
            found.append((both.pull - max(one.pull, 0.0) - max(two.pull, 0.0), both))
    return [max(found, key=lambda row: row[0])[1]] if found else []
