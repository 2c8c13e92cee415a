"""The confidence of a verdict: fitted as written, measured on what was held out."""

import json

import numpy as np
import pytest
from benchmarks.planted.calibrate import (
    Audited,
    calibrate,
    clustered,
    cross_predict,
    fit,
    measure,
    predict,
    read_audits,
    reliability,
)
from scipy.optimize import minimize

from sundog.bias.confidence import FEATURES, read_calibration


def world(count, seed, *, models=None):
    """Settings whose truth follows a known logistic map of the features."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, len(FEATURES))) * np.arange(1, len(FEATURES) + 1)
    chance = 1 / (1 + np.exp(-(0.3 + features @ np.array([1.5, 0.5, 0.2, 0.0, -0.2, 0.1]))))
    names = tuple(f"m{i % (models or count)}" for i in range(count))
    return Audited(features, random.random(count) < chance, names, 0), chance


def test_the_fit_minimises_the_penalised_loss():
    audited, _ = world(200, 0)
    made = fit(audited)
    x = (audited.features - audited.features.mean(0)) / audited.features.std(0)
    sign = np.where(audited.biased, 1.0, -1.0)

    def loss(w):
        return np.logaddexp(0, -sign * (x @ w[1:] + w[0])).sum() + 0.5 * (w[1:] ** 2).sum()

    best = minimize(loss, np.zeros(1 + len(FEATURES)), method="BFGS", options={"gtol": 1e-8}).x
    assert made.intercept == pytest.approx(best[0], abs=1e-4)
    assert made.weights == pytest.approx(best[1:], abs=1e-4)
    assert read_calibration(made.to_dict())(
        dict(zip(FEATURES, audited.features[3], strict=True))
    ) == pytest.approx(1 / (1 + np.exp(-(best[0] + x[3] @ best[1:]))), abs=1e-4)


def test_scores_of_a_known_map_by_hand():
    audited = Audited(
        np.zeros((4, len(FEATURES))), np.array([True, False, True, False]), ("a", "b", "c", "d"), 1
    )
    p = np.array([0.9, 0.2, 0.6, 0.02])
    found = measure(p, audited)
    assert found["brier"]["value"] == pytest.approx((0.01 + 0.04 + 0.16 + 0.0004) / 4)
    assert found["log_loss"]["value"] == pytest.approx(-np.log([0.9, 0.8, 0.6, 0.98]).mean())
    assert found["auroc"]["value"] == 1.0
    assert found["base_brier"] == 0.25
    rows = reliability(p, audited.biased)
    assert [(r["from"], r["biased"]["n"]) for r in rows] == [(0.0, 1), (0.2, 1), (0.5, 1), (0.8, 1)]
    assert (
        sum(r["biased"]["n"] for r in reliability(np.linspace(0, 1, 50), np.ones(50, bool))) == 50
    )


def test_classifiers_are_resampled_whole():
    values = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    alone = clustered(values, [str(i) for i in range(200)])
    joint = clustered(values, [str(i // 20) for i in range(200)])
    assert joint["value"] == alone["value"]
    assert joint["high"] - joint["low"] > 3 * (alone["high"] - alone["low"])


def test_a_map_is_calibrated_where_it_was_not_fitted():
    fitted, _ = world(600, 1)
    held, chance = world(600, 2)
    p = predict(fit(fitted), held)
    assert np.abs(p - chance).mean() < 0.06
    found = measure(p, held)
    assert found["brier"]["value"] < 0.7 * found["base_brier"]
    for row in found["reliability"]:
        assert row["biased"]["low"] - 0.05 < row["mean"] < row["biased"]["high"] + 0.05


def test_no_setting_is_predicted_by_its_own_classifier():
    audited, _ = world(120, 3, models=12)
    p = cross_predict(audited)
    assert np.isfinite(p).all()
    # A classifier whose truth is turned round changes the prediction of others, never its own.
    turned = audited.biased.copy()
    mine = np.array([name == "m0" for name in audited.models])
    turned[mine] = ~turned[mine]
    again = cross_predict(Audited(audited.features, turned, audited.models, 0), folds=12)
    before = cross_predict(audited, folds=12)
    assert again[mine] == pytest.approx(before[mine])
    assert not np.allclose(again[~mine], before[~mine])


def result(folder, number, *, features, control, reliance, held_out):
    setting = {
        "id": f"digits-patch-{number}",
        "control": control,
        "held_out": held_out,
        "data": "digits",
        "network": "cnn",
        "model_seed": number,
    }
    made = {"setting": setting, "search": {"features": dict(zip(FEATURES, features, strict=True))}}
    if not control:
        made["truth"] = {"reliance_classifier": {"value": reliance}}
    (folder / f"{number:04d}.json").write_text(json.dumps(made))


def test_a_benchmark_folder_gives_coefficients_and_their_worth(tmp_path):
    folder = tmp_path / "results" / "audit"
    folder.mkdir(parents=True)
    audited, _ = world(120, 5)
    for number, (row, biased) in enumerate(zip(audited.features, audited.biased, strict=True)):
        result(
            folder, number, features=row, control=not biased, reliance=0.4, held_out=number >= 80
        )
    result(folder, 999, features=audited.features[0], control=False, reliance=0.05, held_out=False)
    tuning, held = (read_audits(tmp_path, held_out=flag) for flag in (False, True))
    assert (len(tuning), len(held), tuning.neither) == (80, 40, 1)
    made, report = calibrate(tmp_path)
    assert report["held_out"]["settings"] == 40
    assert made.fitted["held_out"]["how"] == "held-out settings"
    assert made.fitted["held_out"]["brier"] == report["held_out"]["brier"]["value"]
    assert read_calibration(json.loads(json.dumps(report["calibration"]))) == made


def test_one_draw_alone_is_measured_without_each_classifier_itself(tmp_path):
    folder = tmp_path / "results" / "audit"
    folder.mkdir(parents=True)
    audited, _ = world(120, 5)
    for number, (row, biased) in enumerate(zip(audited.features, audited.biased, strict=True)):
        result(folder, number, features=row, control=not biased, reliance=0.4, held_out=True)
    made, report = calibrate(tmp_path)
    held = read_audits(tmp_path, held_out=True)
    assert report["held_out"] is None
    assert report["held_out_cross_fitted"] == measure(cross_predict(held), held)
    assert made.fitted["held_out"]["how"] == "held-out settings, cross-fitted"


def test_too_few_settings_fit_nothing():
    audited, _ = world(10, 6)
    with pytest.raises(SystemExit, match="too few"):
        fit(audited)
