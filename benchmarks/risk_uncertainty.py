"""``python -m benchmarks.risk_uncertainty``: do aleatoric and epistemic risk mean what they say?

On the embedded digits, with a small convolutional network with dropout:

``noise``: labels of class c are flipped at a rate of its own, 0 to 60 %. The mean aleatoric risk of
clean, unseen images must follow the rate (Spearman >= .9).
``errors``: 5 % of the labels are wrong. Among as many images ranked first, wrong ones must be at
least 5 times as frequent as among all.
``size``: networks trained for equally many steps on 1 to 100 % of the images. The mean epistemic
risk of unseen images must fall (Spearman <= -.9), and towards 0 (``times_smaller``: how many times
smaller it is in the end); that of evidential learning is expected not to vanish.
``strange``: the networks of 100 % are shown faces, inverted digits and noise. The AUROC of the
epistemic risk must be at least that of the maximum softmax probability (MSP).

Every figure is given per seed, with the mean and its 95 % t interval over the seeds.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import nn

from sundog.core.seeds import derive_seed, generator
from sundog.core.statistics import mean_interval
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.transforms import resize_image
from sundog.models.feature_table import collect_features
from sundog.models.nets import SmallCNN
from sundog.models.zoo import get_model
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.ensemble_training import train_ensemble
from sundog.risk.fit_options import FitOptions
from sundog.risk.label_errors import label_error_scores
from sundog.risk.output import RiskOutput
from sundog.risk.wrapping import wrap

CLASSES = 10
FRACTIONS = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
HIGHEST = 0.6
WRONG = 0.05
BATCH = 64
NOISE_BAR, ERROR_BAR, SIZE_BAR = 0.9, 5.0, -0.9
MUST_FOLLOW = ("mve", "mve, all", "ensemble", "ensemble of mve", "laplace", "mc_dropout")
MUST_FALL = ("ensemble", "mc_dropout", "laplace", "knn")
HEADS = FitOptions(epochs=5)


class DropoutCNN(SmallCNN):
    """The small network with dropout before its head."""

    def __init__(self, classes: int, *, rate: float = 0.25) -> None:
        super().__init__(classes)
        self.dropout = nn.Dropout(rate)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.pool(self.features(images)).flatten(1)))


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_model(DropoutCNN(CLASSES), class_names=[str(c) for c in range(CLASSES)])


def relabelled(images: ImageSet, labels: np.ndarray) -> ImageSet:
    changed = images.subset(np.arange(len(images)))
    changed.labels = labels
    return changed


def flipped(labels: np.ndarray, rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    wrong = rng.random(len(labels)) < rates[labels]
    others = (labels + rng.integers(1, CLASSES, len(labels))) % CLASSES
    return np.where(wrong, others, labels)


def spearman(a: object, b: object) -> float:
    return float(spearmanr(a, b).statistic)


def trained(images: ImageSet, *, members: int, steps: int, seed: int) -> EnsembleModel:
    per_epoch = -(-len(images) // BATCH)
    epochs = max(1, round(steps / per_epoch))
    return train_ensemble(
        network, images, members=members, seed=seed, epochs=epochs, evaluate_every=epochs
    )


def all_outputs(
    ensemble: EnsembleModel, train: ImageSet, shown: list[object], *, kind: str
) -> dict[str, list[RiskOutput]]:
    """Return the risks of every method of a kind for every set of images that is shown."""
    first = ensemble.classifiers[0]
    names = {
        "aleatoric": ("laplace", "mc_dropout", "evidential", "mve", "entropy"),
        "epistemic": ("laplace", "mc_dropout", "evidential", "knn", "msp"),
    }
    models: dict[str, object] = {"ensemble": ensemble}
    for name in names[kind]:
        options = {"k": 10, "small_classes": "allow"} if name == "knn" else {}
        models[name] = wrap(first, name, **options).fit(train, options=HEADS)
    if kind == "aleatoric":
        wrapped = [wrap(classifier, "mve") for classifier in ensemble.classifiers]
        models["ensemble of mve"] = EnsembleModel(wrapped).fit(train, options=HEADS)
        models["mve, all"] = wrap(first, "mve").fit(train, train="all", options=HEADS)
    return {name: [m.predict(images) for images in shown] for name, m in models.items()}


def noise(train: ImageSet, test: ImageSet, args: argparse.Namespace, seed: int) -> dict[str, dict]:
    rng = np.random.default_rng(derive_seed(seed, "noise"))
    rates = rng.permutation(np.linspace(0, HIGHEST, CLASSES))
    given = relabelled(train, flipped(train.labels, rates, rng))
    ensemble = trained(given, members=args.members, steps=args.steps, seed=seed)
    found = {}
    for name, (output,) in all_outputs(ensemble, given, [test], kind="aleatoric").items():
        risk = output.aleatoric.numpy()
        means = [float(risk[test.labels == c].mean()) for c in range(CLASSES)]
        noisy = rates[test.labels] > HIGHEST / 2
        found[name] = {
            "spearman": spearman(rates, means),
            "auroc_noisy_half": float(roc_auc_score(noisy, risk)),
        }
        if output.epistemic is not None:
            found[name]["spearman_of_both_risks"] = spearman(risk, output.epistemic.numpy())
    return found


def errors(train: ImageSet, args: argparse.Namespace, seed: int) -> dict[str, dict]:
    rng = np.random.default_rng(derive_seed(seed, "errors"))
    given = flipped(train.labels, np.full(CLASSES, WRONG), rng)
    wrong = given != train.labels
    noisy = relabelled(train, given)
    ensemble = trained(noisy, members=1, steps=args.steps, seed=seed)
    table = collect_features(ensemble.classifiers[0], noisy)
    judged = label_error_scores(table, seed=seed)
    loss = -table.logits.log_softmax(dim=1).gather(1, table.labels[:, None])[:, 0].numpy()
    found = {}
    for name, score in (("left-out odds", judged.score), ("loss of the network", loss)):
        first = np.argsort(-score, kind="stable")[: int(wrong.sum())]
        found[name] = {
            "precision": float(wrong[first].mean()),
            "times_base_rate": float(wrong[first].mean() / wrong.mean()),
            "auroc": float(roc_auc_score(wrong, score)),
        }
    return found


def strange_images(test: ImageSet, seed: int) -> dict[str, torch.Tensor]:
    digits = torch.cat([b.images for b in test.batches(size=None, batch_size=256)])
    size = (digits.shape[2], digits.shape[3])
    faces = load_image_set("faces")
    crops = [resize_image(faces.image(i), size) for i in range(len(faces))]
    draw = generator(seed, "strange")
    return {
        "faces": torch.stack(crops),
        "inverted": 1 - digits[:300],
        "noise": torch.rand((300, 3, *size), generator=draw),
    }


def size_and_strange(
    train: ImageSet, test: ImageSet, args: argparse.Namespace, seed: int
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]]]:
    order = np.random.default_rng(derive_seed(seed, "size")).permutation(len(train))
    means: dict[str, list[float]] = {}
    outside = strange_images(test, seed)
    aurocs: dict[str, dict[str, float]] = {}
    for fraction in FRACTIONS:
        part = train.subset(order[: round(fraction * len(train))])
        ensemble = trained(part, members=args.members, steps=args.steps, seed=seed)
        full = fraction == 1
        shown = [test, *outside.values()] if full else [test]
        for name, (inside, *others) in all_outputs(ensemble, part, shown, kind="epistemic").items():
            risk = inside.epistemic.numpy()
            means.setdefault(name, []).append(float(risk.mean()))
            for kind, output in zip(outside, others, strict=False):
                scores = np.concatenate([risk, output.epistemic.numpy()])
                truth = np.arange(len(scores)) >= len(risk)
                aurocs.setdefault(name, {})[kind] = float(roc_auc_score(truth, scores))
    return means, aurocs


def over_seeds(values: list[float], *, low: float, high: float) -> dict[str, object]:
    """Return mean, 95 % t interval (cut to what the figure can be) and the values."""
    found = mean_interval(np.array(values))
    ends = [
        None if np.isnan(x) else round(min(max(x, low), high), 4) for x in (found.low, found.high)
    ]
    rounded = [round(value, 4) for value in values]
    return {"mean": round(found.value, 4), "low": ends[0], "high": ends[1], "seeds": rounded}


def limits_of(key: str) -> dict[str, float]:
    if key.startswith("spearman"):
        return {"low": -1.0, "high": 1.0}
    return {"low": 0.0, "high": float("inf") if key.startswith("times") else 1.0}


def gather(runs: list[dict[str, dict]]) -> dict[str, dict]:
    return {
        name: {
            key: over_seeds([run[name][key] for run in runs], **limits_of(key))
            for key in runs[0][name]
        }
        for name in runs[0]
    }


def of_sizes(means: list[float]) -> dict[str, float]:
    return {"spearman": spearman(FRACTIONS, means), "times_smaller": means[0] / means[-1]}


def summarise(parts: dict[str, list]) -> tuple[dict, dict]:
    """Return the figures over the seeds, and which of the bars they hold."""
    size = gather([{name: of_sizes(row) for name, row in run.items()} for run in parts["size"]])
    for name, row in size.items():
        row["means"] = np.mean([run[name] for run in parts["size"]], axis=0).round(6).tolist()
    results = {
        "noise": gather(parts["noise"]),
        "errors": gather(parts["errors"]),
        "size": size,
        "strange": gather(parts["strange"]),
    }
    strange = results["strange"]
    holds = {
        "noise": {n: results["noise"][n]["spearman"]["mean"] >= NOISE_BAR for n in MUST_FOLLOW},
        "errors": results["errors"]["left-out odds"]["times_base_rate"]["mean"] >= ERROR_BAR,
        "size": {n: size[n]["spearman"]["mean"] <= SIZE_BAR for n in MUST_FALL},
        "strange": {
            name: {k: row[k]["mean"] >= strange["msp"][k]["mean"] for k in row}
            for name, row in strange.items()
            if name != "msp"
        },
    }
    return results, holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="gradient steps of each network")
    parser.add_argument("--images", type=int, default=4000, help="training images at most")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/risk_uncertainty.json")
    )
    args = parser.parse_args()
    train = load_image_set("digits", split="train")
    train = train.subset(np.random.default_rng(0).permutation(len(train))[: args.images])
    test = load_image_set("digits", split="validation")
    started = time.perf_counter()
    parts: dict[str, list] = {"noise": [], "errors": [], "size": [], "strange": []}
    for seed in range(args.seeds):
        parts["noise"].append(noise(train, test, args, seed))
        print(seed, "noise", json.dumps(parts["noise"][-1]), flush=True)
        parts["errors"].append(errors(train, args, seed))
        print(seed, "errors", json.dumps(parts["errors"][-1]), flush=True)
        means, aurocs = size_and_strange(train, test, args, seed)
        parts["size"].append(means)
        parts["strange"].append(aurocs)
        print(seed, "size", json.dumps(means), flush=True)
        print(seed, "strange", json.dumps(aurocs), flush=True)
    results, holds = summarise(parts)
    about = {
        "data": f"digits, {len(train)} training and {len(test)} test images of 28 px",
        "network": "small-cnn with dropout .25 before its head",
        "seeds": args.seeds,
        "members": args.members,
        "steps": args.steps,
        "fractions": list(FRACTIONS),
        "seconds": round(time.perf_counter() - started),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"about": about, "holds": holds, "results": results}, indent=1)
    args.out.write_text(text + "\n")
    print(json.dumps(holds, indent=1))


if __name__ == "__main__":
    main()
