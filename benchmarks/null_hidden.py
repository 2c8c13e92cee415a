"""The null world of hidden bias must stay empty, and the planted one must speak.

    python -m benchmarks.null_hidden [--runs 200]

Every run has 4 classes (one with near-duplicates) and 25 concepts. Null: correctness and confidence
know nothing of the concepts. Planted: one concept of one class lowers, one of another raises the
outcome. Printed: the share of runs with any (false) finding at 0.05, with its standard error.
"""

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.hidden import ConceptEffect, test_concepts, test_rankings
from sundog.bias.hidden_adjust import Adjustment

CONCEPTS = tuple(f"concept {number}" for number in range(25))


@dataclass(frozen=True, eq=False)
class World:
    """A made-up audit: classes, tags and scores."""

    classes: list[ClassImages]
    present: dict[str, NDArray[np.bool_]]
    scores: dict[str, dict[str, NDArray[np.float64]]]


def make_world(seed: int, *, drop: float = 0.0, rise: float = 0.0) -> World:
    """Draw a world; ``drop`` acts on concept 0 of class 0, ``rise`` on concept 0 of class 1."""
    rng = np.random.default_rng([11, seed])
    classes, present, scores = [], {}, {}
    for number, (n, accuracy) in enumerate(((240, 0.8), (160, 0.6), (90, 0.95), (120, 0.7))):
        name = f"class {number}"
        groups = None
        if number == 3:  # pairs and triples of near-duplicates share tags and outcome
            groups = np.repeat(np.arange(n), rng.integers(1, 4, n))[:n]
        unit = np.arange(n) if groups is None else groups
        common = rng.normal(size=(n, 1))  # concepts are correlated
        latent = (0.6 * common + 0.8 * rng.normal(size=(n, len(CONCEPTS))))[unit]
        cut = rng.uniform(0.4, 1.8, len(CONCEPTS))  # 4 to 34 % of the images carry a concept
        cut[0] = 0.7  # the planted one: 24 %
        tags = latent > cut
        chance = np.full(n, accuracy) + {0: -drop, 1: rise}.get(number, 0.0) * tags[:, 0]
        right = (rng.random(n)[unit]) < np.clip(chance, 0, 1)
        sure = rng.beta(5, 1, n)[unit]
        confidence = np.where(right, 0.5 + sure / 2, 0.5 - sure / 2)
        classes.append(
            ClassImages(name, tuple(f"{number}/{i}" for i in range(n)), right, confidence, groups)
        )
        present[name] = tags
        scores[name] = {c: np.round(latent[:, i], 1) for i, c in enumerate(CONCEPTS)}
    return World(classes, present, scores)


def audit(
    world: World, what: str, metric: Metric, adjustment: Adjustment, *, permutations: int, seed: int
) -> tuple[ConceptEffect, ...]:
    """Return the effects of tags (``concepts``) or scores (``rankings``)."""
    if what == "concepts":
        return test_concepts(
            world.classes,
            world.present,
            CONCEPTS,
            metric=metric,
            adjustment=adjustment,
            permutations=permutations,
            seed=seed,
            threads=1,
        )
    return test_rankings(
        world.classes,
        world.scores,
        metric=metric,
        adjustment=adjustment,
        permutations=permutations,
        seed=seed,
    )


def main() -> None:
    """Print the rates of false alarms and of discoveries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=499)
    options = parser.parse_args()
    planted = {("class 0", "concept 0"): "hurts", ("class 1", "concept 0"): "helps"}
    for what in ("concepts", "rankings"):
        for metric in ("accuracy", "confidence"):
            for adjustment in ("westfall_young", "holm", "none"):
                start, alarms, found, false = time.perf_counter(), 0, 0, 0
                for run in range(options.runs):
                    null = audit(
                        make_world(run),
                        what,
                        metric,
                        adjustment,
                        permutations=options.permutations,
                        seed=run,
                    )
                    alarms += any(effect.p_adjusted <= 0.05 for effect in null)
                    if adjustment != "westfall_young" or run % 4:
                        continue
                    effects = audit(
                        make_world(run, drop=0.35, rise=0.35),
                        what,
                        metric,
                        adjustment,
                        permutations=options.permutations,
                        seed=run,
                    )
                    hits = [e for e in effects if e.p_adjusted <= 0.05]
                    found += sum(
                        planted.get((e.class_name, e.concept)) == e.direction for e in hits
                    )
                    false += sum(e.class_name in ("class 2", "class 3") for e in hits)
                rate = alarms / options.runs
                error = math.sqrt(max(rate * (1 - rate), 0.05 * 0.95) / options.runs)
                planted_runs = len(range(0, options.runs, 4))
                speak = (
                    f"; planted: recall {found / (2 * planted_runs):.2f}, "
                    f"false {false / planted_runs:.2f} per run"
                    if adjustment == "westfall_young"
                    else ""
                )
                print(
                    f"{what:9s} {metric:10s} {adjustment:15s} any finding in {rate:.3f} "
                    f"(± {error:.3f}) of {options.runs} null runs{speak}"
                    f"  [{time.perf_counter() - start:.0f} s]",
                    flush=True,
                )


if __name__ == "__main__":
    main()
