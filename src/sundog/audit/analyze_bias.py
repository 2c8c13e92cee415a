"""Single concepts that a classifier leans on or stumbles over, with a person's verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sundog.audit.analysis import as_list, check_classes_list, choose_path, open_analysis
from sundog.audit.evidence import check_overlay
from sundog.audit.inspect_run import Looked, look
from sundog.audit.observed import Observed, check_classes, choose_classes, observe
from sundog.audit.query_files import concept_scores, keep_for_review, with_evidence, write_query
from sundog.audit.rankings import Concepts, rank_images, read_rankings
from sundog.audit.results_run import write_results
from sundog.audit.search_settings import SearchSettings
from sundog.audit.searches import search_biases
from sundog.audit.spuriosity import with_top_gap
from sundog.audit.taggers import make_sorter, make_taggers
from sundog.concepts.sorter import Sorter
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError, ModelStateError
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.results import RESULTS_FILE, Results
from sundog.core.run_folder import RunFolder
from sundog.data.transforms import Resize

RankingsByClass = dict[str, dict[str, Tensor]]


class AnalyzeBias:
    """Finds concepts with which, or without which, a class is classified worse.

    Step 1, :meth:`get_potential_biases`, writes a run folder for a person to look at
    (``sundog review FOLDER``); step 2, :meth:`get_final_results`, joins it with what was said.

    Args:
        model: a classifier, a network, or a name or path that ``get_model`` takes.
        dataset: an image set, a torch dataset, or a source that ``load_image_set`` takes.
        sorter: ranks the images of a class by a concept: a sorter, its name, or None if there is a
            tagger, whose scores then rank.
        fabric: ``lightning_fabric.Fabric``; the model is moved to its device. None: stays.
        tagger: proposes concepts and says which images have them: a tagger, its name, or a list.
            None: concepts are given as ``concept_tags``, or proposed by the sorter.
        classes_list: names of the classes to look at; None = all.
        batch_size: images per batch.
        num_workers: threads that decode images for tagger and sorter.
        metric: ``accuracy`` or ``confidence`` (probability of the label).
        size: side in pixels; None = the classifier's own, or 224.
        resize: pad, crop or stretch.
        seed: of permutations and samples.
        cache: folder of scores that several analyses share; None = the run's own.
        progress: None shows it on a terminal.
    """

    def __init__(
        self,
        model: Any,
        dataset: Any,
        sorter: Sorter | str | None,
        fabric: Any = None,
        tagger: Tagger | str | Sequence[Tagger | str] | None = None,
        classes_list: Sequence[str] | None = None,
        batch_size: int = 64,
        num_workers: int = 4,
        metric: str = "accuracy",
        *,
        size: int | None = None,
        resize: Resize = "pad",
        seed: int = 0,
        cache: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
    ) -> None:
        self.subject, self.metric = open_analysis(
            model,
            dataset,
            fabric=fabric,
            batch_size=batch_size,
            metric=metric,
            size=size,
            resize=resize,
        )
        self.sorter = make_sorter(sorter, self.subject)
        asked = as_list(tagger)
        self.taggers, self._notes = make_taggers(asked, self.subject) if asked else ([], [])
        self.classes_list = check_classes_list(classes_list)
        self.num_workers = num_workers
        self.seed = seed
        self.cache = None if cache is None else Path(cache)
        self.progress = progress
        self.path: Path | None = None
        self._observed: Observed | None = None
        self._looked: Looked | None = None

    def get_potential_biases(
        self,
        concept_tags: Mapping[str, Sequence[str]] | None = None,
        rankings_per_concept_class: Mapping[str, Mapping[str, Any]] | None = None,
        top_concepts: int = 4,
        top_k: int = 5,
        ask_feedback: bool = True,
        save_to_path: str | os.PathLike[str] | None = None,
        *,
        alpha: float = 0.05,
        adjustment: Any = "westfall_young",
        min_support: int = 5,
        permutations: int = 1000,
        sample: int = 12,
        overlay: str | None = "auto",
        replicate: bool = True,
    ) -> RankingsByClass:
        """Test every concept in every class, and write what a person needs to judge them.

        With a tagger, all images of a class that carry a tag are compared with all that do not;
        without one, the sorter's ranking of right images is compared with that of wrong ones. All
        images take part; p-values are corrected for every class and concept looked at.

        Args:
            concept_tags: class -> concepts. With a tagger they are tags of it; else texts for the
                sorter. None: all tags, or what the sorter proposes.
            rankings_per_concept_class: class -> concept -> ranking (or concept -> class ->
                ranking): a permutation of the class's images, best first, or one score per image.
                None: the sorter, or the tagger's scores, rank.
            top_concepts: concepts per class that are put before a person; all significant ones are.
            top_k: images per end of a ranking that are shown.
            ask_feedback: whether pictures are written for ``sundog review``.
            save_to_path: run folder; None = ``hidden-bias/HASH``. :attr:`path` says where it is.
            alpha: bound on the probability of any false finding.
            adjustment: ``westfall_young``, ``holm``, ``benjamini_hochberg`` or ``none``.
            min_support: images with a tag, and without it, for a test.
            permutations: of Westfall-Young and of the tests of confidence.
            sample: images of each random sample, from which the tagger's errors are estimated.
            overlay: attribution method of the overlays, ``auto`` or ``none``.
            replicate: whether findings are looked for again on a random half.

        Returns:
            class -> concept -> ``int64[images]``: positions in the image set of the class's images,
            most of the concept first, for the concepts that are put before a person.

        Raises:
            InputError: neither tagger, sorter nor rankings; a ranking of the wrong length.
            UnknownNameError: an unknown class or tag.
        """
        if top_concepts < 0 or top_k < 1 or sample < 0:
            raise InputError(
                "top_concepts, top_k and sample",
                expected=">= 0, >= 1 and >= 0",
                got=f"{top_concepts}, {top_k} and {sample}",
            )
        check_classes(self.subject, self.classes_list)
        check_overlay(overlay)
        settings = SearchSettings(
            metric=self.metric,
            alpha=alpha,
            adjustment=adjustment,
            min_support=min_support,
            max_tags=1,
            min_pop=min_support,
            across=False,
            replicate=replicate,
            permutations=permutations,
            top_k=top_k,
            seed=self.seed,
        )
        asked: dict[str, Any] = {
            "taggers": [tagger.name for tagger in self.taggers],
            "sorter": None if self.sorter is None else self.sorter.name,
            "concepts": None
            if concept_tags is None
            else {name: list(given) for name, given in concept_tags.items()},
            "rankings": rankings_per_concept_class is not None,
            "classes": None if self.classes_list is None else list(self.classes_list),
        }
        self.path = choose_path(save_to_path, kind="hidden", subject=self.subject, asked=asked)
        with RunFolder.open(
            self.path,
            kind="hidden bias",
            arguments=asked,
            seeds={"seed": self.seed},
            **self.subject.fingerprints(),
        ) as folder:
            observed = observe(self.subject, folder, progress=self.progress)
            looked = self._look(
                observed, concept_tags, rankings_per_concept_class, settings, folder.path
            )
            searched = search_biases(
                observed.classes(looked.classes),
                looked.tags,
                settings,
                rankings=looked.rankings,
                circular=looked.circular,
                progress=self.progress,
            )
            listed = keep_for_review(searched.findings, top_concepts, fill=True)
            if self.taggers and self.sorter is not None:
                looked = self._ranked(observed, looked, listed, folder.path)
            query = write_query(
                folder,
                subject=self.subject,
                observed=observed,
                looked=looked,
                searched=searched,
                findings=with_evidence(
                    listed,
                    observed=observed,
                    looked=looked,
                    top_k=top_k,
                    sample=sample,
                    seed=self.seed,
                )
                if ask_feedback
                else listed,
                settings=settings,
                notes=self._notes,
                overlay=overlay,
                progress=self.progress,
            )
            write_results(folder.path)
            folder.finish()
        self._observed, self._looked = observed, looked
        return _as_tensors(query.findings, observed, looked)

    def get_final_results(
        self,
        feedback_file: str | os.PathLike[str] | None = None,
        sig_thresh: float = 0.05,
        acc_thresh: float = 0.0,
        top_k: int = 5,
        display_top_k: int = 4,
        save_results: bool = True,
        save_to_path: str | os.PathLike[str] | None = None,
        *,
        keep_core: bool = True,
    ) -> dict[str, Any]:
        """Join the findings with the verdicts and filter them.

        Args:
            feedback_file: written by the review page or by hand; None = the verdicts given in the
                run folder, if any.
            sig_thresh: ceiling on the corrected p-value.
            acc_thresh: floor on the absolute gap.
            top_k: images per end of the ranking for the spuriosity gap, which illustrates.
            display_top_k: images per strip of the page.
            save_results: whether to write everything into one ``.sundog`` file.
            save_to_path: of that file; None = ``results.sundog`` in the run folder.
            keep_core: False leaves out what people called core or absent.

        Returns:
            The results as JSON values (see ``sundog.core.inspection.results.Results``), with
            ``path``, the run folder.

        Raises:
            ModelStateError: :meth:`get_potential_biases` was not called.
            RunFolderError: feedback on another query, or half-written.
        """
        if self.path is None or self._observed is None or self._looked is None:
            raise ModelStateError(
                "get_final_results",
                expected="called after get_potential_biases",
                got="no query yet",
                hint="For a folder of an earlier session: sundog results FOLDER.",
            )
        if top_k < 1 or display_top_k < 1:
            raise InputError(
                "top_k and display_top_k", expected=">= 1", got=f"{top_k} and {display_top_k}"
            )
        archive = Path(save_to_path) if save_to_path is not None else self.path / "results.sundog"
        done = write_results(
            self.path,
            feedback_file=feedback_file,
            sig_thresh=sig_thresh,
            acc_thresh=acc_thresh,
            keep_core=keep_core,
            display_k=display_top_k,
            archive=archive if save_results else None,
        )
        results = self._top_gaps(done.results, self._observed, self._looked, top_k)
        results.write(done.path / RESULTS_FILE)
        return {"path": str(done.path), **results.to_json()}

    def _top_gaps(
        self, results: Results, observed: Observed, looked: Looked, top_k: int
    ) -> Results:
        """Return the results with the spuriosity gap of ``top_k`` images per end."""
        changed = []
        for judged in results.findings:
            name = judged.finding.class_name
            _, scores = concept_scores(judged.finding, name, looked)
            outcome = observed.outcome(name, self.metric)
            finding = with_top_gap(judged.finding, outcome, scores, top_k)
            changed.append(judged.model_copy(update={"finding": finding}))
        return results.model_copy(update={"findings": tuple(changed)})

    def _look(
        self,
        observed: Observed,
        concept_tags: Concepts | None,
        given: Mapping[str, Mapping[str, Any]] | None,
        settings: SearchSettings,
        folder: Path,
    ) -> Looked:
        classes = choose_classes(observed, self.classes_list)
        only = concept_tags if isinstance(concept_tags, Mapping) else None
        if only is not None and self.classes_list is None:
            classes = choose_classes(observed, list(only))
        rankings = None if given is None else read_rankings(given, self.subject, observed, classes)
        if rankings is None and not self.taggers and self.sorter is None:
            raise InputError(
                "AnalyzeBias",
                expected="given a tagger, a sorter or rankings",
                got="none of them",
                hint="Try sorter='conse' or tagger='photometric'.",
            )
        if rankings is not None:
            return Looked(
                classes=tuple(name for name in classes if name in rankings),
                scores=None,
                tags={},
                across={},
                rankings=rankings,
                ranked=None,
                notes=("The rankings were given, not computed here.",),
                names=("given rankings",),
                fingerprints={},
            )
        return look(
            self.subject,
            observed,
            taggers=self.taggers,
            sorter=None if self.taggers else self.sorter,
            concepts=None if self.taggers else only,
            tags_only=only if self.taggers else None,
            classes=classes,
            settings=settings,
            cache=self.cache or folder / "cells" / "scores",
            workers=self.num_workers,
            progress=self.progress,
        )

    def _ranked(
        self, observed: Observed, looked: Looked, listed: Sequence[Finding], folder: Path
    ) -> Looked:
        """Let the sorter rank the images by the tags that are put before a person."""
        if self.sorter is None:
            return looked
        concepts: dict[str, list[str]] = {}
        for finding in listed:
            concepts.setdefault(finding.class_name, []).append(finding.concepts[0])
        ranked = rank_images(
            self.subject,
            observed,
            self.sorter,
            concepts,
            looked.classes,
            cache=self.cache or folder / "cells" / "scores",
            workers=self.num_workers,
            progress=self.progress,
        )
        note = f"Images are ranked by {self.sorter.name}; the tests use the tags."
        return replace(looked, ranked=ranked.scores, notes=(*looked.notes, *ranked.notes, note))


def _as_tensors(findings: Sequence[Finding], observed: Observed, looked: Looked) -> RankingsByClass:
    ranked: RankingsByClass = {}
    for finding in findings:
        _, scores = concept_scores(finding, finding.class_name, looked)
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
        positions = observed.positions(finding.class_name)[order]
        ranked.setdefault(finding.class_name, {})[" + ".join(finding.concepts)] = torch.from_numpy(
            positions.astype(np.int64)
        )
    return ranked
