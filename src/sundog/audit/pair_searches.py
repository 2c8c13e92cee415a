"""The search for cues as a comparison uses it: one per model, each in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pandas as pd

from sundog.audit.subject import Subject
from sundog.bias.confidence import confidence_features
from sundog.bias.shortcut_candidate import MARGINS
from sundog.core.audit.cues import CueRecord, Cues
from sundog.core.statistics import Estimate


class Searched(Protocol):
    """What a search for cues returns (:class:`sundog.audit.shortcut_run.CueRun`)."""

    @property
    def cues(self) -> Cues:
        """The record: claimed cues and every test."""

    @property
    def path(self) -> Path:
        """The run folder, with pictures and masks."""


class Search(Protocol):
    """A search for cues, :func:`sundog.audit.shortcut_run.find_cues`."""

    def __call__(
        self,
        subject: Subject,
        out_dir: str | Path,
        *,
        limit: int,
        hints: bool,
        smallest: float,
        alpha: float,
        seed: int,
        progress: bool | None,
        command: str,
    ) -> Searched:
        """Search one model; the same images for every model of one image set and seed."""


def folder_names(runs: Sequence[str]) -> dict[str, str]:
    """Return run id -> a distinct name for a folder."""
    found: dict[str, str] = {}
    for run in sorted(runs):
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", run).strip("-.")[:40] or "model"
        name, number = plain, 2
        while name in found.values():
            name, number = f"{plain}-{number}", number + 1
        found[run] = name
    return found


@dataclass(frozen=True, eq=False)
class ModelSearch:
    """What was searched in one model, as its folder holds it.

    Attributes:
        cues: the record.
        path: the folder.
    """

    cues: Cues
    path: Path

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per test; those columns of the search's table that are needed here."""
        rows = [
            {
                "family": test.family,
                "name": test.name,
                "claimed": test.claimed,
                "low": test.excess.low,
                "pull_low": test.pull.low,
                "elsewhere": test.elsewhere,
                "margin": test.margin,
                "p_adjusted": test.p_adjusted,
                "detectable": test.detectable,
            }
            for test in self.cues.tested
        ]
        numbers = ("low", "pull_low", "elsewhere", "margin", "p_adjusted", "detectable")
        columns = ["family", "name", "claimed", *numbers]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "float64"))

    @property
    def margins(self) -> dict[str, float]:
        """Return id of a claimed cue -> pull that sound models show without any cue."""
        found = {}
        for cue in self.cues.claimed:
            own = [
                test.margin
                for test in self.cues.tested
                if test.claimed and test.name == cue.name and test.margin > 0
            ]
            found[cue.id] = max(own, default=max(MARGINS.values()))
        return found

    @property
    def features(self) -> dict[str, float]:
        """Return what the confidence is computed from."""
        return confidence_features(self)

    @property
    def shortcuts(self) -> tuple[_Claim, ...]:
        """The claimed cues, for the features."""
        return tuple(_Claim(cue.reliance.estimate()) for cue in self.cues.claimed)

    @property
    def images(self) -> int:
        """Images that were used."""
        return self.cues.images


@dataclass(frozen=True)
class _Claim:
    reliance: Estimate


def moved_cues(cues: Cues, place: str) -> Cues:
    """Return the cues with their pictures relative to the comparison's folder."""

    def move(cue: CueRecord) -> CueRecord:
        return cue.model_copy(
            update={
                "mask": None if cue.mask is None else f"{place}/{cue.mask}",
                "pictures": tuple(f"{place}/{name}" for name in cue.pictures),
                "masks_table": None if cue.masks_table is None else f"{place}/{cue.masks_table}",
            }
        )

    return cues.model_copy(update={"claimed": tuple(move(cue) for cue in cues.claimed)})
