"""``sundog faithfulness``: which explanation to trust on an image set, written to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import Tensor

from sundog.audit.randomisation import randomise_methods
from sundog.audit.subject import Subject
from sundog.core.files import write_table
from sundog.core.run_folder import RunFolder
from sundog.explain.attribute import attribute
from sundog.explain.attribution import Attribution
from sundog.explain.plan import make_plan
from sundog.faithfulness.curve import Fill, Spacing
from sundog.faithfulness.metrics import METRICS
from sundog.faithfulness.run import evaluate_faithfulness
from sundog.faithfulness.table import FaithfulnessTable
from sundog.report.faithfulness_page import faithfulness_page
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page
from sundog.report.page_figures import save_page_figures

Methods = Mapping[str, tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, repr=False)
class FaithfulnessRun(PageInNotebook):
    """What :func:`score_explanations` wrote: the folder, the page, its content, and the table."""

    path: Path
    page: Path
    content: Page
    table: FaithfulnessTable


def explainers_of(subject: Subject, methods: Methods) -> dict[str, Callable[[Tensor], Attribution]]:
    """Return label -> ``images -> attribution`` (maps and their cost) for methods of the table.

    Raises:
        UnknownNameError: unknown method or parameter.
    """
    for name, given in methods.values():
        make_plan(name, given)

    def explain(images: Tensor, *, name: str, given: Mapping[str, Any]) -> Attribution:
        return attribute(subject.classifier, images, name, **given)

    return {
        label: partial(explain, name=name, given=given) for label, (name, given) in methods.items()
    }


def score_explanations(
    subject: Subject,
    methods: Methods,
    out_dir: str | Path,
    *,
    metrics: Sequence[str] = ("deletion", "insertion"),
    steps: int = 10,
    spacing: Spacing | Sequence[Spacing] = "equal",
    fills: Sequence[Fill] | None = None,
    masks: Mapping[str, np.ndarray[Any, Any]] | None = None,
    controls: bool = True,
    randomise: int = 0,
    seed: int = 0,
    figure_kind: Literal["png", "svg"] = "png",
    progress: bool | None = None,
    command: str = "",
) -> FaithfulnessRun:
    """Score every method on every image; write scores, paired comparisons, figures and a page.

    Args:
        subject: images and classifier.
        methods: label -> (name, parameters).
        out_dir: run folder; an interrupted run goes on where it stopped.
        metrics: names of the table of metrics.
        steps: images per curve, first and last included.
        spacing: equal, log, or both.
        fills: black, grey, mean, blur, noisy_linear; None: black for deletion, blur for insertion.
        masks: image id -> bool mask, for localisation.
        controls: whether the random, centre, edge and constant rows are added.
        randomise: images on which each method's maps are compared with those of a network with
            random weights; 0 leaves the check out.
        seed: for the random control, noise, permutations and random weights.
        figure_kind: png or svg, of the files in ``figures/``.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words.
    """
    explainers = explainers_of(subject, methods)
    arguments = {
        "methods": {label: [name, dict(given)] for label, (name, given) in methods.items()},
        "metrics": list(metrics),
        "steps": steps,
        "spacing": spacing if isinstance(spacing, str) else list(spacing),
        "fills": None if fills is None else list(fills),
        "masks": masks is not None,
        "controls": controls,
        "randomise": randomise,
        "size": list(subject.size),
        "resize": subject.resize,
    }
    with RunFolder.open(
        out_dir,
        kind="faithfulness",
        arguments=arguments,
        seeds={"seed": seed},
        **subject.fingerprints(),
    ) as folder:
        table = evaluate_faithfulness(
            subject.classifier,
            subject.batches(),
            explainers,
            metrics=metrics,
            steps=steps,
            spacing=spacing,
            fills=fills,
            masks=masks,
            controls=controls,
            seed=seed,
            folder=folder,
            total=len(subject.image_set),
            progress=progress,
        )
        table.save(folder.path / "tables")
        randomised = None
        if randomise:
            randomised = randomise_methods(subject, methods, count=randomise, seed=seed)
            write_table(folder.path / "tables" / "randomisation.csv", randomised)
        page = faithfulness_page(
            summary=table.summary,
            comparisons=table.comparisons,
            curves=table.curves,
            agreement=table.agreement,
            randomised=randomised,
            directions={name: row.higher_is_better for name, row in METRICS.items()},
            best=_best(table),
            facts=subject.facts(),
            notes=table.notes,
            command=command,
        )
        written = write_page(page, folder.path / "index.html")
        save_page_figures(page, folder.path / "figures", figure_kind)
        folder.finish()
    return FaithfulnessRun(path=folder.path, page=written, content=page, table=table)


def _best(table: FaithfulnessTable) -> dict[str, tuple[str, ...]]:
    if not len(table.summary):
        return {}
    named: pd.Series[str] = table.summary.loc[~table.summary["control"], "metric"]
    return {metric: table.best(metric) for metric in named.unique()}
