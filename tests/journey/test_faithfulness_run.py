"""A faithfulness run over a data set: agreement with single scores, resume, kill, masks."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, RunFolderError
from sundog.core.run_folder import RunFolder
from sundog.core.statistics import holm, paired_difference
from sundog.faithfulness.controls import CONTROLS
from sundog.faithfulness.cost import count_passes
from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.insertion import insertion
from sundog.faithfulness.localisation import relevance_mass
from sundog.faithfulness.run import evaluate_faithfulness
from sundog.models.classifier import Classifier

KEY = ["id", "method", "metric", "fill", "spacing", "axis"]


def make_classifier(seed=0):
    rng = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3)
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    return Classifier(net)


CLASSIFIER = make_classifier()
IMAGES = torch.rand(10, 3, 8, 8, generator=torch.Generator().manual_seed(1))
IDS = tuple(f"image {k}" for k in range(10))


def gradient(images):
    leaf = images.clone().requires_grad_()
    (g,) = torch.autograd.grad(CLASSIFIER(leaf).amax(1).sum(), leaf)
    return g.norm(dim=1)


def bright(images):
    return images.mean(dim=1)


EXPLAINERS = {"gradient": gradient, "bright": bright}


def batches(size, images=IMAGES, ids=IDS):
    for start in range(0, len(images), size):
        yield images[start : start + size], ids[start : start + size]


def values(table):
    return table.scores.set_index(KEY).sort_index()["value"]


def test_scores_are_those_of_the_single_functions():
    masks = {one: np.arange(64).reshape(8, 8) % 5 == 0 for one in IDS}
    table = evaluate_faithfulness(
        CLASSIFIER,
        batches(4),
        EXPLAINERS,
        masks=masks,
        spacing=("equal", "log"),
        fills={"deletion": ["black", "noisy_linear"]},
        seed=3,
    )
    got = values(table)
    maps = {
        **{n: f(IMAGES) for n, f in EXPLAINERS.items()},
        **{n: f(IMAGES, seed=3) for n, f in CONTROLS.items()},
    }
    for name, relevance in maps.items():
        for fill in ("black", "noisy_linear"):
            for spacing in ("equal", "log"):
                curves = deletion(CLASSIFIER, IMAGES, relevance, fill=fill, spacing=spacing, seed=3)
                found = got[:, name, "deletion", fill, spacing, "linear"]
                assert found[list(IDS)].to_numpy() == pytest.approx(curves.area, abs=1e-6)
                if spacing == "log":
                    found = got[:, name, "deletion", fill, spacing, "log"]
                    assert found[list(IDS)].to_numpy() == pytest.approx(curves.log_area, abs=1e-6)
        found = got[:, name, "insertion", "blur", "equal", "linear"]
        assert found[list(IDS)].to_numpy() == pytest.approx(
            insertion(CLASSIFIER, IMAGES, relevance).area, abs=1e-6
        )
        found = got[:, name, "relevance_mass", "", "", ""]
        mask = torch.from_numpy(masks[IDS[0]]).expand(10, 8, 8)
        assert found[list(IDS)].to_numpy() == pytest.approx(
            relevance_mass(relevance, mask).values, abs=1e-6
        )
    assert set(table.scores["method"]) == {*EXPLAINERS, *CONTROLS}
    # Deletion: 2 fills x (equal + log with two axes); insertion: 3; localisation: 4.
    assert len(table.scores) == 6 * 10 * (2 * 3 + 3 + 4)
    confidence = CLASSIFIER.predict(IMAGES).softmax(1).amax(1).numpy()
    first = table.scores[table.scores["method"] == "bright"].drop_duplicates("id")
    assert first["confidence"].to_numpy() == pytest.approx(confidence, abs=1e-6)


def test_statistics_are_paired_and_corrected():
    table = evaluate_faithfulness(CLASSIFIER, batches(3), EXPLAINERS, metrics=["deletion"])
    wide = table.scores.pivot(index="id", columns="method", values="value").loc[list(IDS)]
    pairs = table.comparisons.set_index(["kind", "a", "b"])
    assert list(pairs.loc["methods"].index) == [("gradient", "bright")]
    against = pairs.loc["controls"]
    assert len(against) == 8
    for (a, b), row in against.iterrows():
        want = paired_difference(wide[a], wide[b])
        assert row["difference"] == pytest.approx(want.difference.value)
        assert (row["low"], row["high"]) == pytest.approx(
            (want.difference.low, want.difference.high)
        )
        assert row["p_value"] == pytest.approx(want.p_value)
        assert (row["wins"], row["losses"]) == (want.wins, want.losses)
    assert against["p_holm"].to_numpy() == pytest.approx(holm(against["p_value"]))
    decided = against[against["better"] != ""]
    for (a, b), row in decided.iterrows():
        assert row["p_holm"] <= 0.05
        assert row["better"] == (a if row["difference"] < 0 else b)  # deletion: lower is better
    means = table.summary.set_index("method")
    assert means["mean"].is_monotonic_increasing
    for name in means.index:
        assert means.loc[name, "mean"] == pytest.approx(wide[name].mean())
        assert means.loc[name, "std"] == pytest.approx(wide[name].std(ddof=1))
    curve = table.curves[table.curves["method"] == "bright"]
    assert curve["x"].to_numpy() == pytest.approx(np.linspace(0, 1, 10))
    area = np.trapezoid(curve["mean"], curve["x"]) if hasattr(np, "trapezoid") else None
    assert area is None or area == pytest.approx(means.loc["bright", "mean"])
    assert set(table.best("deletion")) <= {"gradient", "bright"}
    text = table.to_text()
    assert "deletion (lower is better), fill black, equal spacing" in text
    assert "(random)" in text


def test_costs_are_counted_and_shared_work_is_done_once():
    with count_passes(CLASSIFIER) as count:
        table = evaluate_faithfulness(
            CLASSIFIER,
            batches(5),
            {"gradient": gradient},
            metrics=["deletion"],
            controls=["random"],
        )
    # Clean logits 10, one black image, 2 methods x 10 images x 8 steps, and the explanations 10.
    # Up to three rows measure once which pass size and memory layout are fastest.
    assert 0 <= count.forwards - (10 + 1 + 160 + 10) <= 3
    costs = table.summary.set_index("method")
    assert costs.loc["gradient", "forwards"] == 2
    assert costs.loc["random", "forwards"] == 0
    assert costs.loc["gradient", "score_forwards"] == 8
    assert (costs["seconds"] > 0).all()


def test_an_explanation_may_report_its_own_cost():
    class Told:
        def __init__(self, images):
            self.maps, self.forwards, self.backwards = images.mean(1), 5.0, 2.0

    table = evaluate_faithfulness(
        CLASSIFIER, batches(5), {"told": Told}, metrics=["deletion"], controls=False
    )
    assert table.summary["forwards"].tolist() == [7.0]
    assert table.comparisons.empty


def test_batch_size_repeats_and_order_do_not_change_scores():
    one = evaluate_faithfulness(CLASSIFIER, batches(10), EXPLAINERS)
    for size in (1, 3):
        other = evaluate_faithfulness(CLASSIFIER, batches(size), EXPLAINERS)
        pd.testing.assert_series_equal(values(other), values(one), atol=1e-6)
    twice = evaluate_faithfulness(
        CLASSIFIER, [*batches(4), (IMAGES[[2, 2]], (IDS[2], IDS[2]))], EXPLAINERS
    )
    pd.testing.assert_series_equal(values(twice), values(one), atol=1e-6)
    assert twice.notes == ("2 repeated images counted once.",)
    assert (twice.summary["n"] == 10).all()


def test_images_of_several_sizes_and_one_single_image():
    small = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    table = evaluate_faithfulness(
        CLASSIFIER, [*batches(5), (small, ("a", "b"))], EXPLAINERS, spacing="log"
    )
    assert table.scores["id"].nunique() == 12
    single = evaluate_faithfulness(CLASSIFIER, [(small[:1], ("a",))], EXPLAINERS)
    assert single.summary["low"].isna().all()
    assert (single.comparisons["p_value"] == 1).all()
    assert " - " in single.to_text() or "[-, -]" in single.to_text()


def test_missing_masks_and_broken_maps_are_counted():
    masks = {one: torch.zeros(8, 8, dtype=torch.bool) for one in IDS[:7]}
    for one in IDS[:5]:
        masks[one][:2] = True

    def broken(images):
        maps = images.mean(1)
        return torch.where(images[:, :1, 0, 0, None] == IMAGES[0, 0, 0, 0], math.nan, maps)

    table = evaluate_faithfulness(CLASSIFIER, batches(4), {"broken": broken}, masks=masks)
    rows = table.summary.set_index(["metric", "method"])
    assert rows.loc[("relevance_mass", "random"), "n"] == 5
    assert rows.loc[("relevance_mass", "random"), "reasons"] == "no mask: 3; empty mask: 2"
    assert rows.loc[("relevance_mass", "broken"), "n"] == 4
    assert "map not finite: 1" in rows.loc[("relevance_mass", "broken"), "reasons"]
    assert rows.loc[("deletion", "broken"), "n"] == 9
    assert table.comparisons.query("metric == 'deletion'")["n"].eq(9).all()
    assert "Without a score: 1 image for broken (map not finite: 1)." in table.to_text()


def test_rankings_by_several_fills_are_compared():
    table = evaluate_faithfulness(
        CLASSIFIER,
        batches(5),
        {**EXPLAINERS, "dark": lambda x: -bright(x)},
        metrics=["deletion"],
        fills=["black", "mean", "noisy_linear"],
    )
    assert list(zip(table.agreement["fill_a"], table.agreement["fill_b"], strict=True)) == [
        ("black", "mean"),
        ("black", "noisy_linear"),
        ("mean", "noisy_linear"),
    ]
    assert table.agreement["methods"].eq(3).all()
    means = table.summary[~table.summary["control"]].pivot(
        index="method", columns="fill", values="mean"
    )
    concordant = [
        np.sign(means["black"][a] - means["black"][b])
        * np.sign(means["mean"][a] - means["mean"][b])
        for a, b in (("bright", "dark"), ("bright", "gradient"), ("dark", "gradient"))
    ]
    assert table.agreement["tau"][0] == pytest.approx(np.mean(concordant))


def test_saved_tables_come_back(tmp_path):
    table = evaluate_faithfulness(CLASSIFIER, batches(5), EXPLAINERS, metrics=["deletion"])
    paths = table.save(tmp_path / "csv")
    assert [p.name for p in paths][:2] == ["scores.csv", "summary.csv"]
    back = pd.read_csv(paths[0], keep_default_na=False, na_values=["nan"])
    assert back["value"].to_numpy() == pytest.approx(table.scores["value"].to_numpy())
    table.save(tmp_path, suffix="parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "summary.parquet"), table.summary)
    with pytest.raises(InputError, match="suffix must be csv or parquet"):
        table.save(tmp_path, suffix="xlsx")
    with pytest.raises(InputError, match="one of this run"):
        table.best("insertion")
    assert repr(table) == "FaithfulnessTable(6 methods, 10 images, 60 scores)"
    assert table.to_frame().equals(table.scores)


def test_wrong_input_is_refused():
    run = evaluate_faithfulness
    with pytest.raises(InputError, match="batches must be at least one image"):
        run(CLASSIFIER, [], EXPLAINERS)
    with pytest.raises(InputError, match="not a control's; got 'edge'"):
        run(CLASSIFIER, batches(5), {"edge": bright})
    with pytest.raises(InputError, match="explainers must be at least one"):
        run(CLASSIFIER, batches(5), {}, controls=False)
    with pytest.raises(InputError, match="The maps of 'wide' must be a tensor"):
        run(CLASSIFIER, batches(5), {"wide": lambda x: x})
    with pytest.raises(InputError, match=r"ids must be one per image \(10\); got 1 ids"):
        run(CLASSIFIER, [(IMAGES, ("a",))], EXPLAINERS)
    assert run(CLASSIFIER, batches(5), {}, metrics=["deletion"]).comparisons.empty


# --- resuming ---------------------------------------------------------------------------------


def test_a_second_call_computes_nothing_and_gives_the_same(tmp_path):
    def run(explainers, size=4, classifier=CLASSIFIER, **changes):
        with RunFolder.open(tmp_path, kind="faithfulness") as folder:
            return evaluate_faithfulness(
                classifier, batches(size), explainers, folder=folder, **changes
            )

    def never(images):
        raise AssertionError

    first = run(EXPLAINERS)
    again = run({"gradient": never, "bright": never})
    for name in ("scores", "summary", "comparisons", "curves"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(first, name))
    resized = run({"gradient": never, "bright": never}, size=3)
    pd.testing.assert_frame_equal(resized.scores, first.scores)
    # A further method computes itself alone; a removed one leaves.
    calls = []

    def dark(images):
        calls.append(len(images))
        return -bright(images)

    more = run({"gradient": never, "dark": dark})
    assert calls == [4, 4, 2]
    assert set(more.scores["method"]) == {"gradient", "dark", *CONTROLS}
    with pytest.raises(RunFolderError, match="seed = 0 there, 1 now"):
        run(EXPLAINERS, seed=1)
    with pytest.raises(RunFolderError, match="model = "):
        run(EXPLAINERS, classifier=make_classifier(seed=5))
    stored = RunFolder.read(tmp_path).read_result("faithfulness_summary")
    pd.testing.assert_frame_equal(stored, more.summary)


SCRIPT = """
import sys, time
import torch
sys.path.insert(0, {here!r})
from test_faithfulness_run import CLASSIFIER, EXPLAINERS, batches
from sundog.core.run_folder import RunFolder
from sundog.faithfulness.run import evaluate_faithfulness

torch.set_num_threads(1)
def slow(function):
    def explain(images):
        time.sleep(0.15)
        return function(images)
    return explain

with RunFolder.open({folder!r}, kind="faithfulness") as folder:
    evaluate_faithfulness(
        CLASSIFIER, batches(2), {{k: slow(f) for k, f in EXPLAINERS.items()}}, folder=folder,
        fills={{"deletion": ["black", "noisy_linear"]}},
    )
"""


def test_a_killed_run_continues_to_the_same_numbers(tmp_path):
    fills = {"deletion": ["black", "noisy_linear"]}
    whole = evaluate_faithfulness(CLASSIFIER, batches(2), EXPLAINERS, fills=fills)
    path = tmp_path / "run"
    script = SCRIPT.format(here=str(Path(__file__).parent), folder=str(path))
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        for _ in range(1200):
            if len(list(path.glob("cells/faithfulness/[!.]*.parquet"))) >= 8:
                break
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = len(list(path.glob("cells/faithfulness/[!.]*.parquet")))
    assert 8 <= done < 30
    torn = sorted(path.glob("cells/faithfulness/[!.]*.parquet"))[0]
    torn.write_bytes(torn.read_bytes()[:-20])
    with RunFolder.open(path, kind="faithfulness") as folder:
        continued = evaluate_faithfulness(
            CLASSIFIER, batches(2), EXPLAINERS, fills=fills, folder=folder
        )
    assert continued.notes == ("1 damaged part set aside and redone.",)
    pd.testing.assert_series_equal(values(continued), values(whole), atol=1e-6)
    columns = ["a", "b", "difference", "p_holm", "better"]
    pd.testing.assert_frame_equal(
        continued.comparisons[columns], whole.comparisons[columns], atol=1e-6
    )
