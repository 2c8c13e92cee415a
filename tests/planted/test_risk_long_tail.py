"""The long-tail benchmark in small: hidden rare digits are found by pixels, and not by chance."""

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="run from the repository: python -m pytest")
pytest.importorskip("mlxtend")

from benchmarks.risk_long_tail import (
    GROUPS,
    METHODS,
    World,
    draw_rows,
    group_sizes,
    markdown,
    measure,
    summary,
)

from sundog.data.load import load_image_set
from sundog.models.feature_table import table_from_arrays


def pixels(split):
    images = load_image_set("digits", split=split)
    grey = np.stack([images.image(i)[:, :, 0] for i in range(len(images))]) / 255
    return grey.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1), images.labels


@pytest.fixture(scope="module")
def digits():
    return {split: pixels(split) for split in ("train", "validation")}


def world(digits, seed, imbalance):
    rng = np.random.default_rng([seed, imbalance])
    sizes = group_sizes(rng, imbalance)
    features, groups = digits["train"]
    rows = draw_rows(rng, groups, sizes)

    def table(values, of):
        return table_from_arrays(values, np.zeros((len(values), 2)), of % 2)

    return World(
        sizes, table(features[rows], groups[rows]), groups[rows],
        table(*digits["validation"]), digits["validation"][1], None,
    )  # fmt: skip


def test_the_tail_falls_by_equal_factors_and_is_drawn_anew():
    one, two = (group_sizes(np.random.default_rng(seed), 100) for seed in (0, 1))
    assert sorted(one) == sorted(two) == [4, 7, 11, 19, 31, 52, 86, 144, 240, 400]
    assert list(one) != list(two)
    groups = np.repeat(np.arange(GROUPS), 400)
    drawn = groups[draw_rows(np.random.default_rng(0), groups, one)]
    assert list(np.bincount(drawn)) == list(one)


def test_hidden_rare_digits_are_found_better_than_by_histograms(digits):
    names = [
        "reverse_knn (default, k=50)",
        "histogram (default, 5 bins)",
        "histogram (max rule, 10 bins)",
    ]
    runs = []
    for seed in range(4):
        here = world(digits, seed, 10)
        for name in names:
            row = measure(here, METHODS[name](), seed=seed, dry=False)
            runs.append({"images": "pixels", "imbalance": 10, "seed": seed, "method": name, **row})
        shuffled = measure(here, METHODS[names[0]](), seed=seed, dry=True)
        shuffled |= {"images": "pixels", "imbalance": 10, "seed": seed, "method": "shuffled"}
        runs.append(shuffled)
    rows = {row["method"]: row for row in summary(runs)}
    ours = rows[names[0]]
    for measured, least in (("spearman", 0.6), ("auroc", 0.65)):
        for of in ("unseen", "training"):
            name = f"{measured}_{of}"
            assert ours[name]["mean"] >= least, (name, ours[name])
            for baseline in names[1:]:
                assert ours[name]["mean"] > rows[baseline][name]["mean"] + 0.05, (baseline, name)
            assert ours[name]["low"] <= ours[name]["mean"] <= ours[name]["high"]
    assert abs(rows["shuffled"]["auroc_unseen"]["mean"] - 0.5) < 0.1
    assert not any(rows["shuffled"]["passes"].values())
    assert markdown(list(rows.values())).count("\n") == 2 + len(rows)
