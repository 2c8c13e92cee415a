"""``python -m benchmarks.worlds null|planted``: is nothing found where nothing is, and the truth?

``null``: data without bias, in many runs; how often anything is found. ``planted``: one known
combination of tags lowers the accuracy; how often each rule finds exactly it, how much of what it
reports has nothing to do with it, and where the truth stands in the ranking.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.complex_result import SliceSearch
from sundog.bias.complex_search import search_class
from sundog.bias.strata import pooled_slices

GRID = ((1, 0.2), (2, 0.2), (2, 0.3), (3, 0.2), (3, 0.3), (3, 0.4))
"""Planted tags and drop in accuracy."""
BARS = {
    (1, 0.2): (1.0, 0.02),
    (2, 0.2): (0.7, 0.0),
    (2, 0.3): (1.0, 0.0),
    (3, 0.2): (0.4, 0.0),
    (3, 0.3): (0.7, 0.0),
    (3, 0.4): (0.9, 0.0),
}
"""Recall and false share of Westfall-Young in an earlier simulation of ten runs per row."""
TAGGER = ((0.0, 0.0), (0.1, 0.01), (0.3, 0.03), (0.5, 0.05))
"""Share of a planted tag's images that the tagger misses, and of others that it marks."""
PLANTED_SHARE = 0.35
"""Of the images, for each planted tag: slices of about 350, 123 and 44 of 1,000 images."""


@dataclass(frozen=True)
class World:
    """The classes of one run, their tags, and the planted tags (none: no bias)."""

    classes: tuple[ClassImages, ...]
    present: dict[str, np.ndarray]
    names: tuple[str, ...]
    planted: frozenset[str]


def log_uniform(rng: np.random.Generator, tags: int) -> np.ndarray:
    """Return how frequent each tag is: log-uniform between 2 % and 30 %."""
    return np.exp(rng.uniform(math.log(0.02), math.log(0.30), tags))


def correlated_tags(rng: np.random.Generator, images: int, tags: int) -> np.ndarray:
    """Return tags that come in topics, as real ones do: thresholds on eight shared factors."""
    factors = rng.normal(size=(images, 8))
    loads = rng.normal(size=(8, tags)) * (rng.random((8, tags)) < 0.3) * 1.2
    scores = factors @ loads + rng.normal(size=(images, tags))
    shares = log_uniform(rng, tags)
    limits = np.array([np.quantile(scores[:, t], 1 - shares[t]) for t in range(tags)])
    return scores > limits


def make_class(
    rng: np.random.Generator, name: str, tags: np.ndarray, right: np.ndarray
) -> ClassImages:
    """Return a class with the given correctness; the confidence follows it, and is skewed."""
    noise = rng.beta(4, 1.5, size=len(right))
    return ClassImages(
        name=name,
        ids=tuple(f"{name}-{number}" for number in range(len(tags))),
        correct=right,
        confidence=np.where(right, noise, 0.6 * noise),
    )


def read_tags(path: Path) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Read tags: npz (``present``, or ``scores`` and ``thresholds``; ``labels``) or Parquet.

    A Parquet table has one column per tag, boolean or already between 0 and 1 (present above 1/2),
    and may have a column ``label``.
    """
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            present = (
                held["present"].astype(bool)
                if "present" in held
                else held["scores"] >= held["thresholds"]
            )
            labels = held["labels"] if "labels" in held else np.zeros(len(present), dtype=int)
        return present, tuple(f"tag {t}" for t in range(present.shape[1])), labels
    frame = pd.read_parquet(path)
    labels = frame.pop("label").to_numpy() if "label" in frame else np.zeros(len(frame), dtype=int)
    frame = frame.select_dtypes(include=["bool", "number"])
    return frame.to_numpy(float) >= 0.5, tuple(map(str, frame.columns)), labels


def null_world(
    rng: np.random.Generator, kind: str, *, images: int, tags: int, table: Path | None
) -> World:
    """Return a world without bias.

    ``random``: independent tags. ``permuted``: tags in topics, a classifier biased by one of them,
    and then its right and wrong images permuted within each class. ``table``: the tags of a file.
    """
    names = tuple(f"tag {number}" for number in range(tags))
    classes, present = [], {}
    if kind == "table" and table is not None:
        everything, names, labels = read_tags(table)
        blocks = {str(label): everything[labels == label] for label in np.unique(labels)}
    else:
        draw = correlated_tags if kind == "permuted" else independent_tags
        blocks = {name: draw(rng, images, tags) for name in ("easy", "hard")}
    for name, block in blocks.items():
        base = 0.7 if name == "hard" else 0.9
        right = rng.random(len(block)) < np.where(block[:, 0], base - 0.3, base)
        present[name] = block
        classes.append(make_class(rng, name, block, rng.permutation(right)))
    return World(tuple(classes), present, names, frozenset())


def independent_tags(rng: np.random.Generator, images: int, tags: int) -> np.ndarray:
    return rng.random((images, tags)) < log_uniform(rng, tags)


def planted_world(
    rng: np.random.Generator,
    *,
    planted: int,
    drop: float,
    images: int = 1000,
    tags: int = 60,
    missed: float = 0.0,
    invented: float = 0.0,
) -> World:
    """Return one class of accuracy 0.8 that loses ``drop`` where it carries all planted tags."""
    shares = log_uniform(rng, tags)
    shares[:planted] = PLANTED_SHARE
    truth = rng.random((images, tags)) < shares
    right = rng.random(images) < np.where(truth[:, :planted].all(axis=1), 0.8 - drop, 0.8)
    seen = truth.copy()
    noise = rng.random((images, planted))
    seen[:, :planted] = np.where(truth[:, :planted], noise >= missed, noise < invented)
    names = tuple(f"tag {number}" for number in range(tags))
    one = make_class(rng, "class", seen, right)
    return World((one,), {"class": seen}, names, frozenset(names[:planted]))


def search(world: World, **options: object) -> SliceSearch:
    return find_slices(world.classes, world.present, world.names, **options)  # type: ignore[arg-type]


def concepts(found: SliceSearch) -> list[frozenset[str]]:
    return [frozenset(one.concepts) for one in found.slices]


def plain(
    world: World,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, list[frozenset[str]]]]:
    """Yield, per class, p, gap, t of DivExplorer and the tags of every slice."""
    for one in world.classes:
        found = search_class(
            one,
            present=world.present[one.name],
            names=world.names,
            metric="accuracy",
            max_tags=3,
            min_support=10,
            threads=1,
        )
        lattice = found.lattice
        s, c = lattice.support, lattice.total
        n, total = lattice.images, lattice.class_total
        mean, spread = (c + 1) / (s + 2), (c + 1) * (s - c + 1) / ((s + 2) ** 2 * (s + 3))
        whole = (total + 1) / (n + 2)
        around = (total + 1) * (n - total + 1) / ((n + 2) ** 2 * (n + 3))
        t = np.abs(mean - whole) / np.sqrt(spread + around)
        tags = [frozenset(found.names[i] for i in row if i >= 0) for row in lattice.combos]
        yield found.p_values, lattice.gap, t, tags


Rule = Callable[[World, int, int], list[frozenset[str]]]


def rules() -> dict[str, Rule]:
    """Return what each rule reports, by name."""

    def unadjusted(minimality: str, support: int, gap: float, alpha: float) -> Rule:
        return lambda world, _permutations, _seed: concepts(
            search(
                world,
                adjustment="none",
                minimality=minimality,
                min_support=support,
                min_gap=gap,
                alpha=alpha,
                threads=1,
            )
        )

    def adjusted(adjustment: str, minimality: str) -> Rule:
        return lambda world, permutations, seed: concepts(
            search(
                world,
                adjustment=adjustment,
                minimality=minimality,
                min_gap=0.0,
                permutations=permutations,
                seed=seed,
                threads=1,
            )
        )

    def t_above_two(world: World, _permutations: int, _seed: int) -> list[frozenset[str]]:
        return [
            tags
            for _, _, t, names in plain(world)
            for tags, value in zip(names, t, strict=True)
            if value > 2
        ]

    def bonferroni(world: World, _permutations: int, _seed: int) -> list[frozenset[str]]:
        searched = list(plain(world))
        tests = sum(len(p) for p, *_ in searched)
        return [
            tags
            for p, _, _, names in searched
            for tags, value in zip(names, p, strict=True)
            if value * tests <= 0.05
        ]

    return {
        "p <= .05, gap >= .1": unadjusted("none", 10, 0.1, 0.05),
        "the same, recursive minimality": unadjusted("recursive", 10, 0.1, 0.05),
        "PRIME a = .1": unadjusted("prime", 30, 0.1, 1.0),
        "PRIME a = .3": unadjusted("prime", 30, 0.3, 1.0),
        "t > 2": t_above_two,
        "Benjamini-Hochberg": adjusted("benjamini_hochberg", "none"),
        "Bonferroni": bonferroni,
        "Westfall-Young": adjusted("westfall_young", "none"),
        "Westfall-Young, minimal": adjusted("westfall_young", "noise"),
    }


def run_null(options: argparse.Namespace) -> dict[str, object]:
    """Count runs with any finding, for both metrics, inside classes and across them."""
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / options.runs)
    rows = []
    for kind in ("random", "permuted", *(["table"] if options.tag_table else [])):
        counts: dict[str, list[int]] = {}
        start = time.perf_counter()
        for run in range(options.runs):
            rng = np.random.default_rng([options.seed, run, len(kind)])
            world = null_world(
                rng, kind, images=options.images, tags=options.tags, table=options.tag_table
            )
            common = {"permutations": options.permutations, "seed": run, "threads": 1}
            for metric in ("accuracy", "confidence"):
                found = search(world, metric=metric, min_gap=0.0, **common)
                counts.setdefault(f"classes, {metric}", []).append(len(found.slices))
                pooled = pooled_slices(
                    world.classes,
                    world.present,
                    world.names,
                    metric=metric,  # type: ignore[arg-type]
                    min_gap=0.0,
                    progress=False,
                    **common,
                )
                counts.setdefault(f"pooled, {metric}", []).append(len(pooled.slices))
            if run < options.compare:
                for name, rule in rules().items():
                    if not name.startswith("Westfall"):
                        counts.setdefault(name, []).append(len(rule(world, 0, 0)))
        for name, found_in in counts.items():
            rows.append(
                {
                    "world": kind,
                    "search": name,
                    "runs": len(found_in),
                    "mean_findings": float(np.mean(found_in)),
                    "runs_with_findings": float(np.mean(np.array(found_in) > 0)),
                }
            )
            if name.startswith(("classes", "pooled")):
                rows[-1]["limit"] = limit
                rows[-1]["holds"] = rows[-1]["runs_with_findings"] <= limit
            print(json.dumps(rows[-1]), flush=True)
        print(f"{kind}: {time.perf_counter() - start:.0f} s", flush=True)
    return {"rows": rows}


def judge(reported: list[frozenset[str]], truth: frozenset[str]) -> dict[str, float]:
    """Return recall of the exact truth, false share, supersets, subsets and their number."""
    false = sum(not tags & truth for tags in reported)
    return {
        "recall": float(truth in reported),
        "false_share": false / len(reported) if reported else 0.0,
        "reported": len(reported),
        "supersets": sum(tags > truth for tags in reported),
        "subsets": sum(tags < truth for tags in reported),
        "neighbours": sum(
            bool(tags & truth) and not tags >= truth and not tags <= truth for tags in reported
        ),
    }


def hold(each: list[dict[str, float]], bar: tuple[float, float]) -> dict[str, object]:
    """Say whether recall and false share are no worse than the bar, within 2 standard errors.

    The bars come from ten runs and have an error too.
    """
    recall = float(np.mean([one["recall"] for one in each]))
    shares = np.array([one["false_share"] for one in each])
    slack = 2 * math.sqrt(bar[0] * (1 - bar[0]) / 10 + recall * (1 - recall) / len(each))
    spread = float(shares.std(ddof=1)) if len(each) > 1 else 0.0
    error = 2 * spread * math.sqrt(1 / 10 + 1 / len(each))
    return {
        "bar_recall": bar[0],
        "bar_false_share": bar[1],
        "recall_holds": recall >= bar[0] - slack,
        "false_share_holds": float(shares.mean()) <= bar[1] + error,
    }


def run_planted(options: argparse.Namespace) -> dict[str, object]:
    """Run the grid of planted combinations, and the tagger that errs."""
    rows, ranks, tagger = [], [], []
    for planted, drop in GRID:
        judged: dict[str, list[dict[str, float]]] = {}
        by_p, by_gap = [], []
        for rep in range(options.runs):
            rng = np.random.default_rng([options.seed, planted, round(100 * drop), rep])
            world = planted_world(rng, planted=planted, drop=drop)
            for name, rule in rules().items():
                judged.setdefault(name, []).append(
                    judge(rule(world, options.permutations, rep), world.planted)
                )
            p, gap, _, names = next(plain(world))
            if world.planted in names:
                row = names.index(world.planted)
                by_p.append(1 + int((p < p[row]).sum()))
                by_gap.append(1 + int((np.abs(gap) > abs(gap[row])).sum()))
        for name, each in judged.items():
            rows.append(
                {"planted": planted, "drop": drop, "rule": name, "runs": len(each)}
                | {key: float(np.mean([one[key] for one in each])) for key in each[0]}
                | (hold(each, BARS[planted, drop]) if name.startswith("Westfall") else {})
            )
            print(json.dumps(rows[-1]), flush=True)
        ranks.append(
            {
                "planted": planted,
                "drop": drop,
                "rank_by_p": float(np.median(by_p)),
                "rank_by_gap": float(np.median(by_gap)),
            }
        )
        print(json.dumps(ranks[-1]), flush=True)
    for planted in (1, 2):  # the tagger errs
        for missed, invented in TAGGER:
            found, gaps = [], []
            for rep in range(options.runs):
                rng = np.random.default_rng([options.seed, 7, planted, rep])
                world = planted_world(
                    rng, planted=planted, drop=0.3, missed=missed, invented=invented
                )
                reported = rules()["Westfall-Young, minimal"](world, options.permutations, rep)
                found.append(world.planted in reported)
                _, gap, _, names = next(plain(world))
                if world.planted in names:
                    gaps.append(float(gap[names.index(world.planted)]))
            tagger.append(
                {
                    "planted": planted,
                    "missed": missed,
                    "invented": invented,
                    "runs": len(found),
                    "recall": float(np.mean(found)),
                    "gap": float(np.mean(gaps)),
                }
            )
            print(json.dumps(tagger[-1]), flush=True)
    return {"rows": rows, "ranks": ranks, "tagger": tagger}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", choices=("null", "planted"))
    parser.add_argument("--runs", type=int, help="default: 200 null, 60 planted")
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--images", type=int, default=500, help="of each class of the null world")
    parser.add_argument("--tags", type=int, default=60, help="of the null world")
    parser.add_argument("--tag-table", type=Path, help="npz or Parquet: permute real tags' classes")
    parser.add_argument("--compare", type=int, default=20, help="null runs with other rules")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.runs = options.runs or (200 if options.world == "null" else 60)
    result = run_null(options) if options.world == "null" else run_planted(options)
    parameters = {
        key: value.name if isinstance(value, Path) else value
        for key, value in vars(options).items()
        if key != "out"
    }
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"worlds_{options.world}.json"
    target.write_text(json.dumps({"parameters": parameters} | result, indent=2) + "\n")
    tables = {name: pd.DataFrame(rows) for name, rows in result.items()}
    print("\n\n".join(f"{name}\n{table.to_string()}" for name, table in tables.items()))


if __name__ == "__main__":
    main()
