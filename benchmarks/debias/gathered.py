"""One setting over its seeds: every metric of every method with intervals, against plain training.

Images (within their classes) and seeds are resampled 2,000 times, the same samples for every method
and way of showing, as the test images are the same for all: the interval of a mean says how it
would vary with other images and, as far as two or three seeds can tell, with other trainings. Each
seed's value stands beside it. The lowest of several groups comes out lower in resamples than in
the data, so intervals of the worst group lie a little low.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.debias.folders import cell_folder
from benchmarks.debias.numbers import draws, measure
from benchmarks.debias.settings import Setting
from benchmarks.debias.shown_ways import Answers
from sundog.models.group_comparison import compare_group_scores
from sundog.models.seed_spread import seed_spread

SAMPLES = 2000
Values = dict[str, np.ndarray]


def gather(setting: Setting, work_folder: Path) -> dict[str, Any]:
    """Return the numbers of all methods that have results; refusals with their reasons."""
    results, answers = _read(setting, work_folder)
    if not any("erm" in found for found in answers.values()):
        return {"setting": setting.name, "methods": {}}
    weights = draws(_any(answers).labels, SAMPLES)
    point = {s: {m: measure(a) for m, a in found.items()} for s, found in answers.items()}
    drawn = {s: {m: measure(a, weights) for m, a in found.items()} for s, found in answers.items()}
    methods: dict[str, Any] = {}
    for name in setting.methods:
        seeds = [seed for seed in answers if name in answers[seed] and "erm" in answers[seed]]
        given = {seed: results[seed][name] for seed in results if name in results[seed]}
        if not given:
            continue
        row: dict[str, Any] = {
            "status": {str(seed): one["status"] for seed, one in given.items()},
            "reason": next((one["reason"] for one in given.values() if "reason" in one), None),
            "notes": {str(seed): one.get("notes") for seed, one in given.items()},
            "seconds": {str(seed): one.get("seconds") for seed, one in given.items()},
            "cpu": float(np.mean([one["cpu"] for one in given.values()])),
        }
        if seeds:
            row |= _compare(name, seeds, point, drawn)
            row["paired"] = _paired(name, seeds, answers, setting)
        methods[name] = row
    return {
        "setting": setting.name,
        "title": setting.title,
        "key": setting.key,
        "seeds": sorted(answers),
        "test_images": len(_any(answers).labels),
        "smallest_group": int(np.bincount(_any(answers).labels).min()),
        "alignment": setting.alignment,
        "methods": methods,
    }


def _compare(
    name: str,
    seeds: list[int],
    point: dict[int, dict[str, Values]],
    drawn: dict[int, dict[str, Values]],
) -> dict[str, Any]:
    """Return values, differences to plain training and the recovered shares of the gap."""
    picks = np.random.default_rng(1).multinomial(
        len(seeds), np.full(len(seeds), 1 / len(seeds)), SAMPLES
    )

    def mean(source: dict[int, dict[str, Values]], method: str, metric: str) -> np.ndarray:
        each = np.stack([source[seed][method][metric] for seed in seeds], axis=1)
        if source is point:
            return each.mean(axis=1)
        return (each * picks).sum(axis=1) / len(seeds)

    metrics = list(point[seeds[0]][name])
    values = {
        metric: {
            **_interval(mean(point, name, metric), mean(drawn, name, metric)),
            "seeds": [float(point[seed][name][metric][0]) for seed in seeds],
        }
        for metric in metrics
    }
    change = {
        metric: _interval(
            mean(point, name, metric) - mean(point, "erm", metric),
            mean(drawn, name, metric) - mean(drawn, "erm", metric),
        )
        for metric in metrics
    }
    made: dict[str, Any] = {"seeds": seeds, "values": values, "change": change}
    if all("clean" in point[seed] for seed in seeds):
        for metric in ("worst", "conflict"):
            shares = []
            for source in (point, drawn):
                erm, best = mean(source, "erm", metric), mean(source, "clean", metric)
                with np.errstate(invalid="ignore", divide="ignore"):
                    shares.append((mean(source, name, metric) - erm) / (best - erm))
            # Without a gap to close there is no share of it.
            gap = mean(drawn, "clean", metric) - mean(drawn, "erm", metric)
            if np.quantile(gap, 0.025) > 0:
                made[f"recovered_{metric}"] = _interval(*shares)
        ratio = [mean(s, name, "worst") / mean(s, "clean", "worst") for s in (point, drawn)]
        made["of_clean"] = _interval(*ratio)
        lost = [mean(s, "clean", "without") - mean(s, name, "without") for s in (point, drawn)]
        made["lost_to_clean"] = _interval(*lost)
    return made


def _paired(
    name: str, seeds: list[int], answers: dict[int, dict[str, Answers]], setting: Setting
) -> dict[str, Any]:
    """Return the library's own comparison with plain training, with its simultaneous interval."""
    if name == "erm":
        return {}
    worst, gap = [], []
    for seed in seeds:
        before, after = answers[seed]["erm"], answers[seed][name]
        labels = np.concatenate([before.labels, before.labels])
        way = np.repeat([0, 1], len(before.labels))
        classes = [str(c) for c in range(before.probabilities.shape[2])]
        found = compare_group_scores(
            np.concatenate(before.probabilities[:2]),
            np.concatenate(after.probabilities[:2]),
            labels,
            2 * labels + way,
            [f"{c} {kind}" for c in classes for kind in ("aligned", "conflict")],
            class_names=classes,
            seed=0,
        )
        worst.append(found.worst)
        gap.append(found.gap)
    spread = {"worst": seed_spread(worst), "gap": seed_spread(gap)}
    return {
        metric: {
            "mean": one.mean.value,
            "seeds_sd": one.seeds_sd,
            "lowest": one.lowest,
            "highest": one.highest,
            "images_half_width": one.images_half_width,
            "each": [[e.value, e.low, e.high] for e in each],
        }
        for (metric, one), each in zip(spread.items(), (worst, gap), strict=True)
    }


def _interval(value: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(samples, [0.025, 0.975])
    return {"value": float(value[0]), "low": float(low), "high": float(high)}


def _read(
    setting: Setting, work_folder: Path
) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Answers]]]:
    results: dict[int, dict[str, Any]] = {}
    answers: dict[int, dict[str, Answers]] = {}
    for folder in sorted(cell_folder(work_folder, setting, 0).parent.glob("seed*")):
        seed = int(folder.name.removeprefix("seed"))
        for name in setting.methods:
            if not (folder / f"{name}.json").is_file():
                continue
            one = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            results.setdefault(seed, {})[name] = one
            if one["status"] == "done":
                answers.setdefault(seed, {})[name] = Answers.read(folder / f"{name}.npz")
    return results, answers


def _any(answers: dict[int, dict[str, Answers]]) -> Answers:
    return next(iter(next(iter(answers.values())).values()))
