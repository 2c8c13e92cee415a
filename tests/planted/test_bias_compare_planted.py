"""Simulated classifiers with a known reliance: who is named, and how often wrongly."""

import numpy as np
import pandas as pd
import pytest

from sundog.bias.compare import compare_models
from sundog.bias.limits import with_safe_limits
from sundog.bias.reliance import detectable
from sundog.core.statistics import paired_proportions

CLASSES = 10


def run(seed, *, n, accuracy, reads, noise=0.03):
    """A classifier that reads the cue in a share ``reads`` of the images, else the object."""
    shared, rng = np.random.default_rng(n), np.random.default_rng(seed)
    label = shared.integers(0, CLASSES, n)
    other = (label + shared.integers(1, CLASSES, n)) % CLASSES
    sees = np.where(
        rng.random(n) < accuracy, label, (label + rng.integers(1, CLASSES, n)) % CLASSES
    )
    reader = rng.random(n) < reads
    parts = []
    for on, cue in ((False, np.full(n, -1)), (True, label), (True, other)):
        honest = np.where(rng.random(n) < noise, rng.integers(0, CLASSES, n), sees)
        cheat = cue if on else rng.integers(0, CLASSES, n)
        parts.append(
            pd.DataFrame(
                {
                    "id": np.arange(n).astype(str),
                    "label": label,
                    "cue_class": cue,
                    "cue_on": on,
                    "prediction": np.where(reader, cheat, honest),
                    "probability": 0.5,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("biased", ["A", "B"])
@pytest.mark.parametrize("honest_accuracy", [0.3, 0.6, 0.95])
def test_the_biased_model_is_named_whether_it_is_the_better_or_the_worse(biased, honest_accuracy):
    other = {"A": "B", "B": "A"}[biased]
    right = 0
    for seed in range(20):
        tables = {
            biased: run(seed, n=100, accuracy=0.7, reads=0.6),
            other: run(seed + 1000, n=100, accuracy=honest_accuracy, reads=0.0),
        }
        found = compare_models(dict(sorted(tables.items())), permutations=99)
        right += found.relies == (biased,)
    assert right == 20


def test_null_world_accuses_nobody_more_often_than_alpha():
    accused, cleared, worlds = 0, 0, 150
    for seed in range(worlds):
        tables = {
            "A": run(2 * seed, n=600, accuracy=0.6, reads=0.0),
            "B": run(2 * seed + 1, n=600, accuracy=0.9, reads=0.0),
        }
        found = compare_models(tables, permutations=99)
        accused += bool(found.relies)
        cleared += found.decision == "none"
    assert accused == 0
    assert cleared >= 0.95 * worlds


def paired(rng, *, n, before, gain):
    """Right without the cue; with it, a share of the wrong ones turns right."""
    off = rng.random(n) < before
    aligned = off | (rng.random(n) < gain / (1 - before))
    return aligned, off


@pytest.mark.parametrize(
    ("n", "gain", "noise"), [(400, 0.05, 0.0), (100, 0.05, 0.05), (150, 0.5, 0.0)]
)
def test_each_end_of_the_interval_misses_no_more_often_than_it_says(n, gain, noise):
    # A true reliance of exactly `smallest` may be called neither more nor less too often.
    rng, worlds, level = np.random.default_rng(0), 20000, 1 - 0.05 / 4
    counts = rng.multinomial(n, [gain + noise, noise, 1 - gain - 2 * noise], size=worlds)[:, :2]
    above = below = 0
    for (up, down), times in zip(*np.unique(counts, axis=0, return_counts=True), strict=True):
        same = n - up - down
        a = np.repeat([True, False, True, False], [up, down, same // 2, same - same // 2])
        b = np.repeat([False, True, True, False], [up, down, same // 2, same - same // 2])
        found = with_safe_limits(paired_proportions(a, b, level=level)).difference
        above += times * (found.low > gain)
        below += times * (found.high < gain)
    # 0.00625 nominal per end; 3 standard errors of 20,000 worlds are 0.0017.
    assert above / worlds < 0.00795
    assert below / worlds < 0.00795


@pytest.mark.parametrize("n", [150, 600])
def test_the_detectable_reliance_is_found_in_four_of_five_studies(n):
    rng, level = np.random.default_rng(1), 1 - 0.05 / 4
    null = with_safe_limits(
        paired_proportions(*paired(rng, n=n, before=0.4, gain=0.0), level=level)
    )
    gain = detectable(null, level=level, smallest=0.05)
    hits = 0
    for _ in range(1000):
        study = paired_proportions(*paired(rng, n=n, before=0.4, gain=gain), level=level)
        hits += with_safe_limits(study).difference.low > 0.05
    assert 0.72 <= hits / 1000 <= 0.90
