"""``sundog debias``: mend a classifier by several methods, and prove before and after."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sundog.audit.debias_content import debias_content
from sundog.audit.debias_cross_fit import cross_fitted
from sundog.audit.debias_data import DebiasData, group_table
from sundog.audit.debias_decide import decide
from sundog.audit.debias_gates import (
    NOTHING_KNOWN,
    choose_methods,
    closed_gate,
    errors_part,
    gate_errors,
    head_refusal,
)
from sundog.audit.debias_measure import Measured, group_names, measure
from sundog.audit.debias_methods import (
    HELD_OUT_FITS,
    Workbench,
    fitted_head,
    training_recipe,
)
from sundog.audit.debias_probes import Probe, make_probes, probe_checks
from sundog.audit.debias_reliance import relies_on_cue
from sundog.audit.debias_settings import DebiasSettings
from sundog.audit.debias_summary import Answers, Choice, method_result
from sundog.audit.debias_table import identity_of, score_table
from sundog.audit.debias_windows import frozen_windows
from sundog.core.errors import InputError
from sundog.core.files import write_json
from sundog.core.run_folder import RunFolder
from sundog.debias.registry import METHODS
from sundog.models.classifier import Classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.store import CLASSIFIER_FILE, load_classifier, save_classifier
from sundog.models.train import train_classifier
from sundog.report.debias_content import MethodResult, Outcome, Refused
from sundog.report.debias_page import debias_page
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page

BEFORE = "before"
PASTE_SEED = 0
"""Every model is shown the same pasted cues."""


@dataclass(frozen=True, eq=False, repr=False)
class DebiasRun(PageInNotebook):
    """What :func:`debias_classifier` wrote.

    Attributes:
        path: the run folder.
        page: the HTML page.
        content: what it says.
        outcome: ``improved``, ``nothing changed``, ``no method helped`` or ``cannot tell``.
        chosen: name of the method that is kept; empty for none.
        classifier: the mended classifier of the first seed (``models/`` has all); the one before
            if no method is kept.
        before: scores before.
        results: a row per method that ran, the bad ones too.
        refused: methods that were not run, and why.
        choice: how the method was chosen; None if nothing was tried.
        table: a row per method and score; also ``tables/scores.parquet``.
        notes: what a reader must know.
    """

    path: Path
    page: Path
    content: Page
    outcome: Outcome
    chosen: str
    classifier: Classifier
    before: MethodResult
    results: tuple[MethodResult, ...]
    refused: tuple[Refused, ...]
    choice: Choice | None
    table: pd.DataFrame
    notes: tuple[str, ...]


def debias_classifier(
    model: Classifier | str,
    data: DebiasData,
    out_dir: str | Path,
    *,
    settings: DebiasSettings | None = None,
    device: str = "cpu",
    progress: bool | None = None,
    command: str = "",
) -> DebiasRun:
    """Mend a classifier by each method, at the same seeds and budget, and measure before and after.

    A name (``small-cnn``) is trained from scratch for every seed: plainly (before) and by each
    method. A classifier is taken as it is (before); training methods go on from its weights, and
    plain training for the same number of steps is always beside them, so that more training is
    not taken for a repair. Methods are chosen on the validation images and reported on the test
    images.

    Args:
        model: a classifier in eval mode, or the name of a network.
        data: from :func:`sundog.audit.debias_data.make_debias_data`.
        out_dir: run folder; an interrupted run goes on where it stopped.
        settings: methods, seeds and budget.
        device: of the trainings.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words.
    """
    settings = settings or DebiasSettings()
    work = _Work(model, data, settings, device=device, progress=progress)
    with RunFolder.open(
        out_dir,
        kind="debias",
        arguments={**settings.to_dict(), "network": work.network, **identity_of(data)},
        seeds={f"seed_{i}": seed for i, seed in enumerate(settings.seeds)},
        model_fingerprint=work.fingerprint,
        data_fingerprint=identity_of(data)["parts"]["train"],
    ) as folder:
        run = work.run(folder, command)
        folder.finish()
    return run


class _Work:
    """One run: the models before, each method, the choice, the page."""

    def __init__(
        self,
        model: Classifier | str,
        data: DebiasData,
        settings: DebiasSettings,
        *,
        device: str,
        progress: bool | None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.device, self.progress = device, progress
        self.network = model if isinstance(model, str) else None
        self.fingerprint = None if isinstance(model, str) else model_fingerprint(model)
        self.names = group_names(data.test, data.class_names)
        self.grouped = data.test.groups is not None
        self.notes: list[str] = list(data.notes)
        self.probes: tuple[Probe, ...] = ()
        self.histories: dict[str, pd.DataFrame] = {}

    def run(self, folder: RunFolder, command: str) -> DebiasRun:
        data, settings = self.data, self.settings
        self.probes = make_probes(settings.probes, data)
        admitted = choose_methods(settings.methods, data)
        refused = list(admitted.refused)
        before_models = {seed: self._before(folder, seed) for seed in settings.seeds}
        first = before_models[settings.seeds[0]]
        for refusal in head_refusal(admitted.methods, first):
            refused.append(refusal)
        wanted = [m for m in admitted.methods if m not in {r.name for r in refused}]
        before = self._answers(folder, BEFORE, before_models)
        biased, why = relies_on_cue(
            before,
            self.names,
            data.class_names,
            grouped=self.grouped,
            tolerated_flips=settings.tolerated_flips,
        )
        models: dict[str, dict[int, Classifier]] = {}
        if biased is False and not settings.force:
            reason = f"the model shows no bias to mend: {why}"
            return self._finish(
                folder, before, {}, before_models, {}, refused, None, "nothing changed", reason,
                command,
            )  # fmt: skip
        if self.network is None and any(METHODS[m].kind != "head" for m in wanted):
            wanted = ["erm", *[m for m in wanted if m != "erm"]]
        elif self.network is not None:
            wanted = [m for m in wanted if m != "erm"]  # it is the model before
        after: dict[str, Answers] = {}
        for method in wanted:
            gate = self._gate(method, before_models)
            if gate is not None:
                refused.append(gate)
                continue
            try:
                made = {s: self._after(folder, method, s, m) for s, m in before_models.items()}
            except InputError as error:
                if method == "erm":
                    raise
                refused.append(Refused(name=method, gate="needs", reason=error.message))
                continue
            models[method] = made
            after[method] = self._answers(folder, method, models[method])
        if not after:
            reason = "every method that was asked for was refused" if refused else "none was asked"
            return self._finish(
                folder, before, {}, before_models, {}, refused, None, "cannot tell", reason, command
            )
        choice = decide(data, before, after)
        kept = choice.name if choice is not None else ""
        outcome: Outcome = "improved" if kept else "no method helped"
        if not kept and biased is None:
            outcome = "cannot tell"
        reason = choice.reason if choice is not None else NOTHING_KNOWN
        return self._finish(
            folder, before, after, before_models, models, refused, choice, outcome, reason, command
        )

    def _before(self, folder: RunFolder, seed: int) -> Classifier:
        if isinstance(self.model, Classifier):
            return self.model
        return self._train(folder, BEFORE, seed, None, self.model)

    def _train(
        self, folder: RunFolder, method: str, seed: int, recipe: Any, network: Any
    ) -> Classifier:
        place = folder.path / "models" / f"{method}-{seed}"
        images = self.data.train.images
        run = train_classifier(
            network,
            images.image_set,
            validation_set=self.data.validation.images.image_set,
            size=images.image_size,
            resize=images.resize,
            seed=seed,
            recipe=recipe,
            out_dir=place,
            device=self.device,
            workers=2,
            progress=self.progress,
            **self.settings.training(every_epoch=method == "adaptive_resampling"),
        )
        self.histories[f"{method}-{seed}"] = run.history
        return run.classifier

    def _after(self, folder: RunFolder, method: str, seed: int, before: Classifier) -> Classifier:
        place = folder.path / "models" / f"{method}-{seed}"
        timing = folder.part("seconds", f"{method}-{seed}")
        head = METHODS[method].kind == "head"
        if head and timing is not None and (place / CLASSIFIER_FILE).is_file():
            return self._stored(place, before)
        bench = Workbench(self.data, before, seed, self.settings.parameters, progress=self.progress)
        start = time.perf_counter()
        notes: tuple[str, ...] = ()
        if head:
            fit = fitted_head(method, bench)
            made, notes = fit.apply(before), fit.warnings
            save_classifier(made, place)
            write_json(place / "head.json", fit.to_dict())
        else:
            recipe = training_recipe(method, bench)
            network = self.network if self.network is not None else before
            made = self._train(folder, method, seed, recipe, network)
        seconds = time.perf_counter() - start
        key = f"{method}-{seed}-validation"
        if method in HELD_OUT_FITS and folder.part("answers", key) is None:
            held_out = cross_fitted(
                self.data.validation,
                lambda seen: fitted_head(method, bench.seeing(seen)).apply(before),
                seed=PASTE_SEED,
            )
            folder.append("answers", key, held_out.frame())
        if timing is None:
            row = pd.DataFrame({"seconds": [seconds], "notes": [" ".join(notes)]})
            folder.append("seconds", f"{method}-{seed}", row)
        return made

    def _stored(self, place: Path, before: Classifier) -> Classifier:
        network = None if before.recipe is not None else copy.deepcopy(before.network)
        return load_classifier(place, network=network, device=self.device)

    def _answers(self, folder: RunFolder, method: str, models: Mapping[int, Classifier]) -> Answers:
        found: dict[str, list[Measured]] = {"validation": [], "test": []}
        seconds, notes = [], []
        for seed, model in models.items():
            for name in found:
                key = f"{method}-{seed}-{name}"
                done = folder.part("answers", key)
                if done is None:
                    part = self.data.validation if name == "validation" else self.data.test
                    done = measure(model, part, seed=PASTE_SEED).frame()
                    folder.append("answers", key, done)
                found[name].append(Measured.of(done))
            timing = folder.part("seconds", f"{method}-{seed}")
            if timing is not None:
                seconds.append(float(timing["seconds"].iloc[0]))
                notes.append(str(timing["notes"].iloc[0]))
        return Answers(
            found["validation"], found["test"], seconds, [note for note in notes if note]
        )

    def _gate(self, method: str, models: Mapping[int, Classifier]) -> Refused | None:
        """Refuse a method that guesses groups from errors, if the errors are not the groups."""
        if "errors" not in METHODS[method].needs:
            return None
        seed, model = next(iter(models.items()))
        bench = Workbench(self.data, model, seed, progress=self.progress)
        given = self.settings.parameters.get(method, {})
        decision = gate_errors(method, self.data, bench.features(errors_part(method)), given)
        if decision.allowed:
            self.notes.append(f"{method}: {decision.reason}.")
            return None
        return closed_gate(method, decision)

    def _finish(
        self,
        folder: RunFolder,
        before: Answers,
        after: Mapping[str, Answers],
        before_models: Mapping[int, Classifier],
        models: Mapping[str, Mapping[int, Classifier]],
        refused: Sequence[Refused],
        choice: Choice | None,
        outcome: Outcome,
        reason: str,
        command: str,
    ) -> DebiasRun:
        names, classes = self.names, self.data.class_names
        baseline = method_result(BEFORE, before, None, names, classes)
        results = tuple(
            method_result(name, answers, before, names, classes) for name, answers in after.items()
        )
        checks = probe_checks(
            self.probes, self.data, before_models, models, folder, progress=self.progress
        )
        kept = choice.name if choice is not None else ""
        first = self.settings.seeds[0]
        frozen = frozen_windows(
            before_models[first],
            self.data,
            before.test[0],
            {name: answers.test[0] for name, answers in after.items()},
            progress=self.progress,
        )
        table = score_table(baseline, results)
        folder.write_result("scores", table)
        groups = group_table(self.data)
        if groups is not None:
            folder.write_result("groups", groups)
        write_json(
            folder.path / "debias.json",
            {
                "outcome": outcome,
                "chosen": kept,
                "reason": reason,
                "selection": choice.statement if choice is not None else "",
                "refused": [vars(r) for r in refused],
                "alignment": None if self.data.alignment is None else self.data.alignment.to_dict(),
                "notes": self.notes,
            },
        )
        content = debias_page(
            debias_content(
                self.data,
                self.settings,
                baseline,
                results,
                outcome=outcome,
                chosen=kept,
                reason=reason,
                refused=refused,
                cues=checks,
                frozen=frozen,
                histories=self.histories,
                selection=choice.statement if choice is not None else "",
                model=self.network or next(iter(before_models.values())).name,
                scratch=self.network is not None,
                notes=self.notes,
                command=command,
            )
        )
        page = write_page(content, folder.path / "index.html")
        mended = models[kept][first] if kept else before_models[first]
        if kept:
            save_classifier(mended, folder.path / "mended")
        return DebiasRun(
            path=folder.path,
            page=page,
            content=content,
            outcome=outcome,
            chosen=kept,
            classifier=mended,
            before=baseline,
            results=results,
            refused=tuple(refused),
            choice=choice,
            table=table,
            notes=tuple(self.notes),
        )
