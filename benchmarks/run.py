"""``python -m benchmarks.run``: every case against its peers; JSON and a table for the docs."""

import argparse
import datetime
import importlib.metadata as metadata
import json
import platform
import time
import warnings
from pathlib import Path

import torch

from benchmarks.cases import Case, make_cases, make_world
from benchmarks.deletion import deletion_case
from benchmarks.measure import interleaved, peak_in_subprocess

PACKAGES = ("sundog", "torch", "captum", "quantus", "numpy")


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": model,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def difference(ours: torch.Tensor, peer: torch.Tensor) -> float:
    """Return ``max |ours - peer| / max |peer|``."""
    return float((ours - peer).abs().max() / peer.abs().max())


def run_case(case: Case, *, batch: int, repeats: int, memory: bool) -> dict[str, object]:
    """Check that both sides agree, time them in turn, and measure memory in fresh processes.

    Every setting of the peer is timed once; the fastest is then repeated in turn with ours.
    """
    row: dict[str, object] = {"name": case.name, "note": case.note, "peers": {}, "settings": {}}
    failed: dict[str, str] = {}
    ours = case.ours()
    for name, peer in case.peers.items():
        start = time.perf_counter()
        try:
            theirs = peer()
        except (RuntimeError, IndexError, AssertionError, ValueError) as error:
            failed[name] = f"{type(error).__name__}: {str(error)[:120]}"
            continue
        if case.same is not None and difference(ours, theirs) > case.same:
            failed[name] = f"differs by {difference(ours, theirs):.3g}, {case.same} allowed"
            continue
        row["settings"][name] = time.perf_counter() - start
    settings = row["settings"]
    best = min(settings, key=settings.__getitem__) if settings else None
    calls = {"ours": case.ours} | ({best: case.peers[best]} if best is not None else {})
    times = interleaved(calls, repeats)
    row["ours"] = times["ours"].summary()
    row["failed"] = failed
    for name in calls:
        if name == "ours":
            continue
        summary = times[name].summary()
        ratios = sorted(b / a for a, b in zip(times["ours"].wall, times[name].wall, strict=True))
        summary["ratio_median"] = ratios[len(ratios) // 2]
        summary["ratio_low"], summary["ratio_high"] = ratios[0], ratios[-1]
        row["peers"][name] = summary
    if memory and case.name != "deletion":
        row["memory_ours"] = peak_in_subprocess("benchmarks.memory", case.name, "ours", str(batch))
        if best is not None:
            row["memory_peer"] = peak_in_subprocess(
                "benchmarks.memory", case.name, best, str(batch)
            )
    return row


def markdown(result: dict[str, object]) -> str:
    """Return the table of the docs: the peer's best setting, ratio > 1 means ours is faster."""
    lines = [
        "| case | ours, s | best peer setting | peer, s | ratio (min–max) "
        "| peak ours / peer, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["cases"]:
        peers = row["peers"]
        if not peers:
            reason = "; ".join(row["failed"].values())
            ours = row["ours"]["wall_median"]
            lines.append(f"| {row['name']} | {ours:.3f} | peer fails: {reason} | – | – | – |")
            continue
        best = min(peers, key=lambda n: peers[n]["wall_median"])
        peer = peers[best]
        memory = "–"
        if "memory_ours" in row:
            memory = f"{row['memory_ours'] / 2**20:.0f} / {row.get('memory_peer', 0) / 2**20:.0f}"
        ratio = f"{peer['ratio_median']:.2f} ({peer['ratio_low']:.2f}–{peer['ratio_high']:.2f})"
        lines.append(
            f"| {row['name']} | {row['ours']['wall_median']:.3f} | {best} "
            f"| {peer['wall_median']:.3f} | {ratio} | {memory} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    classifier, images, target = make_world(options.batch)
    cases = [*make_cases(classifier, images, target), deletion_case(classifier, images, target)]
    rows = []
    for case in cases:
        if options.only in case.name:
            rows.append(
                run_case(
                    case,
                    batch=options.batch,
                    repeats=options.repeats,
                    memory=not options.no_memory,
                )
            )
            print(json.dumps(rows[-1]), flush=True)
    result = {"machine": machine(), "batch": options.batch, "cases": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "attribution.json").write_text(json.dumps(result, indent=2) + "\n")
    (options.out / "attribution.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
