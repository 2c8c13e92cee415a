"""The causal test on fresh pairs, corrected; and what one cue explains of another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import stats
from torch import Tensor

from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_conjunction import broken_alone
from sundog.bias.shortcut_effect import Effect, Move, measure_effect
from sundog.bias.shortcut_grid import box_of
from sundog.bias.shortcut_pairs import Pairs
from sundog.bias.shortcut_screen import Bench
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images
from sundog.core.statistics import holm

LEAST_PAIRS = 12
POWER = 0.8


@dataclass(frozen=True, eq=False)
class Tested:
    """One candidate, pooled over donor classes or for one class, on pairs nobody has looked at.

    Attributes:
        candidate: what was moved.
        class_index: the donors' class; None = all.
        pairs: used.
        effect: outcomes.
        elsewhere: outcomes of parts of the same size at random places, on the same pairs; None
            for a property of the whole image.
        margin: pull, beyond that of such parts, that needs no cue.
        p: one-sided, of ``pull - pull elsewhere <= margin``; where the candidate asks for more, the
            larger of this and of ``pull - ordinary * pull elsewhere <= 0``; of a conjunction, of
            this and of "either component alone costs no more than both".
        p_adjusted: Holm over all tests of the search, weighted by ``prior``.
        detectable: smallest pull that would have been claimed with 80 % power.
        prior: what screening, on other images, made of it; higher = more promising.
    """

    candidate: Candidate
    class_index: int | None
    pairs: Pairs
    effect: Effect
    elsewhere: Effect | None
    margin: float
    p: float
    p_adjusted: float = 1.0
    detectable: float | None = None
    prior: float = 0.0

    @property
    def beyond(self) -> Float[np.ndarray, "pairs"]:
        """Pull of each pair beyond that of a part of the same size elsewhere."""
        return self.effect.pull - (0.0 if self.elsewhere is None else self.elsewhere.pull)

    @property
    def weight(self) -> float:
        """Pull for its area, less for what is the longer account.

        A part that lies elsewhere in every image, a single class, two components together.
        """
        longer = 0.8 if self.candidate.family == "peak" else 1.0
        longer *= 0.5 if self.class_index is not None else 1.0
        return longer * float(self.beyond.mean()) / self.candidate.area**0.15


def try_candidate(
    bench: Bench,
    candidate: Candidate,
    among: Bool[np.ndarray, "images"],
    *,
    most: int,
    class_index: int | None = None,
) -> Tested | None:
    """Measure one candidate on fresh pairs; None if there are too few.

    A part is held against parts of the same size at random places of the same images: ordinary
    content pulls there as well.
    """
    pairs = bench.pairs(candidate, among, most=most, stage=1, class_index=class_index)
    if len(pairs) < LEAST_PAIRS:
        return None
    effect = _measure(bench, candidate.move, pairs)
    elsewhere = None
    if candidate.local and candidate.also is None:
        masks = random_parts(bench, candidate)
        elsewhere = _measure(
            bench, replace(candidate, component=None, masks=masks, fill=False).move, pairs
        )
    margin = bench.margin(candidate, class_index=class_index)
    test = Tested(candidate, class_index, pairs, effect, elsewhere, margin, p=1.0)
    p = exceeds(test.beyond, margin)
    if elsewhere is not None and candidate.ordinary > 1:
        p = max(p, exceeds(effect.pull - candidate.ordinary * elsewhere.pull, 0.0))
    if candidate.broken is not None:
        p = max(p, exceeds(broken_alone(bench, candidate, among, most=most), candidate.broken))
    return replace(test, p=p)


def _measure(bench: Bench, move: Move, pairs: Pairs) -> Effect:
    bench.spent[0] += 2 * len(pairs)
    return measure_effect(
        bench.classifier, bench.images, bench.labels, move, pairs, batch_size=bench.batch_size
    )


def random_parts(bench: Bench, candidate: Candidate) -> Bool[Tensor, "images height width"]:
    """Return a box of the part's size (a square of the same area, if it is no box) at a random
    place of each image, drawn by seed and position.
    """
    count, _, height, width = bench.images.shape
    box = box_of(candidate)
    if box is not None:
        tall, wide = max(1, round(box[2] * height)), max(1, round(box[3] * width))
    else:
        side = math.sqrt(min(candidate.area, 1.0))
        tall, wide = max(1, round(side * height)), max(1, round(side * width))
    random = np.random.default_rng(derive_seed(bench.seed, "elsewhere"))
    draws = random.random((count, 2))
    top = torch.from_numpy((draws[:, 0] * (height - tall + 1)).astype(np.int64))[:, None]
    left = torch.from_numpy((draws[:, 1] * (width - wide + 1)).astype(np.int64))[:, None]
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + tall)
    in_columns = (columns >= left) & (columns < left + wide)
    return in_rows[:, :, None] & in_columns[:, None, :]


def exceeds(pull: Float[np.ndarray, "pairs"], margin: float) -> float:
    """Return the one-sided p-value of ``mean pull <= margin``.

    Student's t on the pulls and one more pair that pulls fully the other way (-1): a few pairs
    that happen to agree, with no spread between them, prove nothing.
    """
    padded = np.append(pull, -1.0)
    error = float(padded.std(ddof=1)) / math.sqrt(len(padded))
    if error == 0:
        return 1.0
    return float(stats.t.sf((float(padded.mean()) - margin) / error, len(padded) - 1))


def correct(tests: Sequence[Tested], *, alpha: float) -> list[Tested]:
    """Return the tests with corrected p-values and the smallest pull they could have shown.

    Holm, weighted by one over the rank in screening: the images that screened decide nothing, so
    the weights know nothing of the p-values.
    """
    ranks = np.empty(len(tests))
    ranks[np.argsort([-test.prior for test in tests], kind="stable")] = np.arange(len(tests)) + 1
    shares = 1 / ranks
    adjusted = holm([test.p for test in tests], weights=shares)
    levels = alpha * shares / max(float(shares.sum()), 1.0)
    return [
        replace(test, p_adjusted=float(value), detectable=_detectable(test, alpha=float(level)))
        for test, value, level in zip(tests, adjusted, levels, strict=True)
    ]


def _detectable(test: Tested, *, alpha: float) -> float | None:
    """Return margin + (z_{1-alpha} + z_{power}) s / sqrt(n), s at least that of rare flips."""
    n = len(test.effect)
    spread = max(float(test.beyond.std()), math.sqrt(test.margin * (1 - test.margin)) / 2)
    far = float(stats.norm.isf(alpha) + stats.norm.ppf(POWER))
    found = test.margin + far * spread / math.sqrt(n)
    return found if found < 1 else None


@torch.no_grad()
def remains(bench: Bench, test: Tested, explained_by: Sequence[Candidate]) -> float:
    """Return the pull that is left of a test when what stronger cues moved is put back.

    After the move, the components of the stronger cues are restored from the target itself, in
    both arms: what remains is the component's own.
    """

    def move(
        images: Images, targets: Int64[Tensor, "pairs"], donors: Int64[Tensor, "pairs"]
    ) -> Images:
        moved = test.candidate.move(images, targets, donors)
        for other in explained_by:
            moved = put_back(other, moved, images, targets, donors)
        return moved

    return float(_measure(bench, move, test.pairs).pull.mean())


def put_back(
    candidate: Candidate,
    moved: Images,
    images: Images,
    targets: Int64[Tensor, "pairs"],
    donors: Int64[Tensor, "pairs"],
) -> Images:
    """Return the moved images with the component of the targets themselves."""
    own = images[targets]
    if candidate.masks is not None:
        inside = (candidate.masks[donors] | candidate.masks[targets])[:, None]
        return torch.where(inside, own, moved)
    if candidate.component is None:
        return moved
    restored = candidate.component.transfer(moved, own)
    return candidate.also.transfer(restored, own) if candidate.also is not None else restored


def choose_claims(
    bench: Bench, tests: Sequence[Tested], *, alpha: float
) -> tuple[list[Tested], dict[int, str]]:
    """Return the tests that become cues, and for the other significant ones what explains them.

    Significant tests by pull for their area; one that keeps less than half of its pull, or less
    than its margin, once the cues before it are put back is another view of those.

    Returns:
        The claims, strongest first, and id of a test -> name of the cue that explains it.
    """
    good = [test for test in tests if test.p_adjusted <= alpha]
    pooled = {id(test.candidate): test for test in good if test.class_index is None}
    order = sorted(
        good,
        key=lambda t: (
            t.candidate.also is not None,
            -_best_of(t, pooled).weight,
            t.class_index is not None,
            t.p,
        ),
    )
    claims: list[Tested] = []
    explained: dict[int, str] = {}
    for test in order:
        same = [c for c in claims if c.candidate is test.candidate]
        if same:
            explained[id(test)] = same[0].candidate.name
            continue
        if claims:
            left = remains(bench, test, [claim.candidate for claim in claims])
            if left < max(test.margin, float(test.effect.pull.mean()) / 2):
                explained[id(test)] = claims[0].candidate.name
                continue
        claims.append(test)
    return claims, explained


def _best_of(test: Tested, pooled: Mapping[int, Tested]) -> Tested:
    """Return the test over all classes of the same candidate, if it is significant too."""
    return pooled.get(id(test.candidate), test)
