"""Results as JSON and as the tables of the docs."""

import json
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.debias.bars import judge_bars
from benchmarks.debias.failures import failures
from benchmarks.debias.gathered import gather
from benchmarks.debias.numbers import METRICS
from benchmarks.debias.settings import SETTINGS, Setting
from benchmarks.debias.tables import bar_table, failure_table, main_table, resampling_table
from sundog.core.files import write_json, write_text
from sundog.models.group_scores import without_nan

PACKAGES = ("sundog", "torch", "numpy", "scipy")


def summarise(settings: list[Setting], work_folder: Path, out: Path) -> None:
    """Write ``debias_SETTING.json`` for each setting, ``debias_bars.json`` and ``debias.md``."""
    gathered: dict[str, dict[str, Any]] = {}
    for setting in settings:
        found = gather(setting, work_folder)
        if found["methods"]:
            gathered[setting.name] = found
            write_json(out / f"debias_{setting.name}.json", without_nan(found | _machine()))
    for name in SETTINGS:  # settings that were not asked for now keep their tables
        file = out / f"debias_{name}.json"
        if name not in gathered and file.is_file():
            gathered[name] = json.loads(file.read_text(encoding="utf-8"))
    timing = _timing(work_folder, out)
    bars = judge_bars(gathered, timing)
    write_json(out / "debias_bars.json", without_nan({"bars": bars, "timing": timing}))
    write_text(out / "debias.md", page(gathered, bars))
    print(
        f"{sum(bar['held'] is True for bar in bars)} of {len(bars)} bars held; {out / 'debias.md'}"
    )


def page(gathered: dict[str, dict[str, Any]], bars: list[dict[str, Any]]) -> str:
    """Return the whole page part: bars, a table per setting, what fails."""
    parts = ["### Bars\n", bar_table(bars)]
    for name in SETTINGS:
        if name in gathered:
            found = gathered[name]
            seeds = ", ".join(map(str, found["seeds"]))
            parts += [
                f"\n### {found['title']}\n",
                f"{found['test_images']} test images, {found['smallest_group']} in the smallest "
                f"group; seeds {seeds}. Brackets: 95 % interval over images and seeds.\n",
                main_table(found),
            ]
    parts += ["\n### Where the draws of density resampling go\n", resampling_table(gathered)]
    parts += ["\n### Where each method fails\n", failure_table(failures(gathered))]
    meaning = "\n".join(f"- **{name}**: {text}" for name, text in METRICS.items())
    return "\n".join([*parts, "\n### What the columns mean\n", meaning, ""])


def _timing(work_folder: Path, out: Path) -> dict[str, Any] | None:
    setting = SETTINGS["digits"]
    made = work_folder / f"{setting.name}-{setting.key}" / "timing.json"
    if made.is_file():
        return json.loads(made.read_text(encoding="utf-8"))
    kept = out / "debias_bars.json"
    return json.loads(kept.read_text(encoding="utf-8"))["timing"] if kept.is_file() else None


def _machine() -> dict[str, Any]:
    return {
        "machine": {
            "date": datetime.now(UTC).date().isoformat(),
            "cpu": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        }
    }
