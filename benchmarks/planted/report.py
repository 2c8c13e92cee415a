"""The report: ``planted.json`` and ``planted.md``, tuning and held-out seeds apart."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.planted.bars import judge
from benchmarks.planted.extra_tables import group_table, label_table, map_table
from benchmarks.planted.extras import (
    concentration_thresholds,
    concepts,
    explanations,
    map_peers,
    rare_groups,
    wrong_labels,
)
from benchmarks.planted.gathered import Gathered, gather
from benchmarks.planted.meaning import MEANING
from benchmarks.planted.settings import HELD_OUT_FROM, Setting
from benchmarks.planted.suites import HELD_OUT, TUNING
from benchmarks.planted.summary import ROWS, summarise
from benchmarks.planted.tables import bar_table, overall_table, peer_table, split_table
from benchmarks.planted.timing import spent
from sundog.core.files import write_json, write_text
from sundog.models.group_scores import without_nan

PACKAGES = ("sundog", "torch", "numpy", "scipy", "scikit-learn", "sliceline", "divexplorer")


def write_report(folder: Path, settings: Sequence[Setting], out: Path) -> dict[str, Any]:
    """Write ``planted.json`` and ``planted.md`` from the results that are there."""
    content = report(folder, settings)
    write_json(out / "planted.json", without_nan(content))
    write_text(out / "planted.md", page(content))
    held = [bar["held"] for bars in content["bars"].values() for bar in bars]
    print(f"{sum(h is True for h in held)} of {len(held)} bars held; {out / 'planted.md'}")
    return content


def report(folder: Path, settings: Sequence[Setting]) -> dict[str, Any]:
    """Return everything as JSON: a part per draw, the two draws never mixed."""
    draws: dict[str, Gathered] = {}
    for name, held_out in ((TUNING, False), (HELD_OUT, True)):
        own = [setting for setting in settings if setting.held_out == held_out]
        if own:
            draws[name] = gather(folder, own)
    limits = concentration_thresholds(draws.get(TUNING) or draws[HELD_OUT])
    parts = {name: _part(found, limits) for name, found in draws.items()}
    return {
        "machine": machine(),
        "draws": parts,
        "bars": {name: judge(part["finder"]) for name, part in parts.items()},
        "concentration_thresholds": limits,
        "time": spent(folder, settings),
    }


def _part(found: Gathered, limits: dict[str, float]) -> dict[str, Any]:
    return {
        "finder": summarise(found),
        "maps": map_peers(found, limits),
        "lists": concepts(found),
        "rare_groups": rare_groups(found),
        "wrong_labels": wrong_labels(found),
        "explanations": explanations(found),
        "settings": [line(case) for case in (*found.biased, *found.controls)],
    }


def line(case: Any) -> dict[str, Any]:
    """Return one audited setting in a few numbers."""
    truth = case.result.get("truth")
    claim = case.claim
    mended = case.result.get("mended")
    return {
        "id": case.setting.id,
        "parameters": case.setting.parameters,
        "control": case.setting.control,
        "reliance": truth["reliance_classifier"] if truth else None,
        "claimed": case.claimed,
        "claims": [c["name"] for c in case.result["search"]["claims"]],
        "family": claim["family"] if claim else None,
        "excess": claim["excess"] if claim else None,
        "pointing": claim["pointing"] if claim else None,
        "iou": claim["iou"] if claim else None,
        "recovered": case.recovered("conflict") if truth and mended else None,
        "suspicion": case.result["search"]["suspicion"],
        "features": case.result["search"]["features"],
        "relies": case.relies,
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # peers are the bench extra's
        return "not installed"


def machine() -> dict[str, Any]:
    """Return when and on what this was measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def page(content: dict[str, Any]) -> str:
    """Return the Markdown page."""
    draws = content["draws"]
    parts = ["### Bars\n", bar_table(content["bars"]), "", _told(content)]
    summaries = {name: part["finder"] for name, part in draws.items()}
    parts += ["\n### All numbers of the finder\n", overall_table(summaries)]
    for name, part in draws.items():
        parts += [f"\n### Peers, {name} seeds\n", peer_table(part)]
        for row in ROWS:
            parts += [
                f"\n### By {row}, {name} seeds\n",
                split_table(row, part["finder"]["rows"][row]),
            ]
        parts += [f"\n### Rare groups, {name} seeds\n", group_table(part["rare_groups"])]
        parts += [f"\n### Wrong labels, {name} seeds\n", label_table(part["wrong_labels"])]
        parts += [f"\n### Attribution methods, {name} seeds\n", map_table(part["explanations"])]
    parts += ["\n### What was done, and what the columns mean\n", MEANING]
    return "\n".join(parts)


def _told(content: dict[str, Any]) -> str:
    about, time = content["machine"], content["time"]
    versions = ", ".join(f"{name} {about[name]}" for name in PACKAGES)
    counts = "; ".join(
        f"{name}: {part['finder']['settings']} settings, {part['finder']['controls']} controls, "
        f"{part['finder']['relying']} classifiers rely on their cue by 10 points or more, "
        f"{part['finder']['missing']} results missing"
        for name, part in content["draws"].items()
    )
    return (
        f"{about['date']}, {about['cores']} cores, Python {about['python']}, {versions}. {counts}. "
        f"Processor time {time['total'] / 60:.0f} minutes "
        f"({', '.join(f'{k} {v / 60:.1f}' for k, v in time['steps'].items())}). "
        f"Seeds from {HELD_OUT_FROM} on were held out. Brackets: 95 % interval over settings; in "
        "parentheses: n."
    )
