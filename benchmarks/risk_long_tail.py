"""``python -m benchmarks.risk_long_tail``: does representation find hidden rare groups?

Ten groups of images have a long tail: sizes fall by equal factors from the commonest group to the
rarest, 10 or 100 times smaller; which group is how common is drawn anew for every seed. The
classifier's two classes are unions of five groups each, so that its labels say nothing about them.

``digits``: the digits are the groups, the classes odd and even (or 0-4 and 5-9), and a small
network is trained on the long-tailed set itself for a few epochs.
``--images FOLDER`` (with train/CLASS and validation/CLASS): the classes of the folder are the
groups; features of a network with ImageNet weights.

Measured for every method, on unseen images (as many of each group) and on the training images
(left out of their own estimate): Spearman of the groups' mean score with their size (bar .9), and
AUROC of the members of the three rarest groups (bar .8). Means with 95 % t intervals over the runs.
Groups also differ in how much they vary, which a density cannot tell from how common they are;
``pooled`` averages this out: Spearman of size with the mean score of the groups of that size over
all runs, in units of each run's spread.
``--dry`` scores shuffled instead, which must find nothing.
"""

import argparse
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from sundog.core.files import write_json
from sundog.core.statistics import mann_whitney, mean_interval
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.models.feature_table import FeatureTable, collect_features, table_from_arrays
from sundog.models.head import Head, read_head
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.logit_scores import Energy, MaximumProbability
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.reverse_neighbours import ReverseNeighbours

GROUPS, RAREST, LARGEST = 10, 3, 400
SPEARMAN_BAR, AUROC_BAR = 0.9, 0.8
MEASURES = ("spearman_unseen", "auroc_unseen", "spearman_training", "auroc_training")
METHODS: dict[str, Callable[[], PostHoc]] = {
    "reverse_knn (default, k=50)": lambda: ReverseNeighbours(small_classes="allow"),
    "reverse_knn (k=20)": lambda: ReverseNeighbours(k=20, small_classes="allow"),
    "knn (default, k=50)": lambda: NearestNeighbours(small_classes="allow"),
    "knn (k=10)": lambda: NearestNeighbours(k=10, small_classes="allow"),
    "knn (k=10, not normalised)": lambda: NearestNeighbours(
        k=10, normalise=False, small_classes="allow"
    ),
    "gmm": GaussianMixtureDensity,
    "ddu": ClassGaussians,
    "histogram (default, 5 bins)": Histogram,
    "histogram (max rule, 10 bins)": lambda: Histogram(num_bins=10, rule="max"),
    "msp": MaximumProbability,
    "energy": Energy,
}


@dataclass(frozen=True)
class World:
    """One long-tailed training set and the unseen images."""

    sizes: np.ndarray
    training: FeatureTable
    training_groups: np.ndarray
    unseen: FeatureTable
    unseen_groups: np.ndarray
    head: Head | None


def group_sizes(rng: np.random.Generator, imbalance: int) -> np.ndarray:
    """Return the size of each group, the commonest ``imbalance`` times the rarest."""
    falling = np.round(LARGEST * imbalance ** (-np.arange(GROUPS) / (GROUPS - 1)))
    return falling.astype(int)[rng.permutation(GROUPS)]


def draw_rows(rng: np.random.Generator, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return rows of so many members of each group."""
    return np.concatenate(
        [rng.permutation(np.flatnonzero(groups == g))[: sizes[g]] for g in range(GROUPS)]
    )


def digit_world(seed: int, imbalance: int, *, epochs: int) -> World:
    """Train the small network on long-tailed digits, whose two classes hide the digit."""
    rng = np.random.default_rng([seed, imbalance])
    sizes = group_sizes(rng, imbalance)
    classes = np.arange(GROUPS) % 2 if seed % 2 else np.arange(GROUPS) // 5

    def hidden(split: str, pick: Callable[[np.ndarray], np.ndarray]) -> tuple[ImageSet, np.ndarray]:
        images = load_image_set("digits", split=split)
        rows = pick(images.labels)
        pixels = np.stack([images.image(int(i)) for i in rows])
        groups = images.labels[rows]
        return from_arrays(pixels, classes[groups].tolist(), ("a", "b")), groups

    training, training_groups = hidden("train", lambda groups: draw_rows(rng, groups, sizes))
    unseen, unseen_groups = hidden("validation", lambda groups: np.arange(len(groups)))
    run = train_classifier(
        "small-cnn", training, validation_set=unseen, epochs=epochs, seed=seed, device="cpu"
    )
    return World(
        sizes,
        collect_features(run.classifier, training),
        training_groups,
        collect_features(run.classifier, unseen),
        unseen_groups,
        read_head(run.classifier),
    )


def folder_features(folder: Path, cache: Path | None) -> dict[str, np.ndarray]:
    """Return features, logits and groups of up to 400 and 100 images of each class."""
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            return dict(stored)
    classifier = get_model("efficientnet-lite0")
    found: dict[str, np.ndarray] = {}
    for split, most in (("train", LARGEST), ("validation", 100)):
        images = load_image_set(str(folder / split))
        rows = draw_rows(np.random.default_rng(0), images.labels, np.full(GROUPS, most))
        table = collect_features(classifier, images.subset(np.sort(rows).tolist()), size=128)
        found[f"{split}_features"] = table.features.numpy()
        found[f"{split}_groups"] = table.labels.numpy()
    if cache is not None:
        np.savez(cache, **found)
    return found


def folder_world(found: dict[str, np.ndarray], seed: int, imbalance: int) -> World:
    """Draw a long tail of the folder's classes; the network stays as it is."""
    rng = np.random.default_rng([seed, imbalance])
    sizes = group_sizes(rng, imbalance)
    classes = rng.permutation(GROUPS) % 2
    rows = draw_rows(rng, found["train_groups"], sizes)
    groups, unseen = found["train_groups"][rows], found["validation_groups"]

    def table(features: np.ndarray, of: np.ndarray) -> FeatureTable:
        return table_from_arrays(features, np.zeros((len(features), 2)), classes[of])

    return World(
        sizes,
        table(found["train_features"][rows], groups),
        groups,
        table(found["validation_features"], unseen),
        unseen,
        None,
    )


def measure(world: World, estimator: PostHoc, *, seed: int, dry: bool) -> dict[str, Any]:
    """Return the four measures of one method in one world."""
    estimator.fit(world.training, head=world.head, seed=seed)
    field = "representation" if "representation" in estimator.gives else "epistemic"
    sign = 1 if field == "representation" else -1
    unseen = Passed(features=world.unseen.features, logits=world.unseen.logits)
    rare = np.argsort(world.sizes)[:RAREST]
    row = {}
    for name, scores, groups in (
        ("unseen", estimator.score(unseen), world.unseen_groups),
        ("training", estimator.score_own(world.training), world.training_groups),
    ):
        score = sign * scores[field].numpy()
        if dry:
            score = np.random.default_rng(seed).permutation(score)
        means = [score[groups == g].mean() for g in range(GROUPS)]
        ranked = np.array(means)[np.argsort(-world.sizes, kind="stable")]
        row[f"ranked_{name}"] = ((ranked - ranked.mean()) / score.std()).tolist()
        row[f"spearman_{name}"] = float(spearmanr(means, world.sizes).statistic)
        row[f"auroc_{name}"] = mann_whitney(-score, np.isin(groups, rare)).auroc.value
    return row


def worlds(options: argparse.Namespace) -> Iterator[tuple[str, int, int, World]]:
    """Yield kind, imbalance, seed and world."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    folder = folder_features(options.images, options.cache) if options.images else None
    for imbalance in (10, 100):
        for seed in seeds:
            yield "digits", imbalance, seed, digit_world(seed, imbalance, epochs=options.epochs)
            if folder is not None:
                yield "folder", imbalance, seed, folder_world(folder, seed, imbalance)


def summary(runs: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return a row per kind, imbalance and method: mean, interval, and which bars it passes."""
    cells = defaultdict(list)
    for run in runs:
        cells[run["images"], run["imbalance"], run["method"]].append(run)
    rows = []
    for (kind, imbalance, method), found in cells.items():
        row = {"images": kind, "imbalance": imbalance, "method": method, "runs": len(found)}
        for name in MEASURES:
            estimate = mean_interval([run[name] for run in found])
            low, high = (None if math.isnan(x) else x for x in (estimate.low, estimate.high))
            row[name] = {"mean": estimate.value, "low": low, "high": high}
        for name in ("unseen", "training"):
            ranked = np.mean([run[f"ranked_{name}"] for run in found], axis=0)
            row[f"pooled_{name}"] = float(spearmanr(ranked, -np.arange(GROUPS)).statistic)
        row["passes"] = {
            name: row[name]["mean"] >= (SPEARMAN_BAR if "spearman" in name else AUROC_BAR)
            for name in MEASURES
        }
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, object]]) -> str:
    """Return the table; bold passes its bar."""
    lines = [
        "| images | imbalance | method | "
        + " | ".join(n.replace("_", ", ") for n in MEASURES)
        + " |"
    ]
    lines.append("|---|---|---|" + "---|" * len(MEASURES))
    for row in rows:
        cells = []
        for name in MEASURES:
            text = f"{row[name]['mean']:.2f}"
            if row[name]["low"] is not None:
                text += f" [{row[name]['low']:.2f}, {row[name]['high']:.2f}]"
            cells.append(f"**{text}**" if row["passes"][name] else text)
        cells += [f"{row[f'pooled_{name}']:.2f}" for name in ("unseen", "training")]
        lines.append(
            f"| {row['images']} | {row['imbalance']} | {row['method']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=Path, help="folder with train/CLASS and validation/CLASS")
    parser.add_argument("--cache", type=Path, help="file for the folder's features")
    parser.add_argument("--only", default="", help="methods whose name holds this")
    parser.add_argument("--dry", action="store_true", help="shuffle the scores")
    options = parser.parse_args()
    runs: list[dict[str, object]] = []
    start = time.perf_counter()
    for kind, imbalance, seed, world in worlds(options):
        for name, make in METHODS.items():
            if options.only not in name or (world.head is None and name in ("msp", "energy")):
                continue
            row = measure(world, make(), seed=seed, dry=options.dry)
            runs.append(
                {"images": kind, "imbalance": imbalance, "seed": seed, "method": name, **row}
            )
        print(kind, imbalance, seed, f"{time.perf_counter() - start:.0f} s", flush=True)
    rows = summary(runs)
    result = {
        "machine": {"cpu": platform.processor() or platform.machine()},
        "settings": {
            "seeds": options.seeds,
            "first_seed": options.first_seed,
            "epochs": options.epochs,
            "largest_group": LARGEST,
            "rarest_groups": RAREST,
            "shuffled": options.dry,
        },
        "bars": {"spearman": SPEARMAN_BAR, "auroc": AUROC_BAR},
        "summary": rows,
        "runs": runs,
    }
    name = "risk_long_tail_shuffled" if options.dry else "risk_long_tail"
    write_json(options.out / f"{name}.json", result)
    (options.out / f"{name}.md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
