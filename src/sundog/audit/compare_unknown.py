"""``sundog compare`` without a known cue: which model is biased, and what says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from sundog.audit.compare_run import check_same
from sundog.audit.inspect_run import inspect_images
from sundog.audit.pair_crossing import ClaimedCue, claimed_cues, cross_cues, hold_images
from sundog.audit.pair_findings import InspectedModel, finding_lists
from sundog.audit.pair_looks import Looks, Methods, look_at_pairs
from sundog.audit.pair_records import (
    accuracy_differences,
    crossed_records,
    maps_record,
    right_answers,
    scores_of,
    strongest_miss,
)
from sundog.audit.pair_searches import (
    ModelSearch,
    Search,
    folder_names,
    moved_cues,
)
from sundog.audit.shortcut_run import find_cues
from sundog.audit.subject import Subject
from sundog.audit.training_rows import training_rows
from sundog.bias.confidence import Calibration, load_calibration
from sundog.bias.pair_cues import CrossedCue, heaviest_difference, measure_crossed
from sundog.bias.pair_evidence import weigh_pairs
from sundog.bias.pair_verdict import Found, PairVerdict, detectable, judge_pair
from sundog.core.audit.comparison import COMPARISON_FILE, ModelComparison, ModelVerdict
from sundog.core.audit.measured import Measured
from sundog.core.run_folder import RunFolder
from sundog.report.compare_unknown_page import compare_unknown_page
from sundog.report.notebook import PageInNotebook
from sundog.report.overlay import get_palette
from sundog.report.page import Page, write_page
from sundog.report.page_figures import save_page_figures

MOST_CUES = 6
"""Claimed cues of one model that are tested on all, strongest first."""


@dataclass(frozen=True, repr=False)
class UnknownRun(PageInNotebook):
    """What :func:`compare_unknown` wrote: the folder, the page, its content, and the answer."""

    path: Path
    page: Path
    content: Page
    comparison: ModelComparison


def compare_unknown(
    subjects: Mapping[str, Subject],
    out_dir: str | Path,
    *,
    methods: Methods,
    map_images: int = 128,
    shown: int = 6,
    limit: int = 600,
    hints: bool = True,
    smallest: float = 0.05,
    alpha: float = 0.05,
    taggers: str | None = "photometric",
    models: Mapping[str, str | Path] | None = None,
    seed: int = 0,
    palette: str = "red_blue",
    figure_kind: Literal["png", "svg"] = "png",
    progress: bool | None = None,
    command: str = "",
    search: Search = find_cues,
    calibration: Calibration | None = None,
) -> UnknownRun:
    """Say which of several models is biased, without being told by what.

    1. Every image is predicted by every model; some are explained, and the maps of the models are
       compared image by image (concentration, place, agreement). Maps propose.
    2. Every model is searched for cues: components of images that drag its prediction with them.
    3. Every claimed cue is tested on every model, with the same images and donors.
    4. Every model is inspected by concepts, and the lists of findings are laid side by side.

    The search needs images that carry the cue: without it nothing can be moved.

    Args:
        subjects: run id -> model with the same images, classes and size.
        out_dir: run folder; an interrupted run goes on where it stopped.
        methods: label -> (name, parameters) of the maps; none for no maps.
        map_images: images explained.
        shown: images drawn side by side.
        limit: images that give and take components.
        hints: whether stamps and clusters of maps are looked for too; costs about half a minute
            per model.
        smallest: pull below which a cue does not matter, a probability.
        alpha: probability of any false claim, over all models.
        taggers: of the inspections; None for no inspection.
        models: run id -> folder of its training run, for the table of hyper-parameters.
        seed: of every draw.
        palette: colours of the overlay.
        figure_kind: png or svg, of the files in ``figures/``.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.
        search: looks for cues in one model.
        calibration: of the confidence; None: the one that comes with the package, if any.

    Raises:
        InputError: fewer than two models, or models of different images, classes or size.
    """
    get_palette(palette)
    first = check_same(subjects)
    used = load_calibration() if calibration is None else calibration
    arguments = {
        "runs": sorted(subjects),
        "methods": {label: [name, dict(given)] for label, (name, given) in methods.items()},
        "map_images": map_images,
        "limit": limit,
        "hints": hints,
        "smallest": smallest,
        "alpha": alpha,
        "taggers": taggers,
        "size": list(first.size),
        "resize": first.resize,
        "batch_size": first.batch_size,
        "models": {run: s.fingerprints()["model_fingerprint"] for run, s in subjects.items()},
    }
    with RunFolder.open(
        out_dir,
        kind="compare-unknown",
        arguments=arguments,
        seeds={"seed": seed},
        data_fingerprint=first.fingerprints()["data_fingerprint"],
    ) as folder:
        looks = look_at_pairs(
            folder, subjects, methods=methods, map_images=map_images, shown=shown, progress=progress
        )
        places = folder_names(list(subjects))
        searched = {}
        for run, subject in subjects.items():
            found = search(
                subject,
                folder.path / "cues" / places[run],
                limit=limit,
                hints=hints,
                smallest=smallest,
                alpha=alpha / len(subjects),
                seed=seed,
                progress=progress,
                command=command,
            )
            searched[run] = ModelSearch(found.cues, found.path)
        inspected = (
            {}
            if taggers is None
            else _inspect(folder.path, subjects, places, taggers, seed=seed, progress=progress)
        )
        comparison = _conclude(
            folder,
            subjects,
            looks,
            searched=searched,
            places={run: f"cues/{place}" for run, place in places.items()},
            inspected=inspected,
            models=models or {},
            limit=limit,
            smallest=smallest,
            alpha=alpha,
            seed=seed,
            calibration=used,
            progress=progress,
        )
        for name in ("predictions", "statistics", "agreement"):
            frame: pd.DataFrame = getattr(looks, name)
            if len(frame):
                folder.write_result(name, frame)
        comparison.write(folder.path / COMPARISON_FILE)
        page = compare_unknown_page(
            comparison,
            folder=folder.path,
            examples=looks.examples,
            facts=_facts(subjects),
            palette=palette,
            command=command,
        )
        written = write_page(page, folder.path / "index.html")
        save_page_figures(page, folder.path / "figures", figure_kind)
        folder.finish()
    return UnknownRun(path=folder.path, page=written, content=page, comparison=comparison)


def _facts(subjects: Mapping[str, Subject]) -> dict[str, object]:
    """Return what is said of the images, and of each model where they differ."""
    first = next(iter(subjects.values())).facts()
    own = ("classifier", "weights", "normalisation")
    return {
        **{name: value for name, value in first.items() if name not in own},
        **{
            run: ", ".join(str(subject.facts()[name]) for name in own)
            for run, subject in subjects.items()
        },
    }


def _inspect(
    path: Path,
    subjects: Mapping[str, Subject],
    places: Mapping[str, str],
    taggers: str,
    *,
    seed: int,
    progress: bool | None,
) -> dict[str, InspectedModel]:
    """Inspect every model by concepts; the images are tagged once."""
    from sundog.audit.search_settings import SearchSettings

    found = {}
    for run, subject in subjects.items():
        done = inspect_images(
            subject,
            path / "inspect" / places[run],
            taggers=taggers,
            settings=SearchSettings(seed=seed),
            overlay="none",
            cache=path / "inspect" / "scores",
            progress=progress,
        )
        found[run] = InspectedModel(done.query.findings, done.path)
    return found


def _conclude(
    folder: RunFolder,
    subjects: Mapping[str, Subject],
    looks: Looks,
    *,
    searched: Mapping[str, ModelSearch],
    places: Mapping[str, str],
    inspected: Mapping[str, InspectedModel],
    models: Mapping[str, str | Path],
    limit: int,
    smallest: float,
    alpha: float,
    seed: int,
    calibration: Calibration | None,
    progress: bool | None,
) -> ModelComparison:
    first = next(iter(subjects.values()))
    cues = claimed_cues(
        {run: found.cues.claimed for run, found in searched.items()},
        margins={run: found.margins for run, found in searched.items()},
        folders={run: found.path for run, found in searched.items()},
        most=MOST_CUES,
    )
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    if cues:
        held = hold_images(first, limit=limit, seed=seed)
        tables = cross_cues(
            folder,
            subjects,
            cues,
            held,
            right=right_answers(looks.predictions, held.ids),
            seed=seed,
            progress=progress,
        )
    crossed = _measure(tables, runs=len(subjects), alpha=alpha, seed=seed)
    verdict = judge_pair(
        {
            run: Found(
                claimed=tuple(cue.key for cue in cues if run in cue.claimed_in),
                detectable=detectable(found.table),
                images=found.images,
                classes=len(first.class_names),
            )
            for run, found in searched.items()
        },
        crossed,
        names={cue.key: cue.record.name for cue in cues},
        margins={cue.key: cue.margin for cue in cues},
        heaviest=_heaviest(tables, list(subjects), alpha=alpha),
    )
    return ModelComparison(
        runs=tuple(subjects),
        decision=verdict.decision,
        biased=verdict.biased,
        more=verdict.more,
        sentence=verdict.sentence,
        models=tuple(
            _model(run, found, places[run], verdict, looks.predictions, calibration)
            for run, found in searched.items()
        ),
        crossed=crossed_records(cues, crossed),
        accuracy=accuracy_differences(looks.predictions, list(subjects)),
        maps=_maps(looks, verdict, list(subjects), alpha=alpha, seed=seed),
        findings=finding_lists(inspected),
        training=training_rows(models),
        smallest=smallest,
        alpha=alpha,
        images=len(first.image_set),
        class_names=first.class_names,
        calibrated={} if calibration is None else dict(calibration.fitted),
        notes=tuple(
            dict.fromkeys(
                (
                    *(note for s in subjects.values() for note in s.notes()),
                    *looks.notes,
                    *_skipped(cues, tables),
                )
            )
        ),
    )


def _measure(
    tables: Mapping[str, Mapping[str, pd.DataFrame]], *, runs: int, alpha: float, seed: int
) -> dict[str, CrossedCue]:
    """Measure every cue; all intervals hold together with probability ``1 - alpha``."""
    level = 1 - alpha / max(len(tables) * runs, 1)
    return {key: measure_crossed(table, level=level, seed=seed) for key, table in tables.items()}


def _heaviest(
    tables: Mapping[str, Mapping[str, pd.DataFrame]], runs: Sequence[str], *, alpha: float
) -> dict[tuple[str, str], Any]:
    if not tables:
        return {}
    pairs = list(combinations(runs, 2))
    level = 1 - alpha / (len(pairs) * len(tables))
    return {(a, b): heaviest_difference(tables, a, b, level=level) for a, b in pairs}


def _maps(
    looks: Looks, verdict: PairVerdict, runs: Sequence[str], *, alpha: float, seed: int
) -> Any:
    if not len(looks.statistics):
        return None
    evidence = weigh_pairs(looks.statistics, looks.agreement, runs=runs, alpha=alpha, seed=seed)
    return maps_record(evidence, verdict, images=looks.statistics["id"].nunique())


def _model(
    run: str,
    found: ModelSearch,
    place: str,
    verdict: PairVerdict,
    predictions: pd.DataFrame,
    calibration: Calibration | None,
) -> ModelVerdict:
    accuracy, loss = scores_of(predictions, run)
    worth = detectable(found.table)
    return ModelVerdict(
        run=run,
        verdict=verdict.standings[run],
        sentence=verdict.sentences[run],
        confidence=None if calibration is None else calibration(found.features),
        accuracy=Measured.of(accuracy),
        loss=Measured.of(loss),
        cues=moved_cues(found.cues, place).claimed,
        tests=found.cues.tests,
        strongest=strongest_miss(found.cues.tested),
        detectable=worth if worth is not None and worth <= 1 else None,
        images=found.images,
        notes=found.cues.notes,
    )


def _skipped(cues: Sequence[ClaimedCue], tables: Mapping[str, object]) -> list[str]:
    return [
        f"The cue {cue.record.name!r} could not be tested on the other models: no image can take "
        "it."
        for cue in cues
        if cue.key not in tables
    ]
