"""A cue that was found in one model, tested on every model: the same images, the same donors.

Every image is seen twice: with the component of an image of another class, and, as the control,
with the component of an image of its own class. Who follows the cue, and what it is worth in
accuracy, is then paired over images between the two pictures and between the models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from scipy import stats
from torch import Tensor

from sundog.bias.limits import with_safe_limits
from sundog.bias.shortcut_effect import Effect
from sundog.bias.shortcut_pairs import Pairs
from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import (
    Estimate,
    mean_interval,
    paired_proportions,
    sign_flip_p_values,
    wilson_interval,
)

OUTCOMES = ("flips", "control", "intact", "swapped", "pull", "elsewhere")
COLUMNS = ("id", "label", "donor", *OUTCOMES)


@dataclass(frozen=True)
class RunOnCue:
    """What a cue does to one model.

    Attributes:
        run: its id.
        flip: share of the images that are predicted as the class of the donor.
        control: share that are predicted so with the component of their own class.
        excess: flip - control, paired; interval at the joint level.
        intact: accuracy with the component of an image of the own class.
        swapped: accuracy of the same images with that of another class.
        reliance: intact - swapped, paired; interval at the joint level.
        pull: probability that moves from the label to the donor's class, beyond that of a part of
            the same size elsewhere; the mean over images; interval at the joint level.
    """

    run: str
    flip: Estimate
    control: Estimate
    excess: Estimate
    intact: Estimate
    swapped: Estimate
    reliance: Estimate
    pull: Estimate


@dataclass(frozen=True)
class CueDifference:
    """How much more ``first`` follows and needs a cue than ``second``, over the same images.

    Attributes:
        first: a run.
        second: another.
        excess: of the excess flips; > 0: first follows more.
        reliance: of the reliance; > 0: first loses more accuracy.
        p_excess: sign-flip permutation over images, two-sided, not corrected.
        p_reliance: the same of the reliance.
    """

    first: str
    second: str
    excess: Estimate
    reliance: Estimate
    p_excess: float
    p_reliance: float


@dataclass(frozen=True)
class CrossedCue:
    """One cue on all models.

    Attributes:
        runs: one per model.
        differences: one per pair of models.
    """

    runs: tuple[RunOnCue, ...]
    differences: tuple[CueDifference, ...]

    def of(self, run: str) -> RunOnCue:
        """Return what the cue does to one model.

        Raises:
            InputError: no such run.
        """
        for entry in self.runs:
            if entry.run == run:
                return entry
        raise InputError("run", expected=f"one of {[r.run for r in self.runs]}", got=repr(run))


def draw_cross_pairs(
    labels: Int64[np.ndarray, " images"],
    classes: Sequence[int],
    *,
    good: Bool[np.ndarray, " images"],
    give: Bool[np.ndarray, " images"],
    seed: int,
    key: str = "",
) -> Pairs:
    """Draw for every image a donor of another class that the cue speaks for, and one of its own.

    Args:
        labels: class of each image, -1 = unlabelled, which neither give nor take.
        classes: that the cue speaks for; empty = all.
        good: preferred donors, such as images that a model in which the cue was claimed gets
            right: what they carry is what it goes by. A class with fewer than two gives all.
        give: images that can be donors at all.
        seed: of the draw.
        key: of the cue, so that every cue has a draw of its own.

    Returns:
        Pairs; an image whose class alone the cue speaks for, or that has no donor, is left out.
    """
    random = np.random.default_rng(derive_seed(seed, "donors", key))
    known = np.unique(labels[labels >= 0]).tolist()
    pools: dict[int, Int64[np.ndarray, " pool"]] = {}
    for code in known:
        mine = np.flatnonzero((labels == code) & give)
        best = mine[good[mine]]
        pools[code] = best if len(best) >= 2 else mine
    speaks = [code for code in known if len(pools[code]) and (not classes or code in classes)]
    rows: list[tuple[int, int, int]] = []
    turn = int(random.integers(1 << 30))
    for target in random.permutation(np.flatnonzero(labels >= 0)).tolist():
        label = int(labels[target])
        givers = [code for code in speaks if code != label]
        own = pools[label][pools[label] != target]
        if not givers or not len(own):
            continue
        giver = pools[givers[turn % len(givers)]]
        turn += 1
        rows.append((target, int(random.choice(giver)), int(random.choice(own))))
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    return Pairs(targets=table[:, 0], others=table[:, 1], same=table[:, 2])


def parts_elsewhere(
    count: int, size: tuple[int, int], part: tuple[int, int], *, seed: int
) -> Bool[Tensor, "images height width"]:
    """Return a box of one size at a random place of each image: the control of a part.

    Ordinary content pulls as well, wherever it is cut out.

    Args:
        count: images.
        size: (height, width) of the images.
        part: (height, width) of the box, at least one pixel each way.
        seed: of the places.
    """
    (height, width), (tall, wide) = size, part
    random = np.random.default_rng(derive_seed(seed, "elsewhere"))
    draws = random.random((count, 2))
    top = torch.from_numpy((draws[:, 0] * (height - tall + 1)).astype(np.int64))[:, None]
    left = torch.from_numpy((draws[:, 1] * (width - wide + 1)).astype(np.int64))[:, None]
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + tall)
    in_columns = (columns >= left) & (columns < left + wide)
    return in_rows[:, :, None] & in_columns[:, None, :]


def effect_table(
    effect: Effect,
    pairs: Pairs,
    labels: Int64[np.ndarray, " images"],
    ids: Sequence[str],
    *,
    elsewhere: Effect | None = None,
) -> pd.DataFrame:
    """Return the outcomes of every pair as a row: the columns :data:`COLUMNS`, one per target.

    Args:
        effect: of the cue.
        pairs: who gave and who received.
        labels: of all images.
        ids: of all images.
        elsewhere: of parts of the same size at random places, on the same pairs; None for a
            property of the whole image, of which there is no other.
    """
    targets = pairs.targets.tolist()
    return pd.DataFrame(
        {
            "id": [ids[i] for i in targets],
            "label": labels[targets],
            "donor": effect.donor_class,
            "flips": effect.flips,
            "control": effect.control,
            "intact": effect.intact,
            "swapped": effect.swapped,
            "pull": effect.pull,
            "elsewhere": 0.0 if elsewhere is None else elsewhere.pull,
        },
        columns=list(COLUMNS),
    )


def measure_crossed(
    tables: Mapping[str, pd.DataFrame],
    *,
    level: float = 0.95,
    permutations: int = 9999,
    seed: int = 0,
) -> CrossedCue:
    """Measure what one cue does to each model, and the differences between them.

    Args:
        tables: run id -> the rows of :func:`effect_table`, of the same images and donors.
        level: of the intervals of excess, reliance, pull, and of the differences.
        permutations: sign patterns.
        seed: of the patterns.

    Raises:
        InputError: no image took part, or the runs saw other images.
    """
    first = next(iter(tables.values()))
    for run, table in tables.items():
        if not all(table[c].equals(first[c]) for c in ("id", "label", "donor")):
            raise InputError(f"rows of {run!r}", expected="of the same images", got="others")
    if not len(first):
        raise InputError("cue", expected="one that some image could follow", got="none")
    gained = {run: _per_image(table) for run, table in tables.items()}
    differences = []
    for a, b in combinations(tables, 2):
        gaps = {name: gained[a][name] - gained[b][name] for name in ("excess", "reliance")}
        p = {
            name: float(sign_flip_p_values(gap[:, None], permutations=permutations, seed=seed)[0])
            for name, gap in gaps.items()
        }
        differences.append(
            CueDifference(
                first=a,
                second=b,
                excess=difference_interval(gaps["excess"], level=level),
                reliance=difference_interval(gaps["reliance"], level=level),
                p_excess=p["excess"],
                p_reliance=p["reliance"],
            )
        )
    return CrossedCue(
        runs=tuple(_measure(run, table, level) for run, table in tables.items()),
        differences=tuple(differences),
    )


def heaviest_difference(
    tables: Mapping[str, Mapping[str, pd.DataFrame]], first: str, second: str, *, level: float
) -> Estimate:
    """Return how much more accuracy hangs on the heaviest cue of one model than of another.

    The heaviest cue of a model is that with the largest reliance on these images, chosen for each
    model by itself; what it costs is paired over the images that both cues were tested on.

    Args:
        tables: cue -> run -> rows of :func:`effect_table`.
        first: a run.
        second: another.
        level: of the interval; divide the error by the number of cues, of which one is chosen.
    """
    costs: dict[str, pd.Series] = {}
    for run in (first, second):
        found = []
        for key in sorted(tables):
            table = tables[key][run]
            cost = pd.Series(_per_image(table)["reliance"], index=table["id"])
            found.append(cost[~cost.index.duplicated()])
        costs[run] = max(found, key=lambda cost: float(cost.mean()))
    gap = (costs[first] - costs[second]).dropna().to_numpy(float)
    return difference_interval(gap, level=level)


def difference_interval(values: Float[np.ndarray, " images"], *, level: float = 0.95) -> Estimate:
    """Return the mean of differences in {-2, ..., 2} with an interval that is never empty.

    The interval is Wald's of the sample with half an observation of +1, half of -1 and one of 0
    added, as Agresti and Min do for one paired difference; it is widened to hold the mean.

    Args:
        values: ``[n]``.
        level: of the interval.

    Source: Agresti & Min, 2005, Statistics in Medicine 24 (adding 1/2 to each cell).
    """
    n = len(values)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level, "agresti-min")
    mean = float(values.mean())
    centre = float(values.sum()) / (n + 2)
    spread = (float((values**2).sum()) + 1) / (n + 2) - centre**2
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt(max(spread, 0.0) / (n + 2))
    return Estimate(
        mean, min(mean, centre - half), max(mean, centre + half), n, level, "agresti-min"
    )


def _per_image(table: pd.DataFrame) -> dict[str, Float[np.ndarray, " images"]]:
    """Return flips minus control and intact minus swapped of every image, in {-1, 0, 1}."""
    value = {name: table[name].to_numpy(bool).astype(float) for name in OUTCOMES[:4]}
    return {
        "excess": value["flips"] - value["control"],
        "reliance": value["intact"] - value["swapped"],
    }


def _measure(run: str, table: pd.DataFrame, level: float) -> RunOnCue:
    hits = {name: table[name].to_numpy(bool) for name in OUTCOMES[:4]}
    rates = {name: wilson_interval(int(v.sum()), len(v)) for name, v in hits.items()}
    excess = with_safe_limits(paired_proportions(hits["flips"], hits["control"], level=level))
    reliance = with_safe_limits(paired_proportions(hits["intact"], hits["swapped"], level=level))
    return RunOnCue(
        run=run,
        flip=rates["flips"],
        control=rates["control"],
        excess=excess.difference,
        intact=rates["intact"],
        swapped=rates["swapped"],
        reliance=reliance.difference,
        pull=mean_interval((table["pull"] - table["elsewhere"]).to_numpy(float), level=level),
    )
