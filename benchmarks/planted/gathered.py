"""Results of a folder, joined: a biased classifier with its twin, and all controls."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.planted.measure import RELIES
from benchmarks.planted.score import PLACED
from benchmarks.planted.settings import Setting
from benchmarks.planted.steps import STEPS

Result = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One audited setting.

    Attributes:
        setting: the setting.
        result: of its audit.
        twin: result of the audit of its twin on the same images; None for controls, or not there.
    """

    setting: Setting
    result: Result
    twin: Result | None = None

    @property
    def relies(self) -> bool:
        """Whether the classifier's accuracy falls by ten points when the cue conflicts."""
        truth = self.result.get("truth")
        return truth is not None and truth["reliance_classifier"]["value"] >= RELIES

    @property
    def claimed(self) -> bool:
        """Whether a cue is claimed."""
        return bool(self.result["search"]["claimed"])

    @property
    def claim(self) -> dict[str, Any] | None:
        """The strongest claim."""
        claims = self.result["search"]["claims"]
        return claims[0] if claims else None

    @property
    def placed(self) -> bool:
        """Whether the cue has a place."""
        return self.setting.cue in PLACED

    @property
    def ordered(self) -> bool | None:
        """Whether the classifier is more suspicious than its twin; None without one."""
        if self.twin is None:
            return None
        return bool(self.result["search"]["suspicion"] > self.twin["search"]["suspicion"])

    def recovered(self, way: str) -> float | None:
        """Return the share of the gap that the repair closed, at most 1; None without a gap, and
        where mending was not tried.

        A classifier that could not be mended, since nothing was found, has 0.
        """
        truth = self.result["truth"]
        if "mended" not in self.result or truth[f"gap_{way}"]["value"] < SMALLEST_GAP:
            return None
        mended = self.result["mended"]
        if mended is None:
            return 0.0
        share = mended[way]["share"]
        return None if share is None else min(1.0, float(share))


SMALLEST_GAP = 0.05
"""A gap to the twin below this says nothing about a repair."""


@dataclass(frozen=True)
class Gathered:
    """The results of one draw of settings.

    Attributes:
        biased: classifiers trained on the cue.
        controls: classifiers that never saw it.
        others: step -> results of the settings that have one.
        missing: settings without a result that they should have.
        settings: all of the draw.
    """

    biased: tuple[Case, ...]
    controls: tuple[Case, ...]
    others: dict[str, tuple[Result, ...]]
    missing: int
    settings: tuple[Setting, ...]

    @property
    def relying(self) -> tuple[Case, ...]:
        """Biased classifiers whose accuracy really depends on the cue."""
        return tuple(case for case in self.biased if case.relies)


def gather(folder: Path, settings: Sequence[Setting]) -> Gathered:
    """Read the results of some settings."""
    found = {
        step.name: {s.id: _read(step.file(folder, s)) for s in settings if step.wants(s)}
        for step in STEPS.values()
        if step.name != "train"
    }
    audits = found["audit"]
    biased, controls = [], []
    for setting in settings:
        result = audits.get(setting.id)
        if result is None:
            continue
        if setting.control:
            controls.append(Case(setting, result))
        else:
            biased.append(Case(setting, result, audits.get(setting.twin().id)))
    return Gathered(
        biased=tuple(biased),
        controls=tuple(controls),
        others={
            name: tuple(r for r in rows.values() if r is not None) for name, rows in found.items()
        },
        missing=sum(r is None for rows in found.values() for r in rows.values()),
        settings=tuple(settings),
    )


def _read(file: Path) -> Result | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
