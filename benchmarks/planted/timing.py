"""How long the parts of a suite took."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.planted.settings import Setting
from benchmarks.planted.steps import STEPS


def spent(folder: Path, settings: Sequence[Setting]) -> dict[str, Any]:
    """Return processor seconds of each step and in total, over the results that are there."""
    steps = {}
    for step in STEPS.values():
        files = {step.file(folder, setting) for setting in settings if step.wants(setting)}
        found = [json.loads(f.read_text(encoding="utf-8")) for f in files if f.is_file()]
        steps[step.name] = round(sum(result["times"]["processor"] for result in found), 1)
    return {"steps": steps, "total": round(sum(steps.values()), 1)}
