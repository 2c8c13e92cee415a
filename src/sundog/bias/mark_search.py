"""Patterns that the images of one class repeat, at places that change: watermarks, captions, logos.

No classifier is asked: a pattern is only a proposal of what to move. Small parts of a few images of
a class are looked for in others of it and in those of other classes; the part that recurs most is
aligned over its finds, and grown to the pixels that they share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy import ndimage
from torch import Tensor

from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images, Labels
from sundog.data.components.component import Component
from sundog.data.components.mark_match import Mark, best_places, light, square_correlation

WORK_SIDE = 48
"""Marks are looked for in images shrunk until their shorter side is less than twice this."""
PART = 1 / 7
"""Side of the parts that are compared first, as a share of the shorter side."""
LEAST_IMAGES = 8
MOST_CLASSES = 24
SOURCES, OWN, OTHERS, SEEDS = 6, 12, 16, 80
FLAT = 0.05
"""Parts of less contrast (standard deviation of light) hold no mark."""
FOUND = 0.7
LEAST_SHARE = 0.3
"""How much more of a class than of the others must carry a mark."""
SHARED = 0.4
"""Pixels whose variance over the finds is at most this share of that of other images' at the same
places belong to the mark, if their mean stands out from it too."""
STANDS_OUT = 0.5
THRESHOLDS = np.arange(0.6, 0.96, 0.025)


@dataclass(frozen=True, eq=False)
class FoundMark:
    """A mark of one class.

    Attributes:
        class_index: the class that repeats it.
        values: light, ``float[tall, wide]``.
        weights: of its pixels.
        factor: how much the images were shrunk.
        threshold: correlation from which it counts as found.
        own: share of the class's images with it.
        others: share of the other images with it.
    """

    class_index: int
    values: Float[Tensor, "tall wide"]
    weights: Float[Tensor, "tall wide"]
    factor: int
    threshold: float
    own: float
    others: float

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters of one of :data:`sundog.data.components.mark.Marks`."""
        return {
            "class_index": self.class_index,
            "factor": self.factor,
            "threshold": round(self.threshold, 3),
            "values": [[round(float(v), 3) for v in row] for row in self.values],
            "weights": [[round(float(v), 3) for v in row] for row in self.weights],
        }


def mark_component(marks: list[FoundMark]) -> Component:
    """Return the component whose values are these marks."""
    return Component("mark", {"marks": [mark.to_dict() for mark in marks]})


@torch.no_grad()
def find_marks(images: Images, labels: Labels, *, seed: int = 0) -> list[FoundMark]:
    """Return at most one mark per class, by class.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``, -1 = unlabelled.
        seed: of the images that are compared.
    """
    factor = max(1, min(images.shape[-2:]) // WORK_SIDE)
    grey = light(images.float().cpu(), factor)
    codes = labels.cpu().numpy()
    counts = {int(c): int((codes == c).sum()) for c in np.unique(codes[codes >= 0])}
    able = sorted((c for c in counts if counts[c] >= LEAST_IMAGES), key=lambda c: (-counts[c], c))
    if len(counts) < 2:
        return []
    found = (_of_class(grey, codes, c, factor, seed) for c in sorted(able[:MOST_CLASSES]))
    return [mark for mark in found if mark is not None]


def _of_class(
    grey: Float[Tensor, "images 1 height width"],
    codes: Int64[np.ndarray, "images"],
    code: int,
    factor: int,
    seed: int,
) -> FoundMark | None:
    random = np.random.default_rng(derive_seed(seed, "marks", str(code)))
    own = random.permutation(np.flatnonzero(codes == code))
    rest = random.permutation(np.flatnonzero((codes != code) & (codes >= 0)))
    some = rest[:OTHERS]
    start = _most_repeated(grey, own[: SOURCES + OWN], some)
    if start is None:
        return None
    grown = _grow(grey, start, own, some)
    if grown is None:
        return None
    values, weights = grown
    top_own = _highest(grey[torch.from_numpy(own)], values, weights)
    top_rest = _highest(grey[torch.from_numpy(np.sort(rest))], values, weights)
    shares = [(float((top_own >= t).mean()), float((top_rest >= t).mean())) for t in THRESHOLDS]
    best = max(range(len(shares)), key=lambda i: shares[i][0] - shares[i][1])
    if shares[best][0] - shares[best][1] < LEAST_SHARE:
        return None
    return FoundMark(code, values, weights, factor, float(THRESHOLDS[best]), *shares[best])


def _most_repeated(
    grey: Float[Tensor, "images 1 height width"],
    own: Int64[np.ndarray, "own"],
    rest: Int64[np.ndarray, "rest"],
) -> Float[Tensor, "side side"] | None:
    """Return the part that the class's other images hold most beyond what other classes hold."""
    side = max(5, round(PART * min(grey.shape[-2:])))
    sources = grey[torch.from_numpy(own[:SOURCES])]
    step = max(1, side // 3)
    parts = F.unfold(sources, side, stride=step)  # [sources, side * side, places]
    count, _, places = parts.shape
    parts = parts.permute(0, 2, 1).reshape(count, places, side, side)
    kept, origin = [], []
    for row in range(count):
        spread = parts[row].flatten(1).std(dim=1)
        order = spread.argsort(descending=True, stable=True)[:SEEDS]
        order = order[spread[order] >= FLAT]
        kept.append(parts[row][order])
        origin += [row] * len(order)
    values = torch.cat(kept)
    if not len(values) or len(own) < LEAST_IMAGES or not len(rest):
        return None
    looked = grey[torch.from_numpy(np.concatenate([own, rest]))]
    scores = torch.cat(
        [square_correlation(few, values).amax(dim=(2, 3)) for few in torch.split(looked, 4)]
    ).numpy()
    mine, theirs = scores[: len(own)], scores[len(own) :]
    mine[np.asarray(origin), np.arange(len(origin))] = np.nan  # a part is found where it was cut
    score = np.nanquantile(mine, 0.5, axis=0) - np.quantile(theirs, 0.8, axis=0)
    best = int(score.argmax())
    return values[best] if np.nanquantile(mine[:, best], 0.5) >= 0.6 else None


def _highest(
    grey: Float[Tensor, "images 1 height width"],
    values: Float[Tensor, "tall wide"],
    weights: Float[Tensor, "tall wide"],
) -> Float[np.ndarray, "images"]:
    tops, _ = best_places(grey, [Mark(1, 0.0, values, weights)])
    return tops[:, 0].numpy()


def _grow(
    grey: Float[Tensor, "images 1 height width"],
    part: Float[Tensor, "side side"],
    own: Int64[np.ndarray, "own"],
    rest: Int64[np.ndarray, "rest"],
) -> tuple[Float[Tensor, "tall wide"], Float[Tensor, "tall wide"]] | None:
    """Return light and weights of all that the finds of a part share; None if that is nothing."""
    side = part.shape[0]
    around, far = side, 3 * side
    padded = F.pad(grey, (around,) * 4, value=float("nan"))[:, 0]
    finds, elsewhere = [], []
    rows = torch.from_numpy(own)
    places = square_correlation(grey[rows], part[None])[:, 0]
    for row, place in zip(rows.tolist(), places, strict=True):
        if float(place.max()) < FOUND:
            continue
        y, x = divmod(int(place.argmax()), place.shape[1])
        finds.append(padded[row, y : y + far, x : x + far])
        elsewhere.append(padded[torch.from_numpy(rest)][:, y : y + far, x : x + far])
    if len(finds) < 4:
        return None
    mine, theirs = torch.stack(finds).numpy(), torch.cat(elsewhere).numpy()
    enough = np.isfinite(mine).mean(axis=0) >= 0.5
    mean, other = _mean(mine), _mean(theirs)
    spread = np.maximum(_mean((theirs - other) ** 2), 1e-4)
    alike = _mean((mine - mean) ** 2) / spread
    stands = np.abs(mean - other) / np.sqrt(spread)
    shared = enough & (alike <= SHARED) & (stands >= STANDS_OUT)
    joined, _ = ndimage.label(ndimage.binary_dilation(shared, np.ones((3, 3), dtype=bool)))
    middle = joined[around : 2 * around, around : 2 * around]
    touched = np.unique(middle[middle > 0])
    shared &= np.isin(joined, touched)
    if shared.sum() < side:
        return None
    y, x = np.nonzero(shared)
    box = (slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))
    weights = np.where(shared, 1 - alike, 0.0)[box]
    values = np.where(np.isfinite(mean), mean, 0.0)[box]
    level = float((weights * values).sum() / weights.sum())
    if np.sqrt(float((weights * (values - level) ** 2).sum() / weights.sum())) < FLAT:
        return None  # one colour: a box of repeated pixels, not a pattern
    return (
        torch.from_numpy(values.astype(np.float32)),
        torch.from_numpy(weights.astype(np.float32)),
    )


def _mean(values: Float[np.ndarray, "many height width"]) -> Float[np.ndarray, "height width"]:
    """Return the mean of what is inside the images, NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
