"""The planted-bias benchmark: settings from seeds, scores against hand-made truth, a small run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.planted import mend as mending
from benchmarks.planted import training
from benchmarks.planted.audit import audit_setting, recovered
from benchmarks.planted.bars import judge
from benchmarks.planted.cue_ranges import SHORTCUTS, draw_class, draw_parameters
from benchmarks.planted.data_sets import open_data
from benchmarks.planted.gathered import gather
from benchmarks.planted.loading import load_setting, write_plan
from benchmarks.planted.localisation import hits, localise, overlap, point, true_region
from benchmarks.planted.map_peers import concentration, spray
from benchmarks.planted.measure import Answers, conflicting_classes, reliance
from benchmarks.planted.mixture import error_slices
from benchmarks.planted.planted_images import audit_images, in_groups, training_images
from benchmarks.planted.report import report
from benchmarks.planted.run import missing
from benchmarks.planted.score import score_search, suspicion
from benchmarks.planted.settings import HELD_OUT_FROM, make_setting
from benchmarks.planted.slice_peers import ranked, run_slice_peers
from benchmarks.planted.steps import STEPS, do_step
from benchmarks.planted.suites import small_suite
from benchmarks.planted.truth import Truth
from benchmarks.planted.wrong_labels import score_ranking

from sundog.bias.shortcut_pairs import Pairs
from sundog.bias.shortcut_result import Shortcut, ShortcutSearch
from sundog.core.statistics import Estimate
from sundog.data.components.component import Component
from sundog.data.planting import make_cue


def test_the_small_suite_is_the_same_every_time_and_a_third_of_it_are_controls():
    suite = small_suite(draw="tuning", imagenette=False)
    assert suite == small_suite(draw="tuning", imagenette=False)
    assert len(suite) >= 60
    assert sum(s.control for s in suite) >= len(suite) / 3
    assert len({s.id for s in suite}) == len(suite)
    for data in ("digits", "faces", "photographs"):
        assert {s.cue for s in suite if s.data.startswith(data)} >= {*SHORTCUTS, "none"}
    biased = [s for s in suite if s.shortcut and not s.control]
    twins = [s.twin() for s in biased if s.twin() in suite]
    assert len(twins) >= len(biased) // 2
    assert all(s.shown > 0 for s in twins)
    assert len({s.model_id for s in twins}) < len(twins)  # classifiers of twins are shared
    more = small_suite(draw="tuning", imagenette=True)
    assert [s for s in more if not s.data.startswith("imagenette")] == suite


def test_held_out_settings_share_nothing_that_was_drawn():
    tuning, held_out = (small_suite(draw=d, imagenette=True) for d in ("tuning", "held-out"))
    assert not any(s.held_out for s in tuning)
    assert all(
        s.held_out and s.seed >= HELD_OUT_FROM and s.model_seed >= HELD_OUT_FROM for s in held_out
    )
    assert [(s.data, s.cue, s.network) for s in tuning] == [
        (s.data, s.cue, s.network) for s in held_out
    ]
    assert not {s.seed for s in tuning} & {s.seed for s in held_out}
    assert not {s.model_id for s in tuning} & {s.model_id for s in held_out}
    both = zip(tuning, held_out, strict=True)
    drawn = [(a.parameters, b.parameters) for a, b in both if a.shortcut]
    assert all(a != b for a, b in drawn if a and len(a) > 1)


@pytest.mark.parametrize("cue", SHORTCUTS)
def test_whatever_is_drawn_can_be_planted_in_the_smallest_images(cue):
    for seed in range(6):
        given = draw_parameters(cue, seed=seed)
        made = make_cue(cue, class_count=10, seed=seed, **given)
        planted = made.plant_as(torch.zeros(2, 3, 28, 28), torch.tensor([1, 9]), ["a", "b"])
        assert planted.masks.flatten(1).any(dim=1).all()


def test_rare_groups_and_wrong_labels_are_what_they_say():
    data = open_data("digits", 0)
    rare = make_setting("digits", "rare-group", "small-cnn", 3, models=1)
    target = draw_class("rare-group", 10, seed=3)
    shown = training_images(rare, data)
    has, own = shown.cue_class == target, data.train.labels == target
    assert has[own].mean() <= 0.02
    assert abs(has[~own].mean() - 0.5) < 0.03
    balanced = audit_images(rare, data)
    assert abs((balanced.cue_class == target)[data.held_out.labels == target].mean() - 0.5) < 0.2
    again = in_groups(rare, data, data.train, rare=rare.parameters["share"])
    np.testing.assert_array_equal(again.cue_class, shown.cue_class)

    noisy = make_setting("digits", "noisy-labels", "small-cnn", 4, models=1)
    target = draw_class("noisy-labels", 10, seed=4)
    wrong = training_images(noisy, data)
    np.testing.assert_array_equal(wrong.images.labels != data.train.labels, wrong.wrong)
    assert set(data.train.labels[wrong.wrong]) == {target}
    assert wrong.wrong.sum() == round(
        noisy.parameters["share"] * (data.train.labels == target).sum()
    )


def test_no_pixel_of_a_photograph_is_in_both_parts(monkeypatch):
    from benchmarks.planted import photographs

    seen: dict[str, set[int]] = {"train": set(), "held-out": set()}
    columns = np.arange(400, dtype=np.int64)
    strip = np.stack([columns // 256, columns % 256, columns * 0], axis=-1)[None].astype(np.uint8)
    pixels = np.repeat(strip, 120, axis=0)
    part = "train"

    def remember(crop, size, **given):
        seen[part] |= {int(a) * 256 + int(b) for a, b in crop[0, :, :2]}
        return torch.zeros(3, *size)

    monkeypatch.setattr(photographs, "resize_image", remember)
    for part in seen:
        for number in range(60):
            draw = torch.Generator().manual_seed(number)
            photographs._crop(pixels, part == "train", 8, draw)
    assert seen["train"] | seen["held-out"] == set(range(400))
    assert not seen["train"] & seen["held-out"]


def box(top, left, bottom, right, side=32):
    mask = np.zeros((side, side), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_localisation_by_hand():
    patch = box(20, 20, 26, 26)
    sparse = patch & (np.arange(32) % 2 == 0)
    assert true_region(sparse).sum() == 6 * 5
    assert overlap(box(20, 20, 26, 29), patch) == pytest.approx(36 / 54)
    assert point(box(4, 6, 9, 15).astype(float)) in {(6, 10), (6, 9)}
    soft = np.zeros((32, 32))
    soft[22, 23] = 0.9
    assert point(soft) == (22, 23)
    assert hits((22, 23), sparse)
    assert not hits((19, 23), sparse)
    ring = ~box(1, 1, 31, 31)
    thick = ~box(4, 4, 28, 28)
    assert hits(point(thick.astype(float)), ring)  # within a sixteenth of the side
    assert not hits((16, 16), ring)


def estimate(value, low=None, high=None, n=100):
    return Estimate(
        value, value if low is None else low, value if high is None else high, n, 0.95, ""
    )


def claim(kind="local", mask=None, image_masks=None, excess=0.5, low=0.4):
    nothing = np.zeros(0, dtype=np.int64)
    return Shortcut(
        family="window",
        kind=kind,
        name="patch",
        classes=(0, 1),
        flip=estimate(0.5),
        control=estimate(0.0),
        excess=estimate(excess, low, 0.6),
        p=1e-9,
        p_adjusted=1e-8,
        intact=estimate(0.9),
        swapped=estimate(0.4),
        reliance=estimate(0.5),
        pull=estimate(0.5),
        component=Component("window", {"top": 0.6, "left": 0.6, "tall": 0.2, "wide": 0.2}),
        pairs=Pairs(nothing, nothing, nothing),
        mask=mask,
        image_masks=image_masks or {},
    )


def search(*claims, lows=(0.02, -0.1)):
    table = pd.DataFrame(
        {
            "family": "window",
            "name": "patch",
            "class_index": -1,
            "n": 100,
            "excess": [low + 0.05 for low in lows],
            "low": lows,
            "p": [0.2] * len(lows),
            "p_adjusted": [1.0] * len(lows),
            "claimed": False,
        }
    )
    return ShortcutSearch(claims, table, 0.05, 0.05, images=100, forwards=1000)


def test_claims_are_scored_against_the_planted_cue():
    patch = box(20, 20, 26, 26)
    masks = np.stack([patch, np.zeros_like(patch), patch])
    setting = make_setting("faces", "patch", "small-cnn", 1, models=1, strength=1.0)
    good = score_search(search(claim(mask=patch.astype(float))), setting, masks)
    assert (good["claimed"], good["right"]) == (True, True)
    assert (good["claims"][0]["iou"], good["claims"][0]["pointing"]) == (1.0, 1.0)
    aside = score_search(search(claim(mask=box(2, 2, 8, 8).astype(float))), setting, masks)
    assert (aside["claimed"], aside["right"], aside["claims"][0]["pointing"]) == (True, False, 0.0)
    whole = score_search(search(claim(kind="whole")), setting, masks)
    assert (whole["right"], whole["claims"][0]["iou"]) == (False, None)
    control = score_search(search(claim(mask=patch.astype(float))), setting.twin(), masks)
    assert control["claimed"]  # a false alarm, whatever it shows
    assert not control["right"]
    tint = make_setting("faces", "tint", "small-cnn", 1, models=1)
    everywhere = np.ones_like(masks)
    assert score_search(search(claim(kind="whole")), tint, everywhere)["right"]
    assert not score_search(search(claim(mask=patch.astype(float))), tint, everywhere)["right"]

    each = localise(claim(image_masks={0: patch}), masks)  # of the two that carry it, one is found
    assert each == {"iou": 0.5, "pointing": 0.5}


def test_a_claim_makes_more_suspicious_than_any_test_without_one():
    nearly = search(lows=(0.6, 0.1))
    assert suspicion(nearly) == pytest.approx(-0.4)
    assert suspicion(search(claim(low=0.05))) > suspicion(nearly) > suspicion(search())
    assert suspicion(replace(search(), table=search().table.iloc[:0])) == -2.0


def answers(aligned, without, conflict):
    def first(share):
        return np.arange(100) < round(100 * share)

    return Answers(
        {"aligned": first(aligned), "without": first(without), "conflict": first(conflict)}
    )


def test_reliance_gap_and_recovery_by_hand():
    biased, twin, after = answers(0.9, 0.6, 0.2), answers(0.8, 0.8, 0.8), answers(0.8, 0.7, 0.65)
    truth = reliance(biased, twin)
    assert truth["reliance_classifier"]["value"] == pytest.approx(0.7)
    assert truth["gain_classifier"]["value"] == pytest.approx(0.3)
    assert truth["reliance_twin"]["value"] == 0
    assert truth["gap_conflict"]["value"] == pytest.approx(0.6)
    assert recovered(biased, after, twin, "conflict")["share"] == pytest.approx(0.75)
    assert recovered(twin, after, twin, "conflict")["share"] is None
    labels = np.arange(200) % 10
    for cue in ("patch", "conjunction"):
        setting = make_setting("digits", cue, "small-cnn", 5, models=1)
        steps = (conflicting_classes(setting, labels, 10) - labels) % 10
        assert set(steps) == set(range(1, 10)) if cue == "patch" else {1, 3, 5, 7, 9}


def test_bars_pass_at_the_limit_and_say_nothing_without_a_number():
    held = judge(
        {"identified": {"value": 0.95}, "false_alarms": {"value": 0.051}, "pointing": None}
    )
    assert [row["held"] for row in held] == [True, False, None, None]


def test_peers_find_what_they_can_find():
    rng = np.random.default_rng(0)
    flat = rng.random((20, 40, 40))
    peaked = flat.copy()
    peaked[:, 3:5, 3:5] = 500
    assert concentration(flat) == pytest.approx(0.01, abs=0.001)
    assert concentration(peaked) > 0.5
    places = np.zeros((40, 20, 20)) + 1e-4 * rng.random((40, 20, 20))
    places[:20, 2, 2] = places[20:, 17, 17] = 1.0
    apart = spray(places, np.repeat([0, 1], 20), seed=0)
    assert (apart["clusters"], apart["flags"]) == (2, ["focused maps"])
    mixed = spray(places, np.tile([0, 1], 20), seed=0)
    assert mixed["flags"] == ["clusters beside the labels"]

    labels = np.repeat([0, 1], 150)
    bad = np.zeros(300, dtype=bool)
    bad[:30] = True  # one corner of the features is always called 1
    features = rng.normal(size=(300, 4)) + 6 * labels[:, None] * [1, 0, 0, 0]
    features[bad] += [0, 8, 0, 0]
    chance = np.where((labels == 1) | bad, 0.95, 0.05)
    slices = error_slices(features, labels, np.stack([1 - chance, chance], axis=1), seed=0)
    assert slices.members[0].sum() > 0
    assert bad[slices.members[0]].all()


def test_slices_of_tags_are_ranked_against_the_planted_one():
    pytest.importorskip("sliceline")
    pytest.importorskip("divexplorer")
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    tags = rng.random((300, 6)) < 0.3
    values = np.where(tags[:, 2], 1, 0)
    truth = Truth(tags, tuple("abcdef"), values, labels, np.arange(300))
    right = ~(tags[:, 2] & (labels == 0)) & (rng.random(300) < 0.95)
    found = run_slice_peers(truth, right, target=0)
    assert found["sliceline"]["rank"] == 1
    assert found["divexplorer"]["rank"] == 1


def test_lists_by_hand():
    assert ranked([False, True, True])["rank"] == 2
    assert ranked([])["rank"] is None
    scores = score_ranking(np.array([0.1, 0.9, 0.8, np.nan]), np.array([False, True, False, False]))
    assert scores["precision_at_wrong"] == 1.0


def test_one_setting_from_training_to_report(tmp_path, monkeypatch):
    monkeypatch.setitem(training.BUDGETS, ("faces", "small-cnn"), {
        "epochs": 8, "learning_rate": 3e-3, "batch_size": 16,
    })  # fmt: skip
    monkeypatch.setitem(mending.EPOCHS, "faces", 5)
    setting = make_setting("faces", "patch", "small-cnn", HELD_OUT_FROM, models=1, strength=1.0)
    setting = replace(setting, parameters={"size": 0.25, "corner": "top_left", "margin": 0.0})
    suite = [setting, setting.twin()]
    write_plan(tmp_path, suite, None)
    loaded = load_setting(tmp_path, setting.id, limit=40)
    assert loaded.setting == setting
    assert loaded.images.shape == (40, 3, 32, 32)
    assert loaded.masks.sum() == 40 * 64
    assert (loaded.cue_class == loaded.labels.numpy()).all()
    assert missing(STEPS["audit"], suite, tmp_path) == [setting.id, setting.twin().id]
    few = replace(STEPS["audit"], work=partial(audit_setting, limit=60))
    do_step(few, setting, tmp_path, None)
    assert missing(STEPS["audit"], suite, tmp_path) == [setting.twin().id]
    result = json.loads(STEPS["audit"].file(tmp_path, setting).read_text())
    assert result["truth"]["reliance_classifier"]["value"] >= 0.2
    assert result["search"]["claimed"]
    assert result["mended"]["conflict"]["change"]["value"] > 0.1
    found = gather(tmp_path, suite)
    assert len(found.relying) == 1
    assert found.missing == 3  # the twin's audit, and two of the peers
    content = report(tmp_path, suite)
    assert content["draws"]["held-out"]["finder"]["identified"]["value"] == 1.0
    assert content["bars"]["held-out"][0]["held"] is True
    assert math.isclose(content["time"]["total"], content["time"]["steps"]["audit"], abs_tol=0.2)
