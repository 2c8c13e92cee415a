"""What is done with a setting: one step, one JSON file, written when it is finished."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.planted.audit import audit_setting
from benchmarks.planted.concepts import search_concepts, wants_concepts
from benchmarks.planted.data_sets import open_data
from benchmarks.planted.explanations import score_maps, wants_explanations
from benchmarks.planted.peers import run_peers
from benchmarks.planted.settings import Setting
from benchmarks.planted.training import trained_classifier
from benchmarks.planted.wrong_labels import search_labels
from sundog.core.files import write_json
from sundog.models.group_scores import without_nan

Work = Callable[[Setting, Path, Path | None], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One row of the table of steps.

    Attributes:
        name: of the folder of its results.
        work: makes the result of a setting.
        wants: whether a setting takes part.
    """

    name: str
    work: Work
    wants: Callable[[Setting], bool]

    def file(self, folder: Path, setting: Setting) -> Path:
        """Return where the result of a setting is kept; controls share their training."""
        name = setting.model_id if self.name == "train" else setting.id
        return folder / "results" / self.name / f"{name}.json"


def train(setting: Setting, folder: Path, imagenette: Path | None) -> dict[str, Any]:
    """Train the setting's classifier."""
    data = open_data(setting.data, setting.model_seed, imagenette)
    trained_classifier(setting, data, folder / "models")
    return {"model": setting.model_id}


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("train", train, lambda setting: True),
        Step("audit", audit_setting, lambda setting: setting.shortcut or setting.control),
        Step("concepts", search_concepts, wants_concepts),
        Step("labels", search_labels, lambda setting: setting.cue == "noisy-labels"),
        Step("explanations", score_maps, wants_explanations),
        Step("peers", run_peers, lambda setting: setting.shortcut or setting.control),
    )
}
"""In the order in which they are done."""


def do_step(step: Step, setting: Setting, folder: Path, imagenette: Path | None) -> float:
    """Make the result of one setting and write it; return its processor time in seconds."""
    begun, waited = time.process_time(), time.perf_counter()
    result = step.work(setting, folder, imagenette)
    spent = time.process_time() - begun
    times = {"processor": round(spent, 2), "wall": round(time.perf_counter() - waited, 2)}
    write_json(step.file(folder, setting), without_nan({**result, "times": times}))
    return spent
