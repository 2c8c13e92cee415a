"""``python -m benchmarks.planted.calibrate --out FOLDER --write``: how sure a verdict may be.

Fits the logistic map of :mod:`sundog.bias.confidence` on the audits of tuning settings, and
measures it on held-out settings, which no part of the tool was tuned on: Brier score, log loss,
reliability. A folder with held-out settings alone gives both: each classifier is then measured by
a map that was fitted without it. A classifier counts as biased if its accuracy falls by ten points
when the cue conflicts, as sound if it never saw the cue. One that saw the cue and does not rely on
it is neither, and is left out.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import sundog
from benchmarks.planted.measure import RELIES
from benchmarks.planted.numbers import as_json
from sundog.bias.confidence import FEATURES, FILE, Calibration
from sundog.core.files import write_json
from sundog.core.statistics import Estimate, mann_whitney, wilson_interval

HOME = Path(sundog.__file__).parent / "bias" / FILE
PENALTY = 1.0
"""L2 on the weights of the standardised features: keeps them finite where classes separate."""
FEWEST = 20
"""Settings, and at least this many / 4 of each kind, without which nothing is fitted."""
EDGES = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
RESAMPLES = 2000
CLIP = 1e-12
HOW = {
    "held_out": "held-out settings",
    "held_out_cross_fitted": "held-out settings, cross-fitted",
    "tuning_cross_fitted": "tuning settings, cross-fitted",
}


@dataclass(frozen=True, eq=False)
class Audited:
    """Settings with a truth.

    Attributes:
        features: ``float64[settings, features]``.
        biased: ``bool[settings]``.
        models: name of the trained classifier; settings of one classifier are not independent.
        neither: settings left out: the classifier saw the cue and does not rely on it.
    """

    features: np.ndarray
    biased: np.ndarray
    models: tuple[str, ...]
    neither: int

    def __len__(self) -> int:
        return len(self.biased)


def read_audits(folder: Path, *, held_out: bool) -> Audited:
    """Read the results of all audits of a benchmark folder.

    Args:
        folder: written by ``benchmarks.planted.run``.
        held_out: which settings.
    """
    rows, biased, models, neither = [], [], [], 0
    for file in sorted((folder / "results" / "audit").glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        setting = result["setting"]
        if bool(setting["held_out"]) is not held_out:
            continue
        relies = not setting["control"] and _relies(result)
        if not setting["control"] and not relies:
            neither += 1
            continue
        rows.append([float(result["search"]["features"][name]) for name in FEATURES])
        biased.append(relies)
        models.append(_model(setting))
    return Audited(
        features=np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES)),
        biased=np.array(biased, dtype=bool),
        models=tuple(models),
        neither=neither,
    )


def fit(audited: Audited) -> Calibration:
    """Fit the map: standardise, then logistic regression with a mild L2 penalty.

    Raises:
        SystemExit: too few settings of either kind.
    """
    counts = (int(audited.biased.sum()), int((~audited.biased).sum()))
    if len(audited) < FEWEST or min(counts) < FEWEST / 4:
        raise SystemExit(
            f"{counts[0]} biased and {counts[1]} sound settings are too few to calibrate on."
        )
    means = audited.features.mean(axis=0)
    spread = audited.features.std(axis=0)
    scales = np.where(spread > 1e-9, spread, 1.0)
    model = LogisticRegression(C=1 / PENALTY, max_iter=10_000, tol=1e-10)
    model.fit((audited.features - means) / scales, audited.biased)
    return Calibration(
        features=FEATURES,
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(model.coef_[0].tolist()),
        intercept=float(model.intercept_[0]),
        fitted={
            "settings": len(audited),
            "biased": counts[0],
            "classifiers": len(set(audited.models)),
            "neither": audited.neither,
            "version": sundog.__version__,
        },
    )


def predict(calibration: Calibration, audited: Audited) -> np.ndarray:
    """Return the probability of each setting."""
    return np.array(
        [calibration(dict(zip(FEATURES, row, strict=True))) for row in audited.features]
    )


def cross_predict(audited: Audited, *, folds: int = 10) -> np.ndarray:
    """Return what each setting gets from a map fitted without its classifier."""
    names = sorted(set(audited.models))
    fold_of = {name: place % folds for place, name in enumerate(names)}
    fold = np.array([fold_of[name] for name in audited.models])
    found = np.full(len(audited), np.nan)
    for number in range(folds):
        out = fold == number
        kept = [name for name, gone in zip(audited.models, out, strict=True) if not gone]
        rest = Audited(audited.features[~out], audited.biased[~out], tuple(kept), 0)
        if out.any():
            held = Audited(audited.features[out], audited.biased[out], (), 0)
            found[out] = predict(fit(rest), held)
    return found


def measure(probability: np.ndarray, audited: Audited, *, seed: int = 0) -> dict[str, Any]:
    """Return Brier score, log loss, AUROC and the reliability curve, with 95 % intervals.

    Intervals of the scores: percentile bootstrap over the classifiers, as settings of one
    classifier are not independent. Reliability: mean probability and share of biased ones (Wilson)
    per bin.
    """
    truth = audited.biased.astype(float)
    p = np.clip(probability, CLIP, 1 - CLIP)
    losses = {
        "brier": (probability - truth) ** 2,
        "log_loss": -(truth * np.log(p) + (1 - truth) * np.log(1 - p)),
    }
    found: dict[str, Any] = {
        "settings": len(audited),
        "biased": int(audited.biased.sum()),
        "classifiers": len(set(audited.models)),
        "neither": audited.neither,
        **{name: clustered(values, audited.models, seed=seed) for name, values in losses.items()},
        "base_brier": float(truth.mean() * (1 - truth.mean())),
        "reliability": reliability(probability, audited.biased),
    }
    if audited.biased.any() and not audited.biased.all():
        found["auroc"] = as_json(mann_whitney(probability, audited.biased).auroc)
    return found


def clustered(values: np.ndarray, groups: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Return the mean of the values with a bootstrap interval over the groups."""
    names = sorted(set(groups))
    place = {name: i for i, name in enumerate(names)}
    member = np.array([place[name] for name in groups])
    sums = np.bincount(member, weights=values, minlength=len(names))
    counts = np.bincount(member, minlength=len(names)).astype(float)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return as_json(
        Estimate(float(values.mean()), float(low), float(high), len(values), 0.95, "percentile")
    )


def reliability(probability: np.ndarray, biased: np.ndarray) -> list[dict[str, Any]]:
    """Return, per bin of the probability, its mean and the share that is really biased."""
    rows = []
    for low, high in pairwise(EDGES):
        last = high == EDGES[-1]
        inside = (probability >= low) & ((probability < high) | (last & (probability <= high)))
        if inside.any():
            hits = int(biased[inside].sum())
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "mean": float(probability[inside].mean()),
                    "biased": as_json(wilson_interval(hits, int(inside.sum()))),
                }
            )
    return rows


def calibrate(folder: Path) -> tuple[Calibration, dict[str, Any]]:
    """Fit on the tuning settings and measure on the held-out ones; where one draw alone is there,
    cross-fitted on it.
    """
    tuning, held = (read_audits(folder, held_out=flag) for flag in (False, True))
    alone = not len(tuning)
    fitted_on = held if alone else tuning
    made = fit(fitted_on)
    name = "held_out_cross_fitted" if alone else "tuning_cross_fitted"
    report: dict[str, Any] = {
        "fitted_on": dict(made.fitted),
        name: measure(cross_predict(fitted_on), fitted_on),
        "held_out": measure(predict(made, held), held) if len(held) and not alone else None,
    }
    shown = report["held_out"] or report[name]
    summary = {
        "settings": shown["settings"],
        "classifiers": shown["classifiers"],
        "brier": shown["brier"]["value"],
        "brier_low": shown["brier"]["low"],
        "brier_high": shown["brier"]["high"],
        "log_loss": shown["log_loss"]["value"],
        "how": HOW["held_out" if report["held_out"] else name],
    }
    fitted = {**made.fitted, "held_out": summary}
    done = Calibration(made.features, made.means, made.scales, made.weights, made.intercept, fitted)
    return done, {**report, "calibration": done.to_dict()}


def _relies(result: dict[str, Any]) -> bool:
    truth = result.get("truth")
    return truth is not None and float(truth["reliance_classifier"]["value"]) >= RELIES


def _model(setting: dict[str, Any]) -> str:
    """Return the name of the trained classifier; controls of one seed share theirs."""
    if setting["control"]:
        return f"{setting['data']}-clean-{setting['network']}-m{setting['model_seed']}"
    return str(setting["id"])


def main() -> None:
    """Fit, measure, print, and with --write put the coefficients into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the benchmark")
    parser.add_argument("--report", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--write", action="store_true", help=f"write {HOME.name} of the package")
    options = parser.parse_args()
    made, report = calibrate(options.out)
    print(json.dumps({k: v for k, v in report.items() if k != "calibration"}, indent=1))
    write_json(options.report / "planted_confidence.json", report)
    if options.write:
        write_json(HOME, made.to_dict())
        print(HOME)


if __name__ == "__main__":
    main()
