"""What a debiasing page is made of: methods before and after, groups, cues, what was refused.

Every share is in [0, 1]; intervals are over seeds unless a note says otherwise. Lists may be empty
and optional parts None: the page leaves the part out, or says why it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from sundog.core.statistics import Estimate
from sundog.report.risk_content import Windows

Outcome = Literal["improved", "nothing changed", "no method helped", "cannot tell"]


@dataclass(frozen=True, eq=False)
class MethodResult:
    """One method, measured on the held-out images.

    Attributes:
        name: of the method; ``erm`` for the training as it was.
        scores: metric -> value over seeds: ``average``, ``worst_group``, ``balanced``, ``gap``,
            ``flip_rate``, ``precision``, ``ece``, ``seconds``, or any other.
        change: metric -> paired difference to the baseline over the same seeds and images
            (method minus baseline); empty for the baseline.
        groups: group -> accuracy over seeds.
        needs: what it had to be told (``train_groups``, ``validation_groups``, ``masks``,
            ``pairs``, ``aleatoric``); empty for nothing.
        seeds: how many trainings or refits the intervals are over.
        source: paper.
        note: anything the reader has to know.
    """

    name: str
    scores: Mapping[str, Estimate | float]
    change: Mapping[str, Estimate] = field(default_factory=dict)
    groups: Mapping[str, Estimate | float] = field(default_factory=dict)
    needs: Sequence[str] = ()
    seeds: int = 1
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """A method that was not run, and why.

    Attributes:
        name: of the method.
        gate: what refused it: ``alignment``, ``guessed groups``, ``needs``, ...
        reason: in a sentence, with the numbers.
        instead: what to try; empty for nothing.
    """

    name: str
    gate: str
    reason: str
    instead: str = ""


@dataclass(frozen=True)
class CueCheck:
    """One cue looked at again after the repair.

    Attributes:
        cue: its name.
        repaired: whether it is the cue that was to be repaired.
        before: reliance on it before: the gap of accuracy with and without it, or the flip rate.
        after: method -> the same after.
        change: method -> paired difference after minus before; above 0: relies on it more.
        n: images.
        measure: what the numbers are.
    """

    cue: str
    repaired: bool
    before: Estimate | float
    after: Mapping[str, Estimate | float]
    change: Mapping[str, Estimate] = field(default_factory=dict)
    n: int = 0
    measure: str = "flip rate"


@dataclass(frozen=True)
class SamplingReport:
    """How far sampling weights are from uniform, epoch by epoch.

    Attributes:
        method: whose weights they are.
        epochs: columns ``epoch``, ``effective_size`` (share of the images, in (0, 1]),
            ``ratio`` (largest weight / smallest, at least 1), ``warning`` (text or empty); and
            optionally ``class``.
        count: training images.
    """

    method: str
    epochs: pd.DataFrame
    count: int


@dataclass(frozen=True, eq=False)
class FrozenWindows:
    """Accuracy along one field before and after, over the same images in the same windows.

    Attributes:
        title: for instance ``representation (knn)``.
        before: of the baseline.
        after: method -> its windows, as many as ``before``.
        low_words: what the first window holds, for instance ``least represented``.
        high_words: what the last window holds.
    """

    title: str
    before: Windows
    after: Mapping[str, Windows]
    low_words: str = "lowest"
    high_words: str = "highest"


@dataclass(frozen=True, eq=False)
class DebiasPage:
    """Everything that a debiasing page shows.

    Attributes:
        title: of the page.
        outcome: ``improved`` (with ``chosen``), ``nothing changed`` (with ``reason``: the model
            was left as it was), ``no method helped``, or ``cannot tell``.
        baseline: the model before.
        methods: the models after, every one that was run, the bad ones too.
        chosen: name of the method that is kept; empty for none.
        reason: why this outcome, in a sentence.
        images: held-out images the numbers are over.
        group_sizes: group -> held-out images.
        refused: methods that were not run.
        cues: every known cue again.
        sampling: one report per resampling method.
        frozen: windows before and after.
        epochs: columns ``method``, ``epoch``, ``accuracy`` and optionally ``worst_group``, ``low``
            and ``high`` (of the accuracy) and ``seed``; None for none.
        selection: what the models and parameters were selected by, and on which images.
        facts: classifier, images, cue, budget, seeds, ...
        notes: what was skipped or could not be done.
        command: how to reproduce.
        footer: last line of the page.
    """

    title: str
    outcome: Outcome
    baseline: MethodResult
    methods: Sequence[MethodResult] = ()
    chosen: str = ""
    reason: str = ""
    images: int = 0
    group_sizes: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[Refused] = ()
    cues: Sequence[CueCheck] = ()
    sampling: Sequence[SamplingReport] = ()
    frozen: Sequence[FrozenWindows] = ()
    epochs: pd.DataFrame | None = None
    selection: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    command: str = ""
    footer: str = ""
