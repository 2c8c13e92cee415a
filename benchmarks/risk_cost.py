"""``python -m benchmarks.risk_cost``: what a risk costs beside the forward pass it rides on.

For each network and post-hoc method: seconds to fit on ``--rows`` training images, and, for a
batch, (forward pass + score) / forward pass; the issue's bar is 1.2. Passes and scores are timed in
turn, so that drift hits both. Memory is the growth in a process of its own, of the fit and a batch;
and of neighbours among a million vectors (``--vectors``), exact and approximate.
Features are those of the network on noise, moved about by noise of their own size: the cost does
not depend on what they are. Run it on a machine that does nothing else.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measure import interleaved, peak_growth, peak_in_subprocess
from sundog.core.files import write_json
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, forward_features, table_from_arrays
from sundog.models.head import read_head
from sundog.models.zoo import get_model
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.logit_scores import Energy, Entropy, GeneralisedEntropy, MaximumProbability
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.relative_mahalanobis import RelativeMahalanobis
from sundog.risk.reverse_neighbours import ReverseNeighbours
from sundog.risk.virtual_logit import VirtualLogit

BAR = 1.2
METHODS: dict[str, Callable[[], PostHoc]] = {
    "knn": NearestNeighbours,
    "reverse_knn": ReverseNeighbours,
    "gmm": GaussianMixtureDensity,
    "ddu": ClassGaussians,
    "rmds": RelativeMahalanobis,
    "vim": VirtualLogit,
    "histogram": Histogram,
    "msp": MaximumProbability,
    "entropy": Entropy,
    "gen": GeneralisedEntropy,
    "energy": Energy,
}
NETWORKS = {"small-cnn": (28, 64), "resnet18": (224, 16)}
"""Name: side in pixels, images per batch."""
CLASSES = 10


def prepared(name: str, rows: int) -> tuple[Classifier, torch.Tensor, FeatureTable]:
    """Return the network, a batch, and a table as long as a training set."""
    side, count = NETWORKS[name]
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    classifier = get_model(name, class_names=[str(c) for c in range(CLASSES)])
    images = torch.rand((count, 3, side, side), generator=draw)
    with torch.no_grad():
        features, _ = forward_features(classifier, images)
    moved = features[torch.arange(rows) % count]
    moved = moved + features.std() * torch.randn(moved.shape, generator=draw)
    head = read_head(classifier)
    logits = moved @ head.weight.T + head.bias + 5
    return classifier, images, table_from_arrays(moved, logits, torch.arange(rows) % CLASSES)


def fitted(name: str, method: str, rows: int) -> tuple[Classifier, torch.Tensor, PostHoc, float]:
    """Return the network, a batch, the fitted method and the seconds of its fit."""
    classifier, images, table = prepared(name, rows)
    estimator = METHODS[method]()
    start = time.perf_counter()
    estimator.fit(table, head=read_head(classifier))
    return classifier, images, estimator, time.perf_counter() - start


@torch.no_grad()
def passed(classifier: Classifier, images: torch.Tensor) -> Passed:
    """Return features and logits of one pass."""
    features, logits = forward_features(classifier, images)
    return Passed(features=features, logits=logits)


def time_method(name: str, method: str, rows: int, repeats: int) -> dict[str, object]:
    """Return seconds of the pass, of the score and of the fit, and their ratio."""
    classifier, images, estimator, fit_seconds = fitted(name, method, rows)
    once = passed(classifier, images)
    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: passed(classifier, images),
        "score": lambda: estimator.score(once),
    }
    times = {
        call: found.summary()["wall_median"] for call, found in interleaved(calls, repeats).items()
    }
    kept = estimator.tensors().values()
    return {
        "network": name,
        "method": method,
        "features": once.features.shape[1],
        "batch": len(images),
        "rows": rows,
        "fit_seconds": fit_seconds,
        "forward_seconds": times["forward"],
        "score_seconds": times["score"],
        "ratio": 1 + times["score"] / times["forward"],
        "saved_bytes": sum(t.numel() * t.element_size() for t in kept),
    }


def weigh_method(name: str, method: str, rows: int) -> int:
    """Return by how many bytes memory grows while a method is fitted and a batch is scored."""
    classifier, images, table = prepared(name, rows)
    head, once = read_head(classifier), passed(classifier, images)
    estimator = METHODS[method]()

    def fit_and_score() -> None:
        estimator.fit(table, head=head)
        estimator.score(once)

    return peak_growth(fit_and_score)


def time_million(kind: str, vectors: int, features: int) -> dict[str, object]:
    """Return seconds and memory of neighbours among very many vectors."""
    draw = torch.Generator().manual_seed(0)
    bank = torch.randn((vectors, features), generator=draw)
    table = table_from_arrays(bank, torch.zeros(vectors, 2))
    estimator = NearestNeighbours(index=kind)
    start = time.perf_counter()
    estimator.fit(table)
    fit_seconds = time.perf_counter() - start
    queries = Passed(features=bank[:64] + 0.1, logits=torch.zeros(64, 2))
    start = time.perf_counter()
    grown = peak_growth(lambda: estimator.score(queries))
    return {
        "index": kind,
        "vectors": vectors,
        "features": features,
        "fit_seconds": fit_seconds,
        "seconds_per_image": (time.perf_counter() - start) / 64,
        "score_bytes": grown,
        "saved_bytes": sum(t.numel() * t.element_size() for t in estimator.tensors().values()),
    }


def in_new_process(*arguments: str) -> dict[str, object]:
    """Run this module with arguments in a process of its own and return its JSON."""
    command = [sys.executable, "-m", "benchmarks.risk_cost", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def markdown(result: dict[str, object]) -> str:
    """Return both tables."""
    lines = [
        "| network | method | fit, s | pass, ms | score, ms | pass + score, passes | "
        "fit and score, MiB | saved, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["methods"]:
        ratio = f"{row['ratio']:.2f}" + ("" if row["ratio"] <= BAR else " (over 1.2)")
        lines.append(
            f"| {row['network']}, {row['batch']} images | {row['method']} "
            f"| {row['fit_seconds']:.2f} | {1000 * row['forward_seconds']:.1f} "
            f"| {1000 * row['score_seconds']:.2f} | {ratio} "
            f"| {row['peak_bytes'] / 2**20:.0f} | {row['saved_bytes'] / 2**20:.1f} |"
        )
    lines += [
        "",
        "| index | vectors x features | fit, s | per image, ms | score, MiB | saved, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["many_vectors"]:
        lines.append(
            f"| {row['index']} | {row['vectors']:,} x {row['features']} "
            f"| {row['fit_seconds']:.0f} | {1000 * row['seconds_per_image']:.1f} "
            f"| {row['score_bytes'] / 2**20:.0f} | {row['saved_bytes'] / 2**20:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--only", default="", help="methods whose name holds this")
    parser.add_argument("--weigh", nargs=2, metavar=("NETWORK", "METHOD"))
    parser.add_argument("--many", metavar="INDEX")
    options = parser.parse_args()
    if options.weigh:
        print(json.dumps({"bytes": weigh_method(*options.weigh, options.rows)}))
        return
    if options.many:
        print(json.dumps(time_million(options.many, options.vectors, options.features)))
        return
    rows = []
    for name in NETWORKS:
        for method in METHODS:
            if options.only not in method:
                continue
            row = time_method(name, method, options.rows, options.repeats)
            row["peak_bytes"] = peak_in_subprocess(
                "benchmarks.risk_cost", "--weigh", name, method, "--rows", str(options.rows)
            )
            rows.append(row)
            print(json.dumps(row), flush=True)
    size = ["--vectors", str(options.vectors), "--features", str(options.features)]
    many = [in_new_process("--many", kind, *size) for kind in ("exact", "approximate")]
    result = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "bar": BAR,
        "methods": rows,
        "many_vectors": many,
    }
    write_json(options.out / "risk_cost.json", result)
    (options.out / "risk_cost.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
