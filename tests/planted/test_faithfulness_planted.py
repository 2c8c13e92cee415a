"""Known worlds: a cue that the classifier uses, and explanations that know nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.run import evaluate_faithfulness
from sundog.faithfulness.summary import compare
from sundog.models.classifier import Classifier

ROWS, COLUMNS = slice(20, 22), slice(3, 5)
"""A cue of 4 pixels: 0.25 % of a 40 x 40 image, as small as the practical's artifact."""


class _CueReader(nn.Module):
    """Class 1 if the cue is red, whatever else there is."""

    def forward(self, images):
        red = images[:, 0, ROWS, COLUMNS].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(red), 12 * red - 6], dim=1)


CLASSIFIER = Classifier(_CueReader())


def _images(n, seed=0):
    images = 0.5 * torch.rand(n, 3, 40, 40, generator=torch.Generator().manual_seed(seed))
    images[:, 0, ROWS, COLUMNS] = 1.0
    return images


def _truth(images):
    maps = 0.1 * images.mean(dim=1)
    maps[:, ROWS, COLUMNS] = 1
    return maps


def _late(images):
    """Ranks the cue behind 100 other pixels: still inside the first ninth of the image."""
    maps = 0.1 * images.mean(dim=1)
    maps[:, :5, :20] = 2
    maps[:, ROWS, COLUMNS] = 1
    return maps


def test_the_true_map_beats_every_control_on_every_score():
    images = _images(20)
    ids = [str(k) for k in range(20)]
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[ROWS, COLUMNS] = True
    table = evaluate_faithfulness(
        CLASSIFIER,
        [(images, ids)],
        {"truth": _truth},
        spacing=["equal", "log"],
        masks=dict.fromkeys(ids, mask),
    )
    assert (table.comparisons["better"] == "truth").all()
    best = table.summary.groupby(["metric", "fill", "spacing", "axis"], sort=False).head(1)
    assert (best["method"] == "truth").all()
    means = table.summary.set_index(["metric", "method"])["mean"]
    assert means["rank_accuracy", "truth"] == 1
    assert means["pointing_game", "truth"] == 1
    assert means["mass_lift", "constant"] == pytest.approx(1)
    assert means["rank_accuracy", "constant"] == pytest.approx(4 / 1600)


def test_log_spacing_sees_what_equal_chunks_cannot():
    images = _images(12)
    equal = [deletion(CLASSIFIER, images, m).area for m in (_truth(images), _late(images))]
    assert equal[0] == pytest.approx(equal[1], abs=1e-6)
    log = [deletion(CLASSIFIER, images, m, spacing="log") for m in (_truth(images), _late(images))]
    assert (log[0].area + 0.02 < log[1].area).all()
    assert (log[0].log_area + 0.3 < log[1].log_area).all()
    # The cue's four pixels are 0.25 %: gone at the fourth point of the truth's curve.
    assert log[0].x[3] == pytest.approx(0.0025)
    # Red is 4/4, 3/4, 2/4 and 0/4 of the cue: sigmoid(12 red - 6).
    known = 1 / (1 + np.exp(6 - 12 * np.array([1, 0.75, 0.5, 0])))
    assert log[0].values[:, :4] == pytest.approx(np.tile(known, (12, 1)), abs=1e-6)
    assert (log[0].values[:, 3:] < 0.01).all()


def test_random_explanations_are_called_different_at_the_stated_rate():
    """Null world: 240 pairs of maps that know nothing, 12 images each."""
    rng = torch.Generator().manual_seed(4)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    classifier, worlds, n = Classifier(net), 240, 12
    images = torch.rand(n, 3, 6, 6, generator=rng)
    maps = torch.rand(2 * worlds * n, 6, 6, generator=rng)
    area = deletion(classifier, images.repeat(2 * worlds, 1, 1, 1), maps, steps=6).area
    area = area.reshape(worlds, 2, n)
    common = {"metric": "deletion", "fill": "black", "spacing": "equal", "axis": "linear"}
    found, p_values = 0, []
    for world in area:
        scores = pd.concat(
            [
                pd.DataFrame(
                    {**common, "id": range(n), "method": name, "control": control, "value": values}
                )
                for name, control, values in (
                    ("guess", False, world[0]),
                    ("random", True, world[1]),
                )
            ]
        )
        result = compare(scores)
        found += int((result["better"] != "").sum())
        p_values.append(float(result["p_value"].iloc[0]))
    error = 3.3 * np.sqrt(0.05 * 0.95 / worlds)
    assert found / worlds <= 0.05 + error
    assert found / worlds >= 0.05 - error
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)


def test_many_random_explanations_stay_within_the_family_wise_rate():
    rng = np.random.default_rng(0)
    worlds, n, alarms = 60, 24, 0
    common = {"metric": "deletion", "fill": "black", "spacing": "equal", "axis": "linear"}
    for _ in range(worlds):
        # Per-image difficulty shared by all methods, as in real curves.
        base = rng.beta(0.8, 2.5, n)
        scores = pd.concat(
            [
                pd.DataFrame(
                    {
                        **common,
                        "id": range(n),
                        "method": f"m{k}",
                        "control": k == 4,
                        "value": base + rng.normal(0, 0.05, n),
                    }
                )
                for k in range(5)
            ]
        )
        result = compare(scores, permutations=999)
        alarms += bool((result.loc[result["kind"] == "methods", "p_holm"] <= 0.05).any())
    assert alarms / worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)
