"""Who gives and who receives: targets, donors of another class and of the target's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Pairs:
    """Three positions per row, ``int64[pairs]`` each.

    Attributes:
        targets: images that receive; each at most once.
        others: donors of another class than the target.
        same: donors of the target's own class, never the target itself.
    """

    targets: Int64[Tensor, "pairs"]
    others: Int64[Tensor, "pairs"]
    same: Int64[Tensor, "pairs"]

    def __len__(self) -> int:
        return len(self.targets)


def chunks(total: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` rows that cover ``total`` rows."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def draw_pairs(
    labels: Int64[np.ndarray, "images"],
    right: Bool[np.ndarray, "images"],
    *,
    among: Bool[np.ndarray, "images"],
    give: Bool[np.ndarray, "images"],
    most: int,
    seed: int,
    class_index: int | None = None,
) -> Pairs:
    """Draw targets and, for each, a donor of another class and one of its own class.

    Donors are images that the classifier gets right (all of a class if it gets none right), so
    that what they carry is what the classifier goes by. The classes of the other donors are dealt
    out evenly.

    Args:
        labels: of all images.
        right: whether each is classified rightly.
        among: images that may take part in this stage.
        give: images that may be donors.
        most: pairs at most.
        seed: of all draws.
        class_index: only donors of this class; targets are then images of other classes.

    Returns:
        Pairs; none if there are fewer than two classes with donors.
    """
    random = np.random.default_rng(derive_seed(seed, "pairs"))
    pools: dict[int, Int64[np.ndarray, "pool"]] = {}
    for code in np.unique(labels[labels >= 0]):
        mine = np.flatnonzero((labels == code) & among & give)
        best = mine[right[mine]]
        pool = best if len(best) >= 2 else mine
        if len(pool) >= 2:
            pools[int(code)] = pool
    targets = random.permutation(np.flatnonzero(among & (labels >= 0)))
    rows: list[tuple[int, int, int]] = []
    turn = int(random.integers(1 << 30))
    for target in targets.tolist():
        label = int(labels[target])
        if label not in pools or label == class_index:
            continue
        givers = [class_index] if class_index is not None else [c for c in pools if c != label]
        givers = [c for c in givers if c in pools]
        own = pools[label][pools[label] != target]
        if not givers or not len(own):
            continue
        giver = givers[turn % len(givers)]
        turn += 1
        rows.append((target, int(random.choice(pools[giver])), int(random.choice(own))))
        if len(rows) == most:
            break
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    return Pairs(targets=table[:, 0], others=table[:, 1], same=table[:, 2])
