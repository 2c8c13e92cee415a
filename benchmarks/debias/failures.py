"""Where each method fails, read off the numbers by the same rules for all."""

from typing import Any

from benchmarks.debias.methods import METHODS
from benchmarks.debias.settings import SETTINGS

LITTLE, LOST, FLIP = 0.6, 0.02, 0.05


def failures(gathered: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return sentences per method: refused, harmful, too little, still following the cue."""
    rows = []
    for name in METHODS:
        if name in ("clean", "erm"):
            continue
        said = [
            f"{SETTINGS[setting].title}: {', '.join(found)}"
            for setting, content in gathered.items()
            if (found := _problems(content["methods"].get(name), content["alignment"]))
        ]
        if any(name in content["methods"] for content in gathered.values()):
            rows.append((name, said))
    return rows


def _problems(row: dict[str, Any] | None, alignment: float) -> list[str]:
    if row is None:
        return []
    if "values" not in row:
        return ["refused" if "refused" in row["status"].values() else "failed"]
    said = []
    worst = row["change"]["worst"]
    if worst["high"] < 0:
        said.append(f"worst group {100 * worst['value']:+.0f} points")
    share = row.get("recovered_worst")
    if share is not None and worst["high"] >= 0 and share["value"] < LITTLE:
        said.append(f"closes {100 * share['value']:.0f} % of the gap")
    lost = row["change"]["without"]
    if lost["value"] < -LOST:
        said.append(f"{100 * lost['value']:+.0f} points without the cue")
    if row["values"]["flip"]["value"] > FLIP and alignment != 0.5:
        said.append(f"flip rate {row['values']['flip']['value']:.2f}")
    return said
